import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from sr_geo.errors import ModelError
from sr_geo.models.session import Upscaler, available_processors, open_model
from tests.onnx_models import HALO, card, write_model


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", card())


@pytest.fixture(scope="module")
def upscaler(path: Path) -> Upscaler:
    return open_model(path, device="cpu", threads=1)


def picture(height: int, width: int, bands: int = 4) -> np.ndarray:
    return np.random.default_rng(0).random((bands, height, width)).astype(np.float32)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 1), (5, 3), (12, 9)])
def test_any_size_is_enlarged(upscaler: Upscaler, size: tuple[int, int]) -> None:
    out = upscaler(picture(*size))
    assert out.shape == (4, 4 * size[0], 4 * size[1])
    assert out.dtype == np.float32
    assert np.isfinite(out).all()


def test_a_single_pixel_becomes_a_flat_block(upscaler: Upscaler) -> None:
    out = upscaler(picture(1, 1))
    np.testing.assert_allclose(out, np.broadcast_to(picture(1, 1), out.shape), atol=1e-6)


def test_a_window_with_its_halo_equals_the_whole(upscaler: Upscaler) -> None:
    image = picture(20, 18)
    whole = upscaler(image, sigma=2.0)
    part = upscaler.run(image[:, 4 - HALO : 11 + HALO, 5 - HALO : 13 + HALO], sigma=2.0)
    edge = 4 * HALO
    np.testing.assert_allclose(part[:, edge:-edge, edge:-edge], whole[:, 16:44, 20:52], atol=1e-6)


def test_mirroring_the_picture_mirrors_the_result(upscaler: Upscaler) -> None:
    image = picture(9, 8)
    np.testing.assert_allclose(upscaler(image[:, ::-1, ::-1]), upscaler(image)[:, ::-1, ::-1], atol=1e-6)


def test_views_and_other_types_are_taken(upscaler: Upscaler) -> None:
    image = picture(8, 9)
    np.testing.assert_array_equal(upscaler(image.transpose(0, 2, 1)), upscaler(np.ascontiguousarray(image.transpose(0, 2, 1))))
    np.testing.assert_array_equal(upscaler(image.astype(np.float64)), upscaler(image))


def test_blur_is_given_per_band_or_for_all_and_kept_in_range(upscaler: Upscaler) -> None:
    image = picture(8, 9)
    np.testing.assert_array_equal(upscaler(image, sigma=2.5), upscaler(image, sigma=[2.5] * 4))
    np.testing.assert_array_equal(upscaler(image), upscaler(image, sigma=2.1))
    np.testing.assert_array_equal(upscaler(image, sigma=9.0), upscaler(image, sigma=3.2))
    mixed = upscaler(image, sigma=[1.0, 2.0, 3.0, 1.0])
    np.testing.assert_allclose(mixed[1], upscaler(image, sigma=2.0)[1], atol=1e-6)
    with pytest.raises(ValueError, match="blur"):
        upscaler(image, sigma=[1.0, 2.0])


@pytest.mark.parametrize("shape", [(3, 8, 8), (5, 8, 8), (8, 8), (1, 4, 8, 8), (4, 0, 8), (4, 8, 0)])
def test_other_bands_and_empty_pictures_are_refused(upscaler: Upscaler, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="blue, green, red, nir"):
        upscaler(np.zeros(shape, np.float32))


def test_threads_get_the_same_result(upscaler: Upscaler) -> None:
    images = [picture(20, 20) * (1 + number) for number in range(8)]
    alone = [upscaler(image) for image in images]
    with ThreadPoolExecutor(2) as pool:
        for one, other in zip(alone, pool.map(upscaler, images), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_network_without_blur_takes_none(tmp_path: Path) -> None:
    upscaler = open_model(write_model(tmp_path / "plain.onnx", card(sigma=None)), device="cpu", threads=1)
    assert upscaler(picture(5, 5), sigma=2.0).shape == (4, 20, 20)
    with pytest.raises(ValueError, match="no blur"):
        upscaler.clip_sigma(2.0)


def test_the_hash_is_that_of_the_file(path: Path, upscaler: Upscaler) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert upscaler.sha256 == digest
    assert open_model(path, sha256=digest, threads=1).card == card()
    with pytest.raises(ModelError, match="sha256 is"):
        open_model(path, sha256="0" * 64)


def test_no_file_is_opened_that_is_not_a_model(tmp_path: Path, path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        open_model(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match="cannot be read"):
        open_model(tmp_path)
    for name, content in {"empty": b"", "text": b"<html>not found</html>", "cut": path.read_bytes()[:300]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=r"not a usable ONNX model|without a card"):
            open_model(tmp_path / name)


def test_models_need_a_card_that_fits_them(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="without a card"):
        open_model(write_model(tmp_path / "a.onnx", card(), with_card=False))
    with pytest.raises(ModelError, match="card is not valid"):
        open_model(write_model(tmp_path / "b.onnx", card(), text="{}"))
    with pytest.raises(ModelError, match="card is not valid"):
        open_model(write_model(tmp_path / "c.onnx", card(), text="not JSON"))
    three = card(bands=("blue", "green", "red")).model_dump_json()
    with pytest.raises(ModelError, match="3 bands"):
        open_model(write_model(tmp_path / "d.onnx", card(), text=three))
    with pytest.raises(ModelError, match="takes image, by its card it should take image, sigma"):
        open_model(write_model(tmp_path / "e.onnx", card(sigma=None), text=card().model_dump_json()))


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="CUDA is here")
def test_cuda_is_asked_for_in_vain(path: Path) -> None:
    with pytest.raises(ModelError, match="--device cuda"):
        open_model(path, device="cuda")
    assert open_model(path, device="auto", threads=1).provider == "CPUExecutionProvider"


def test_cuda_libraries_installed_as_packages_are_loaded_first(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[str] = []

    def preload() -> None:
        called.append("preload")
        print("Failed to load libcublas")  # noqa: T201  # as ONNX Runtime does

    def session(content: bytes, options: ort.SessionOptions, providers: list[str]) -> ort.InferenceSession:
        called.append("session")
        assert providers == ["CUDAExecutionProvider", "CPUExecutionProvider"]
        return opened(content, options, providers=["CPUExecutionProvider"])

    opened = ort.InferenceSession
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "preload_dlls", preload, raising=False)
    monkeypatch.setattr(ort, "InferenceSession", session)
    open_model(path, device="auto", threads=1)
    assert called == ["preload", "session"]
    assert capsys.readouterr().out == ""
    monkeypatch.delattr(ort, "preload_dlls")  # before ONNX Runtime 1.21
    open_model(path, device="auto", threads=1)
    assert called == ["preload", "session", "session"]


def test_processors_are_counted() -> None:
    assert available_processors() >= 1
