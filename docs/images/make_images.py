"""Draw the pictures of the documentation again: `make pictures`, after a shipped model has changed.

They are real outputs: the sample data of the repository, enhanced by the shipped models with the default options, drawn by the
function that also draws the picture of `sr-geo demo`. Input and result have one stretch, that of the input.
"""

import tempfile
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from PIL import Image
from rasterio.windows import Window, bounds
from shapely.geometry import box

from sr_geo import Options, ParcelOptions, enhance_parcels
from sr_geo.quality.quicklook import compose, write_quicklook
from sr_geo.quality.view import View, read_view
from sr_geo.raster.scene import Scene

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent.parent / "sample_data"

ITAIPU = Window(col_off=142, row_off=162, width=96, height=96)
"""Part of the Landsat crop: half of a field under a centre pivot, field borders, roads upright and slanted, a stream."""

FARM = Window(col_off=6, row_off=0, width=96, height=60)
"""Part of the rendered farm without its cloud, which would darken the rest."""

MARGIN, GAP = 28, 20
"""Pixels around a composed picture and between its panels."""


def area(source: Path, window: Window, path: Path) -> ParcelOptions:
    """The window of a raster as a parcel, to be enhanced whole."""
    with rasterio.open(source) as raster:
        table = geopandas.GeoDataFrame(geometry=[box(*bounds(window, raster.transform))], crs=raster.crs)
    table.to_file(path)
    return ParcelOptions(path, shape="box")


def cut(source: Path, like: Path, path: Path) -> None:
    """Write the part of a raster that covers another one on the same grid."""
    with rasterio.open(source) as raster, rasterio.open(like) as other:
        place = {"width": other.width, "height": other.height, "transform": other.transform}
        with rasterio.open(path, "w", **{**raster.profile, **place}) as part:
            part.write(raster.read(window=raster.window(*other.bounds)))
            part.descriptions = raster.descriptions


def draw_itaipu(path: Path, folder: Path) -> None:
    """Input, result and added detail of a part of the Landsat scene, which is computed as a part of the whole."""
    source = SAMPLES / "itaipu_landsat8.tif"
    result, detail = folder / "itaipu.tif", folder / "itaipu_detail.tif"
    enhance_parcels(source, area(source, ITAIPU, folder / "itaipu.gpkg"), result, detail_map=detail)
    write_quicklook(path, source, result, detail, unit="reflectance")


def side_by_side(source: Path, finer: dict[str, Path]) -> Image.Image:
    """A raster and two on finer pixels, by caption, all with the stretch of the first."""
    views = []
    for fine in finer.values():
        with Scene.open(source) as before, Scene.open(fine) as after:
            views.append(read_view(before, after))
    pairs = [
        np.asarray(compose(View(view.before, view.after, view.scale, metres=view.metres), captions=("Input", caption, "")))
        for view, caption in zip(views, finer, strict=True)
    ]
    panel = views[0].after.shape[1]
    gap, end = MARGIN - GAP, pairs[0].shape[1] - panel - MARGIN  # of the first pair's margin; where the second panel of a pair begins
    return Image.fromarray(np.concatenate([pairs[0][:, :-gap], pairs[1][:, end:]], axis=1))


def draw_farm(path: Path, folder: Path) -> None:
    """Input, result and truth of the rendered farm."""
    source, result, truth = SAMPLES / "rendered_farm.tif", folder / "farm.tif", folder / "truth.tif"
    enhance_parcels(source, area(source, FARM, folder / "farm.gpkg"), result)
    cut(SAMPLES / "rendered_farm_truth.tif", result, truth)
    side_by_side(source, {"Result": result, "Truth, as drawn": truth}).save(path)


def draw_leaning(path: Path, folder: Path) -> None:
    """The Landsat scene by the default model and by the one that leans to perception."""
    source = SAMPLES / "itaipu_landsat8.tif"
    parcel = area(source, ITAIPU, folder / "leaning.gpkg")
    results = {}
    for caption, name in (("Default", "satellite-rgb-x4"), ("Leaning to perception", "satellite-rgb-perceptual-x4")):
        results[caption] = folder / f"{name}.tif"
        enhance_parcels(source, parcel, results[caption], Options(model=name))
    side_by_side(source, results).save(path)


def main() -> None:
    """Draw all pictures; each replaces its file when it is whole."""
    with tempfile.TemporaryDirectory() as folder:
        for name, draw in (("demo.png", draw_itaipu), ("farm.png", draw_farm), ("leaning.png", draw_leaning)):
            draft = Path(folder) / name
            draw(draft, Path(folder))
            with Image.open(draft) as picture:
                picture.save(HERE / name, optimize=True)
            print(f"{HERE / name}: {(HERE / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
