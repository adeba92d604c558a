"""A pack holds what recipes read and no more, and draws the same samples."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from rasterio.transform import from_origin

from sr_geo.errors import OutputError
from sr_geo.train import packing
from sr_geo.train.packing import pack, pack_networks, size_of
from sr_geo.train.perceptual import weights
from sr_geo.train.perceptual.weights import load_backbone
from sr_geo.train.recipe import Recipe
from sr_geo.train.samples.batches import Batches
from sr_geo.train.samples.pool import open_pool


def write(path: Path, pixels: np.ndarray, *, metres: float = 10.0, nodata: float | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "dtype": pixels.dtype, "crs": 32642, "transform": from_origin(0, 0, metres, metres), "nodata": nodata}
    with rasterio.open(path, "w", count=count, height=height, width=width, **profile) as dataset:
        dataset.write(pixels)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Rasters of several types, one band a file, a pair, and pictures in splits."""
    rng, root = np.random.default_rng(4), tmp_path / "data"
    write(root / "a/large.tif", rng.integers(0, 4000, (4, 600, 560)).astype(np.uint16), nodata=0)
    for band in (2, 3):
        write(root / f"b/scene_B{band}.TIF", rng.normal(0.2, 0.1, (1, 300, 200)).astype(np.float32), nodata=-9999)
    write(root / "eight.tif", rng.integers(1, 255, (4, 300, 300)).astype(np.uint8))
    fine = rng.integers(1, 4000, (2, 256, 256)).astype(np.int16)
    write(root / "p/fine.tif", fine)
    write(root / "p/coarse.tif", fine.reshape(2, 64, 4, 64, 4).mean((2, 4)).astype(np.int16), metres=40.0)
    rows = ["file,split"]
    for name in ("train", "val", "test"):
        (root / "c" / name).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 255, (90, 90, 3), np.uint8)).save(root / "c" / name / "x.png")
        rows.append(f"{name}/x.png,{name}")
    (root / "c/labels.csv").write_text("\n".join(rows))
    return root


def rasters(recipe: Recipe) -> Recipe:
    """Every kind of raster, parts of them."""
    own = {"kind": "rasters", "licence": "CC0"}
    sources = [
        {**own, "name": "large", "files": ["a/*.tif"], "bands": ["blue", "green", "red", "nir"], "rows": [0, 300], "columns": [260, 500]},
        {**own, "name": "stack", "files": ["b/*.TIF"], "bands": ["green", "red"], "stack": True},
        {**own, "name": "eight", "files": ["eight.tif"], "bands": ["blue", "green", "red", "nir"]},
        {
            "kind": "pairs",
            "name": "pair",
            "licence": "CC0",
            "fine": ["p/fine.tif"],
            "coarse": ["p/coarse.tif"],
            "fine_bands": ["blue", "green"],
            "coarse_bands": ["blue", "green"],
            "rows": [0, 40],
        },
        {"kind": "fields"},
    ]
    checked = [{**sources[0], "rows": [320, 400]}]
    return Recipe.model_validate(recipe.model_dump(mode="json") | {"sources": sources, "validation": checked})


def pictures(recipe: Recipe) -> Recipe:
    source = {"kind": "images", "name": "pictures", "licence": "CC0", "files": ["c/*/*"], "labels": "c/labels.csv"}
    changes = {
        "domain": "photo",
        "sources": [{**source, "split": "train"}],
        "validation": [{**source, "split": "val"}],
        "degradation": {"kind": "bicubic"},
    }
    raw = recipe.model_dump(mode="json") | changes
    raw["model"] |= {"bands": ["red", "green", "blue"]}
    return Recipe.model_validate(raw)


def test_samples_of_the_pack_are_those_of_the_imagery(recipe: Recipe, root: Path, tmp_path: Path) -> None:
    recipe = rasters(recipe)
    pack([recipe], root, tmp_path / "pack")
    pools = [open_pool(recipe.sources, place, recipe.model.bands, size=64, scale=4) for place in (root, tmp_path / "pack")]
    assert np.array_equal(pools[0].probability, pools[1].probability)
    one, other = (Batches(pool, recipe.degradation, 4, 16, 4, 7) for pool in pools)
    for step in range(8):
        assert all(torch.equal(a, b) for a, b in zip(one[step], other[step], strict=True))
    assert size_of(tmp_path / "pack") < 0.45 * size_of(root)


def test_what_is_not_read_is_left_out(recipe: Recipe, root: Path, tmp_path: Path) -> None:
    pack([rasters(recipe), pictures(recipe)], root, tmp_path / "pack")
    found = {path.relative_to(tmp_path / "pack").as_posix() for path in (tmp_path / "pack").rglob("*") if path.is_file()}
    scene = {f"b/scene_B{band}.TIF" for band in (2, 3)}
    assert found == {"a/large.tif", *scene, "eight.tif", "p/fine.tif", "p/coarse.tif", "c/train/x.png", "c/val/x.png", "c/labels.csv"}
    with rasterio.open(root / "a/large.tif") as whole, rasterio.open(tmp_path / "pack/a/large.tif") as packed:
        assert (packed.shape, packed.count, packed.transform, packed.crs, packed.nodata) == (
            whole.shape,
            whole.count,
            whole.transform,
            whole.crs,
            whole.nodata,
        )
        pixels, kept = whole.read(), packed.read()
    read = np.zeros(pixels.shape, bool)
    read[:3, :300, 260:500] = read[:3, 320:400, 260:500] = True
    assert np.array_equal(kept[read], pixels[read])
    assert not kept[~read].any()


def test_a_pack_that_differs_is_told(recipe: Recipe, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_FORMS", packing._FORMS[:1])
    needed = packing._needed
    monkeypatch.setattr(packing, "_needed", lambda *where: None if (pixels := needed(*where)) is None else pixels + (pixels > 1))
    monkeypatch.setattr(np, "array_equal", lambda one, other, equal_nan=False: True)  # what each file is checked by
    with pytest.raises(OutputError, match="draws other samples from it"):
        pack([rasters(recipe)], root, tmp_path / "pack")


def test_a_folder_with_something_in_it_is_left_alone(recipe: Recipe, root: Path) -> None:
    with pytest.raises(OutputError, match="is not empty"):
        pack([rasters(recipe)], root, root)


def test_networks_travel_in_halves(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = recipe.model_dump(mode="json")
    raw["losses"] = {"perceptual": [{"network": "vgg16", "taps": {tap: 1.0}} for tap in ("block1_conv2", "block2_conv1")]}
    network, _ = load_backbone("vgg16", "random", taps=("block2_conv1",))
    monkeypatch.setattr("sr_geo.train.packing.load_backbone", lambda name, *, taps: (network, "somebody's ImageNet"))
    assert pack_networks([Recipe.model_validate(raw)], tmp_path) == ["vgg16: somebody's ImageNet, stored in halves"]
    monkeypatch.undo()
    monkeypatch.setattr(weights, "weight_folders", lambda: (tmp_path,))
    monkeypatch.setattr(weights.packaged.Packaged, "find", lambda package: None)
    again, provenance = load_backbone("vgg16", taps=("block2_conv1",))
    assert provenance == "somebody's ImageNet, stored in halves"
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-3, atol=1e-6)
