"""What the result says of its bands: roles, however they became known, and tags that stay true."""

import json
from pathlib import Path
from typing import Any

import pytest
import rasterio
from rasterio.rpc import RPC

from sr_geo.raster.enhance import enhance_parcels, enhance_raster
from sr_geo.raster.options import Options, ParcelOptions
from sr_geo.raster.scene import Scene
from tests.onnx_models import card, write_model
from tests.raster.products import stack_vrt, write_raster
from tests.raster.test_enhance import parcels_file, stored


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    tiny = write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", card())
    return {"model": tiny, "psf": 2.0, "consistency": "off", "threads": 1, "device": "cpu"}


def by_the_user(folder: Path) -> tuple[Path, dict[str, int]]:
    return write_raster(folder / "in.tif", stored("uint16", height=24, width=24)), {"n": 1, "r": 2, "g": 3, "b": 4}


def by_a_stac_item(folder: Path) -> tuple[Path, dict[str, int]]:
    path = write_raster(folder / "in.tif", stored("uint16", height=24, width=24))
    bands = [{"name": f"layer{number}", "eo:common_name": role} for number, role in enumerate(("nir", "red", "green", "blue"))]
    item = {"type": "Feature", "stac_version": "1.1.0", "properties": {}, "assets": {"image": {"href": "in.tif", "bands": bands}}}
    path.with_suffix(".json").write_text(json.dumps(item))
    return path, {}


def by_the_files_of_a_vrt(folder: Path) -> tuple[Path, dict[str, int]]:
    names = [f"T32UNE_20240601T103021_B0{number}.tif" for number in (8, 4, 3, 2)]
    for name, plane in zip(names, stored("uint16", height=24, width=24), strict=True):
        write_raster(folder / name, plane[None])
    return stack_vrt(folder / "in.vrt", names, size=24), {}


def by_numbers_and_the_name_of_the_file(folder: Path) -> tuple[Path, dict[str, int]]:
    """A name that the result does not have."""
    return write_raster(folder / "LC08_in.tif", stored("uint16", height=24, width=24), descriptions=("B5", "B4", "B3", "B2")), {}


@pytest.mark.parametrize("make", [by_the_user, by_a_stac_item, by_the_files_of_a_vrt, by_numbers_and_the_name_of_the_file])
def test_the_result_tells_its_bands(tmp_path: Path, options: dict[str, Any], make: Any) -> None:  # noqa: ANN401
    source, bands = make(tmp_path)
    enhance_raster(source, tmp_path / "out.tif", Options(**options, bands=bands))
    with Scene.open(tmp_path / "out.tif") as after:
        assert [band.role for band in after.bands] == ["nir", "red", "green", "blue"]
    again = enhance_raster(tmp_path / "out.tif", tmp_path / "again.tif", Options(**options))
    assert again.band_names == ("nir", "red", "green", "blue")


def test_descriptions_stay_as_they_are(tmp_path: Path, options: dict[str, Any]) -> None:
    words = ("Layer A", "", "Layer C", "")
    source = write_raster(tmp_path / "in.tif", stored("uint16", height=24, width=24), descriptions=words)
    enhance_raster(source, tmp_path / "out.tif", Options(**options, bands={"b": 1, "g": 2, "r": 3, "n": 4}))
    with rasterio.open(tmp_path / "out.tif") as after:
        assert after.descriptions == ("Layer A", "green", "Layer C", "nir")


@pytest.mark.parametrize("form", ["plain", "cog", "split"])
def test_tags_are_kept_where_they_stay_true(tmp_path: Path, options: dict[str, Any], form: str) -> None:
    source = write_raster(
        tmp_path / "in.tif", stored("uint16", height=60, width=80), descriptions=("swir1", "blue", "green", "red"), nodata=0
    )
    with rasterio.open(source, "r+") as dataset:
        dataset.update_tags(ns="FARM", owner="Алия", ns2="2")
        dataset.update_tags(ns="ENVI", lines="40")
        dataset.rpcs = rpc()
        for number in dataset.indexes:
            dataset.update_tags(number, acquired=f"2024-06-0{number}", STATISTICS_MEAN="3", STATISTICS_VALID_PERCENT="100")
            dataset.update_tags(number, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=f"0.{number}")
    output, chosen = tmp_path / "out.tif", Options(**{**options, "model": three(tmp_path)}, cog=form == "cog", other_bands="drop")
    if form == "split":
        result = enhance_parcels(source, ParcelOptions(parcels_file(tmp_path / "p.gpkg"), split_by="name"), tmp_path / "out", chosen)
        output = result.outputs[0]
    else:
        enhance_raster(source, output, chosen)
    with rasterio.open(output) as after:
        assert after.tags(ns="FARM") == ({"owner": "Алия", "ns2": "2"} if form != "cog" else {})  # GDAL copies none into one
        assert after.rpcs is None
        assert not after.tags(ns="ENVI")
        for number in after.indexes:
            assert after.tags(number)["acquired"] == f"2024-06-0{number + 1}"
            assert not any(key.startswith("STATISTICS_") for key in after.tags(number))
            assert after.tags(number, ns="IMAGERY") == {"CENTRAL_WAVELENGTH_UM": f"0.{number + 1}"}


def three(folder: Path) -> Path:
    return write_model(folder / "three.onnx", card(bands=("blue", "green", "red")))


def rpc() -> RPC:
    line = [1.0] + [0.0] * 19
    return RPC(0.0, 1.0, 50.0, 1.0, line, line, 0.0, 1.0, 70.0, 1.0, line, line, 0.0, 1.0)
