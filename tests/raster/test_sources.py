"""The files that a scene is read from."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from sr_geo.grid import Window
from sr_geo.raster.scene import Scene
from sr_geo.raster.sources import file_on_disk, files_of
from tests.raster.products import make_landsat, make_safe, stack_vrt, write_raster, zip_folder


def files(name: str | Path, **options: object) -> set[Path]:
    with Scene.open(name, **options) as scene:  # type: ignore[arg-type]
        found = scene.files()
        assert scene.clone().files() == found
    assert len(set(found)) == len(found)
    return set(found)


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "a.tif", np.ones((1, 4, 4), np.uint16))


def test_a_raster_with_its_sidecars(raster: Path) -> None:
    assert files(raster) == {raster}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(raster, "r+") as dataset:
        dataset.write_mask(np.ones((4, 4), np.bool_))
    (raster.parent / "a.tif.aux.xml").write_text('<PAMDataset><Metadata><MDI key="A">1</MDI></Metadata></PAMDataset>')
    item = raster.with_suffix(".json")
    item.write_text(json.dumps({"type": "Feature", "stac_version": "1.0.0"}))
    beside = {raster.parent / name for name in ("a.tif.msk", "a.tif.aux.xml")}
    assert files(raster) == {raster, item, *beside}


def test_sources_of_a_vrt_at_any_depth(raster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    inner = stack_vrt(tmp_path / "deep" / "inner.vrt", ["../a.tif"], size=4)
    outer = stack_vrt(tmp_path / "outer.vrt", ["deep/inner.vrt", "a.tif"], size=4)
    assert files(outer) == {outer, inner, raster}
    with Scene.open(outer) as scene:
        assert (scene.read(Window(0, 0, 4, 4), [0, 1])[0] == 1).all()
    monkeypatch.chdir(tmp_path)
    assert files("outer.vrt") == {outer, inner, raster}
    assert files(outer.read_text()) == {inner, raster}


def test_an_archive_stands_for_what_it_holds(raster: Path, tmp_path: Path) -> None:
    archive = tmp_path / "b.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.write(raster, "folder/a.tif")
    for name in (f"/vsizip/{archive}/folder/a.tif", f"/vsizip/{{{archive}}}/folder/a.tif", f"zip://{archive}!folder/a.tif"):
        assert files(name) == {archive}
    assert file_on_disk(f"/vsisubfile/100_200,{archive}") == archive
    assert file_on_disk(f"/vsigzip//vsizip/{archive}/folder/a.tif.gz") == archive
    vrt = stack_vrt(tmp_path / "c.vrt", [f"/vsizip/{archive}/folder/a.tif"], size=4)
    assert files(vrt) == {vrt, archive}


def test_names_with_blanks_and_braces(raster: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ä {b} (1)"
    folder.mkdir()
    with zipfile.ZipFile(folder / "c d.zip", "w") as out:
        out.write(raster, "{x}/a.tif")
    assert files(f"/vsizip/{folder}/c d.zip/{{x}}/a.tif") == {folder / "c d.zip"}
    (safe, archive) = (make_safe(folder, size=12), folder / "safe.zip")
    zip_folder(safe, archive)
    assert files(archive) == {archive}


def test_links_are_followed(raster: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.tif"
    link.symlink_to(raster)
    assert raster in files(link)


@pytest.mark.parametrize("make", [make_safe, make_landsat])
def test_a_product_gives_its_bands_and_metadata(tmp_path: Path, make: object) -> None:
    folder: Path = make(tmp_path, size=12)  # type: ignore[operator]
    found = files(folder)
    assert len(found) == 5
    assert {path.suffix.lower() for path in found} in ({".jp2", ".xml"}, {".tif", ".txt"})
    assert all(path.is_relative_to(folder) for path in found)
    band = next(path for path in found if path.suffix.lower() in (".jp2", ".tif"))
    (metadata,) = (path for path in found if path.suffix in (".xml", ".txt"))
    assert files(band) == {band, metadata}
    assert len(files(folder, extra=["swir1"])) == 6
    archive = zip_folder(folder, tmp_path / "download.zip")
    if make is make_safe:
        assert files(archive) == {archive}


def test_what_is_nowhere_on_disk(tmp_path: Path) -> None:
    assert files_of(["/vsimem/none.tif", str(tmp_path / "none.tif"), "x" * 5000, "\0"]) == ()
    assert file_on_disk(str(tmp_path)) is None
    assert file_on_disk(f"/vsizip/{tmp_path}/none.zip/a.tif") is None
