"""Tiny networks for pictures."""

from pathlib import Path

import pytest

from sr_geo.imaging.enlarge import Enlarger
from sr_geo.models.session import open_model
from tests.onnx_models import card, write_model

RGB = ("red", "green", "blue")


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file for red, green and blue in 0…1."""
    made = card(name="tiny-photo", bands=RGB, sigma=None, commutes_with_gain_and_offset=False, domain="photo")
    return write_model(tmp_path_factory.mktemp("models") / "tiny-photo.onnx", made)


@pytest.fixture(scope="session")
def enlarger(model_file: Path) -> Enlarger:
    """The same, opened."""
    return Enlarger(open_model(model_file, device="cpu", threads=1))


@pytest.fixture(scope="session")
def gray_enlarger(tmp_path_factory: pytest.TempPathFactory) -> Enlarger:
    """For gray in 0…1, as X-rays and CT are enlarged."""
    made = card(name="tiny-gray", bands=("gray",), sigma=None, commutes_with_gain_and_offset=False, domain="medical")
    return Enlarger(open_model(write_model(tmp_path_factory.mktemp("models") / "tiny-gray.onnx", made), device="cpu", threads=1))
