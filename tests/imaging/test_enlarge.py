from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_geo.consistency import Sensor
from sr_geo.errors import ModelError
from sr_geo.grid import Window
from sr_geo.imaging.enlarge import Enlarger
from sr_geo.imaging.reduction import Bicubic, put_right, reduced
from sr_geo.models.session import Upscaler, open_model
from sr_geo.radiometry import Float
from tests.onnx_models import card, write_model

RGB = ("red", "green", "blue")


def upscaler(folder: Path, bands: tuple[str, ...] = RGB) -> Upscaler:
    """A tiny network for pictures."""
    made = card(bands=bands, sigma=None, commutes_with_gain_and_offset=False, domain="photo")
    return open_model(write_model(folder / f"{'-'.join(bands)}.onnx", made), device="cpu", threads=1)


def picture(bands: int, height: int, width: int, seed: int = 0) -> Float:
    return np.random.default_rng(seed).random((bands, height, width), np.float32)


@pytest.mark.parametrize("optics", [None, Bicubic(), Sensor(1.2)])
@pytest.mark.parametrize(("height", "width", "tile"), [(37, 50, 16), (37, 50, 20), (5, 3, 16), (16, 33, 16), (1, 1, 8)])
def test_tiles_equal_the_whole(tmp_path: Path, optics: Bicubic | Sensor | None, height: int, width: int, tile: int) -> None:
    network, frame = upscaler(tmp_path), picture(3, height, width)
    whole = Enlarger(network, optics, tile=1000)(frame)
    assert whole.shape == (3, 4 * height, 4 * width)
    np.testing.assert_allclose(Enlarger(network, optics, tile=tile)(frame), whole, atol=2e-6)


def test_without_optics_it_is_what_the_network_gives(tmp_path: Path) -> None:
    network, frame = upscaler(tmp_path), picture(3, 21, 18)
    np.testing.assert_allclose(Enlarger(network, tile=16)(frame), network(frame), atol=1e-6)


def test_made_small_again_the_result_is_the_input(tmp_path: Path) -> None:
    from scipy.ndimage import gaussian_filter

    frame = gaussian_filter(picture(3, 48, 48), (0, 1.5, 1.5))
    network = upscaler(tmp_path)
    held = np.stack([reduced(plane, Bicubic()) for plane in Enlarger(network, Bicubic())(frame)])
    free = np.stack([reduced(plane, Bicubic()) for plane in Enlarger(network)(frame)])
    inner = frame[:, 2:-2, 2:-2]
    assert np.abs(held - inner).max() < 0.5 / 255
    assert np.abs(free - inner).max() > 10 * np.abs(held - inner).max()


@pytest.mark.parametrize("optics", [Bicubic(), Sensor(1.2)])
def test_fidelity_is_the_share_of_the_way_to_the_input(tmp_path: Path, optics: Bicubic | Sensor) -> None:
    network, frame = upscaler(tmp_path), picture(3, 37, 50)
    own, right = Enlarger(network)(frame), Enlarger(network, optics)(frame)
    assert np.abs(right - own).max() > 0.01
    for share in (0.0, 0.25, 0.5, 1.0):
        for tile in (16, 1000):
            made = Enlarger(network, optics, tile, fidelity=share)(frame)
            np.testing.assert_allclose(made, own + share * (right - own), atol=2e-6)


def test_what_fidelity_leaves_of_the_networks_error(tmp_path: Path) -> None:
    """At a half, made small again, the picture is off by half of what the network alone is off."""
    from scipy.ndimage import gaussian_filter

    frame, network = gaussian_filter(picture(3, 48, 48), (0, 1.5, 1.5)), upscaler(tmp_path)

    def off(fidelity: float) -> float:
        fine = Enlarger(network, Bicubic(), fidelity=fidelity)(frame)
        return float(np.abs(np.stack([reduced(plane, Bicubic()) for plane in fine]) - frame[:, 2:-2, 2:-2]).mean())

    assert off(0.5) == pytest.approx(0.5 * off(0.0), rel=0.1)
    assert off(1.0) < 0.1 * off(0.0)


def test_the_reduction_is_that_of_pillow() -> None:
    fine = picture(1, 80, 60)[0]
    small = np.asarray(Image.fromarray(fine).resize((15, 20), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(reduced(fine, Bicubic()), small[2:-2, 2:-2], atol=1e-6)


def test_a_picture_that_is_right_is_not_moved() -> None:
    fine = picture(1, 96, 96)[0]
    margin = Bicubic().halo
    measured = np.pad(reduced(fine, Bicubic()), 2, mode="edge")
    inside = put_right(fine, measured, Bicubic())[8:-8, 8:-8]
    np.testing.assert_allclose(inside, fine[4 * margin + 8 : -4 * margin - 8, 4 * margin + 8 : -4 * margin - 8], atol=1e-5)


@pytest.mark.parametrize("order", [("red", "green", "blue"), ("blue", "green", "red"), ("green", "red", "blue")])
def test_bands_are_given_by_their_role(tmp_path: Path, order: tuple[str, ...]) -> None:
    network, frame = upscaler(tmp_path, order), picture(3, 12, 12)
    where = [RGB.index(role) for role in order]
    expected = np.empty((3, 48, 48), np.float32)
    expected[where] = network(frame[where])
    np.testing.assert_allclose(Enlarger(network)(frame), expected, atol=1e-6)


def test_gray_through_colour_is_the_mean_of_its_answers(tmp_path: Path) -> None:
    network, frame = upscaler(tmp_path), picture(1, 12, 12)
    expected = network(np.repeat(frame, 3, axis=0)).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(Enlarger(network)(frame), expected, atol=1e-6)


def test_colour_through_gray_is_each_colour_by_itself(tmp_path: Path) -> None:
    network, frame = upscaler(tmp_path, ("gray",)), picture(3, 12, 12)
    expected = np.concatenate([network(plane[None]) for plane in frame])
    np.testing.assert_allclose(Enlarger(network)(frame), expected, atol=1e-6)


def test_only_windows_inside_are_read_and_none_is_large(tmp_path: Path) -> None:
    height, width, asked = 96, 640, []

    def read(window: Window) -> Float:
        asked.append(window)
        assert window.row >= 0
        assert window.column >= 0
        assert window.row_stop <= height
        assert window.column_stop <= width
        return np.zeros((3, *window.shape), np.float32)

    enlarger = Enlarger(upscaler(tmp_path), Bicubic(), tile=32)
    shapes = [fine.shape for _, fine in enlarger.pieces(read, height, width)]
    assert shapes == [(3, 128, 128)] * enlarger.count(height, width)
    assert max(window.height * window.width for window in asked) <= (32 + 2 * enlarger.halo) ** 2


def test_bands_that_pictures_do_not_have_are_refused(tmp_path: Path) -> None:
    network = upscaler(tmp_path, ("blue", "green", "red", "nir"))
    with pytest.raises(ModelError, match="pictures have gray, or red, green and blue"):
        Enlarger(network)(picture(3, 8, 8))
