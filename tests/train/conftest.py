"""A small raster and a small recipe to train on."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from sr_geo.train.recipe import Recipe

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def imagery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``fields.tif``: 3 bands (blue, green, red) of 160 × 160 px, blocks of different brightness with soft noise."""
    folder = tmp_path_factory.mktemp("imagery")
    rng = np.random.default_rng(3)
    blocks = rng.uniform(500, 3000, (3, 10, 10)).repeat(16, axis=1).repeat(16, axis=2)
    pixels = (blocks + rng.normal(0, 20, blocks.shape)).astype(np.uint16)
    profile = {
        "driver": "GTiff",
        "width": 160,
        "height": 160,
        "count": 3,
        "dtype": "uint16",
        "crs": 32642,
        "transform": from_origin(0, 0, 10, 10),
    }
    with rasterio.open(folder / "fields.tif", "w", **profile) as dataset:
        dataset.write(pixels)
    return folder


@pytest.fixture
def recipe() -> Recipe:
    """Six steps of a 16-channel network of two blocks, in float32 on every machine: tests compare what two ways of training give."""
    source = {"kind": "rasters", "name": "fields", "files": ["fields.tif"], "bands": ["blue", "green", "red"], "licence": "CC0"}
    return Recipe.model_validate(
        {
            "name": "tiny-x4",
            "title": "A test",
            "domain": "satellite",
            "limits": "Of no use.",
            "model": {"family": "compact", "bands": ["blue", "green", "red"], "width": 16, "blocks": 2},
            "sources": [{**source, "rows": [0, 112]}],
            "validation": [{**source, "rows": [112, 160]}],
            "degradation": {"kind": "sensor"},
            "loop": {
                "optimiser": "muon",
                "learning_rate": 2e-3,
                "precision": "32-true",
                "workers": 0,
                "iterations": 6,
                "batch": 2,
                "patch": 16,
                "warmup": 2,
                "validate_every": 3,
            },
        }
    )
