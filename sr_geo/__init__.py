"""×4 super-resolution for satellite rasters that keeps coordinates, units and nodata, and shows what it invented.

The names below load what they need when they are first used: `import sr_geo` itself loads nothing heavy.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Options", "ParcelOptions", "Result", "Upscaler", "enhance_parcels", "enhance_raster", "load_model"]

if TYPE_CHECKING:
    from sr_geo.models.catalog import load_model
    from sr_geo.models.session import Upscaler
    from sr_geo.raster.enhance import Result, enhance_parcels, enhance_raster
    from sr_geo.raster.options import Options, ParcelOptions


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a module attribute is
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module 'sr_geo' has no attribute {name!r}")
    homes = {"load_model": "models.catalog", "Upscaler": "models.session", "Options": "raster.options", "ParcelOptions": "raster.options"}
    return getattr(import_module(f"sr_geo.{homes.get(name, 'raster.enhance')}"), name)
