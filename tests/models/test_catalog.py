import json
from pathlib import Path

import numpy as np
import pytest

from sr_geo.errors import ModelError
from sr_geo.models import catalog
from sr_geo.models.catalog import entries, for_bands, load_model
from tests.onnx_models import card, write_model


@pytest.mark.parametrize("name", entries())
def test_shipped_models_are_whole_and_do_what_their_card_says(name: str) -> None:
    upscaler = load_model(name)
    card = upscaler.card
    assert card.name == name
    assert upscaler.sha256 == entries()[name].sha256
    image = np.random.default_rng(0).random((len(card.bands), 9, 11)).astype(np.float32)
    out = upscaler(image)
    assert out.shape == (len(card.bands), 9 * card.scale, 11 * card.scale)
    if card.commutes_with_gain_and_offset:
        offsets = np.arange(len(card.bands), dtype=np.float32)[:, None, None]
        np.testing.assert_allclose(upscaler(8.0 * image + offsets), 8.0 * out + offsets, atol=2e-4)
        np.testing.assert_allclose(upscaler(np.full_like(image, 0.3)), 0.3, atol=1e-5)


@pytest.mark.parametrize("name", entries())
def test_shipped_models_see_no_further_than_their_halo(name: str) -> None:
    upscaler = load_model(name)
    card = upscaler.card
    if not card.exact_halo:
        pytest.skip("its halo is not the whole receptive field")
    size = 2 * card.halo + 1
    image = np.random.default_rng(0).random((len(card.bands), size + 4, size + 3)).astype(np.float32)
    centre = slice(card.halo * card.scale, (card.halo + 1) * card.scale)
    part = upscaler.run(image[:, 2 : 2 + size, 1 : 1 + size])[:, centre, centre]
    row, column = (2 + card.halo) * card.scale, (1 + card.halo) * card.scale
    whole = upscaler.run(image)[:, row : row + card.scale, column : column + card.scale]
    np.testing.assert_allclose(part, whole, atol=1e-5)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of our own: models of two, three and four bands, one that leans to perception and sees most, and one for photos."""
    import hashlib

    index = {}
    pleasing = card(name="satellite-pleasing-x4", bands=("blue", "green", "red", "nir", "swir1", "swir2"), leaning="perception")
    path = write_model(tmp_path / "satellite-pleasing-x4.onnx", pleasing)
    index[pleasing.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    for name, bands in {
        "satellite-gn-x4": ("green", "nir"),
        "satellite-rgb-x4": ("blue", "green", "red"),
        "satellite-rgbn-x4": ("blue", "green", "red", "nir"),
        "photo-x4": ("blue", "green", "red", "nir", "swir1"),
    }.items():
        path = write_model(tmp_path / f"{name}.onnx", card(name=name, bands=bands))
        index[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "index.json").write_text(json.dumps(index), encoding="utf-8")
    monkeypatch.setattr(catalog, "_WEIGHTS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("roles", "name"),
    [
        ({"blue", "green", "red", "nir"}, "satellite-rgbn-x4"),
        ({"blue", "green", "red", "nir", "swir1", "swir2"}, "satellite-rgbn-x4"),
        ({"blue", "green", "red"}, "satellite-rgb-x4"),
        ({"green", "nir", "red"}, "satellite-gn-x4"),
        ({"red", "nir"}, None),
        (set(), None),
    ],
)
def test_the_model_that_uses_most_bands_is_chosen(shelf: Path, roles: set[str], name: str | None) -> None:
    del shelf
    entry = for_bands(roles)
    assert (entry and entry.name) == name


def test_a_changed_file_is_refused(shelf: Path) -> None:
    path = shelf / "satellite-gn-x4.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="sha256"):
        load_model("satellite-gn-x4")
    path.unlink()
    with pytest.raises(ModelError, match=r"cannot be read .*install sr-geo again"):
        load_model("satellite-gn-x4")


def test_an_unknown_name_brings_the_nearest(shelf: Path) -> None:
    with pytest.raises(ModelError, match=r"did you mean satellite-rgbn-x4\?"):
        load_model("satelite-rgbn")
    with pytest.raises(ModelError, match="there are photo-x4, satellite-gn-x4"):
        load_model("%%%%")
    assert load_model(shelf / "photo-x4.onnx", threads=1).card.name == "photo-x4"
    assert load_model(str(shelf / "photo-x4.onnx"), threads=1).card.name == "photo-x4"
