"""The window that is shown, its colours, and the picture of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from shapely.geometry import box

from sr_geo.errors import InputError
from sr_geo.quality import colours, quicklook
from sr_geo.quality.view import Label, View, read_view
from sr_geo.raster.scene import Scene

Write = Callable[..., Path]


@pytest.fixture
def view() -> View:
    random = np.random.default_rng(3)
    before = random.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    detail = random.random((80, 120), dtype=np.float32) * 0.02
    detail[:4] = np.nan
    ring = np.array([(10.0, 10.0), (90.0, 10.0), (90.0, 60.0), (10.0, 10.0)])
    return View(before, colours.enlarged(before, 4), 4, detail, 2.5, (ring,), (Label(40.0, 30.0, "Alpha"),))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, values: np.ndarray, transform: Affine, **profile: object) -> Path:
        path = tmp_path / name
        descriptions = profile.pop("descriptions", ("blue", "green", "red"))
        count, height, width = values.shape
        kind = {"driver": "GTiff", "crs": "EPSG:32642", "dtype": values.dtype.name, **profile}
        with rasterio.open(path, "w", count=count, height=height, width=width, transform=transform, **kind) as target:
            target.write(values)
            target.descriptions = descriptions  # type: ignore[assignment]
        return path

    return written


def pair(write: Write, *, cut: int = 0) -> tuple[Path, Path, np.ndarray]:
    """An input of 40 × 60 pixels and its enlargement, from which `cut` input pixels are taken away above and at the left."""
    random = np.random.default_rng(5)
    values = random.integers(100, 3000, (3, 40, 60)).astype(np.uint16)
    values[:, :5, :7] = 0
    grid = Affine(10, 0, 500_000, 0, -10, 5_600_000)
    fine = np.repeat(np.repeat(values, 4, axis=1), 4, axis=2)[:, 4 * cut :, 4 * cut :]
    first = write("in.tif", values, grid, nodata=0)
    return first, write("out.tif", fine, grid @ Affine.translation(cut, cut) @ Affine.scale(0.25), nodata=0), values


def read(first: Path, second: Path, third: Path | None = None, **options: object) -> View:
    with Scene.open(first) as before, Scene.open(second) as after:
        if third is None:
            return read_view(before, after, **options)  # type: ignore[arg-type]
        with Scene.open(third) as detail:
            return read_view(before, after, detail, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("cut", [0, 9])
@pytest.mark.parametrize("side", [16, 64, 1024])
def test_both_pictures_show_the_same_ground_with_the_same_stretch(write: Write, cut: int, side: int) -> None:
    first, second, _ = pair(write, cut=cut)
    shown = read(first, second, side=side)
    assert np.array_equal(colours.enlarged(shown.before, 4), shown.after)
    assert shown.scale == 4
    assert shown.metres == 2.5
    assert max(shown.after.shape[:2]) <= max(side, 32)


def test_picture_is_red_green_blue_by_role_and_grey_where_nothing_is(write: Write) -> None:
    first, second, values = pair(write)
    shown = read(first, second).before
    known = values[:, 5:, 7:].reshape(3, -1)
    assert tuple(shown[0, 0]) == colours.NOTHING
    assert np.corrcoef(shown[5:, 7:, 0].ravel(), known[2])[0, 1] > 0.95
    assert np.corrcoef(shown[5:, 7:, 2].ravel(), known[0])[0, 1] > 0.95


def test_window_is_about_the_parcels(write: Write) -> None:
    first, second, values = pair(write)
    parcel = box(500_400, 5_599_700, 500_480, 5_599_780)  # columns 40–48, rows 22–30
    shown = read(first, second, outlines=[parcel], side=64, bands=[2, 1, 0])
    assert shown.before.shape == (16, 16, 3)
    ring = shown.outlines[0]
    assert ring.min(axis=0).tolist() == [16, 16]
    assert ring.max(axis=0).tolist() == [48, 48]
    part = values[2, 18:34, 36:52].astype(float)
    assert np.corrcoef(shown.before[..., 0].ravel(), part.ravel())[0, 1] > 0.95


def test_window_does_not_fall_between_far_parcels(write: Write) -> None:
    first, second, _ = pair(write)
    parcels = [box(500_000, 5_599_600, 500_050, 5_599_650), box(500_540, 5_599_940, 500_600, 5_600_000)]
    assert len(read(first, second, outlines=parcels, side=64).outlines) == 1


def test_detail_is_decoded_and_unknown_where_there_is_nodata(write: Write) -> None:
    first, second, _ = pair(write)
    added = np.full((1, 160, 240), 0.02, np.float32)
    added[:, :20] = np.nan
    with rasterio.open(second) as raster:
        third = write("detail.tif", added, raster.transform, nodata=float("nan"), descriptions=("detail",))
    detail = read(first, second, third).detail
    assert detail is not None
    assert np.isnan(detail[:20]).all()
    assert np.allclose(detail[20:], 0.02)


def test_result_that_is_no_finer_grid_of_the_input_is_refused(write: Write) -> None:
    first, second, values = pair(write)
    with pytest.raises(InputError, match="finer grid"):
        read(second, first)
    far = write("far.tif", values, Affine(2.5, 0, 900_000, 0, -2.5, 5_600_000), nodata=0)
    with pytest.raises(InputError, match="shares no pixel"):
        read(first, far)


def test_quicklook_is_written_as_png(write: Write, tmp_path: Path) -> None:
    first, second, _ = pair(write)
    target = tmp_path / "look.png"
    quicklook.write_quicklook(target, first, second, outlines=[box(500_100, 5_599_700, 500_400, 5_599_900)])
    with Image.open(target) as image:
        assert image.format == "PNG"
        assert image.width > 2 * 240
    assert not list(tmp_path.glob(".*"))


def test_picture_of_a_view_has_a_panel_for_each(view: View) -> None:
    with_detail, without = quicklook.compose(view), quicklook.compose(replace(view, detail=None))
    assert with_detail.width > without.width
    assert with_detail.height == without.height


def test_colours_darken_with_the_detail() -> None:
    shades = colours.coloured(np.linspace(0, 1, 50, dtype=np.float32)[None], 1.0).astype(float)
    light = shades[0] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light) < 0).all()
    assert tuple(colours.coloured(np.full((1, 1), np.nan, np.float32), 1.0)[0, 0]) == colours.NOTHING


@pytest.mark.parametrize(("value", "expected"), [(0.011, 0.02), (0.02, 0.02), (3.1, 5.0), (70.0, 100.0), (1.0, 1.0)])
def test_scales_end_at_round_numbers(value: float, expected: float) -> None:
    assert colours.rounded_up(value) == expected


def test_names_stand_inside_their_parcels_and_inside_the_window(write: Write) -> None:
    first, second, _ = pair(write)
    parcels = [box(500_400, 5_599_700, 500_480, 5_599_780), box(500_000, 5_599_900, 500_060, 5_600_000)]
    whole = read(first, second, outlines=parcels, names=["A", "B"])
    assert next((label.text, round(label.x), round(label.y)) for label in whole.labels) == ("A", 176, 104)
    assert {label.text for label in whole.labels} == {"A", "B"}
    assert [label.text for label in read(first, second, outlines=parcels, names=["A", "B"], side=64).labels] in (["A"], ["B"])


def test_stretch_overdraws_no_band_and_a_cloud_darkens_nothing() -> None:
    random = np.random.default_rng(1)
    values = np.stack([random.normal(mean, spread, (64, 64)) for mean, spread in ((0.1, 0.02), (0.08, 0.02), (0.05, 0.001))])
    valid = np.ones(values.shape, np.bool_)
    limits = colours.stretch_of(values.astype(np.float32), valid)
    widths = [high - low for low, high in limits]
    assert min(widths) >= 0.59 * max(widths)
    cloudy = values.copy()
    cloudy[:, :8, :10] = 0.9  # 2 %
    assert colours.stretch_of(cloudy.astype(np.float32), valid)[0][1] < 0.2
    assert colours.stretch_of(values.astype(np.float32), ~valid) == [(0.0, 1.0)] * 3
