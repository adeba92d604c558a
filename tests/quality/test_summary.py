"""From a run to what its page says and shows."""

from pathlib import Path

import numpy as np
import pytest

from sr_geo.errors import ModelWarning
from sr_geo.quality.summary import report_of
from sr_geo.quality.view import View
from sr_geo.raster.enhance import enhance_raster
from sr_geo.raster.options import Options
from tests.onnx_models import card, write_model
from tests.raster.products import write_raster
from tests.raster.test_enhance import stored


@pytest.mark.parametrize("words", [(), ("Layer 1", "Layer 2", "Layer 3", "Layer 4"), ("red", "green", "blue", "nir")])
def test_both_pictures_have_the_colours_that_the_user_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Near infrared first: by their order the bands would make a false-colour picture."""
    values = stored("uint16", height=40, width=48)
    values = np.stack([values[3] * 3, values[2], values[1], values[0] // 2])
    source = write_raster(tmp_path / "in.tif", values, descriptions=words, photometric="MINISBLACK")
    tiny = write_model(tmp_path / "tiny.onnx", card())
    chosen = Options(model=tiny, psf=2.0, consistency="off", threads=1, device="cpu", bands={"n": 1, "r": 2, "g": 3, "b": 4})
    view = report_of(enhance_raster(source, tmp_path / "out.tif", chosen)).view
    assert isinstance(view, View)
    np.testing.assert_allclose(view.after.mean(axis=(0, 1)), view.before.mean(axis=(0, 1)), atol=3)


def test_the_page_says_that_a_model_leans_to_perception(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "in.tif", stored("uint16", height=40, width=48), descriptions=("blue", "green", "red", "nir"))
    tiny = write_model(tmp_path / "tiny.onnx", card(leaning="perception"))
    with pytest.warns(ModelWarning, match="leans to perception"):
        result = enhance_raster(source, tmp_path / "out.tif", Options(model=tiny, psf=2.0, consistency="off", threads=1, device="cpu"))
    assert report_of(result).model.startswith("tiny, which leans to perception: to look at, not to measure in")
