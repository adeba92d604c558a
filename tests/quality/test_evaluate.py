import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from sr_geo.consistency import Sensor, make_consistent, seen
from sr_geo.errors import EvaluationError, EvaluationWarning, InputError, MissingPartError, OptionError, OutputError
from sr_geo.quality.evaluate import evaluate_rasters
from sr_geo.quality.evaluation import Evaluation, write_json
from sr_geo.quality.lpips import INSTALL, is_available
from sr_geo.quality.metrics import moments, psnr, ssim
from sr_geo.radiometry import fill_invalid
from sr_geo.resample import cubic

Write = Callable[..., Path]
FINE, COARSE = Affine(2.5, 0, 600_000, 0, -2.5, 5_200_000), Affine(10, 0, 600_000, 0, -10, 5_200_000)
BANDS = ("blue", "green", "red", "nir")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a raster and says where."""

    def write(
        name: str, values: np.ndarray, *, transform: Affine = FINE, bands: Sequence[str] = BANDS, crs: str = "EPSG:32642",
        nodata: float | None = None, scale: float = 1.0, offset: float = 0.0, tags: dict[str, str] | None = None,
    ) -> Path:  # fmt: skip
        path = tmp_path / name
        profile: dict[str, Any] = {"driver": "GTiff", "crs": crs, "transform": transform, "dtype": values.dtype, "nodata": nodata}
        with rasterio.open(path, "w", count=len(values), height=values.shape[1], width=values.shape[2], **profile) as dataset:
            dataset.write(values)
            if bands:
                dataset.descriptions = tuple(bands)
            if (scale, offset) != (1.0, 0.0):
                dataset.scales, dataset.offsets = (scale,) * len(values), (offset,) * len(values)
            dataset.update_tags(**(tags or {}))
        return path

    return write


def pictures(bands: int = 4, size: tuple[int, int] = (160, 192)) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance × 10000 as uint16: a truth, and one like it with errors."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(4)
    truth = 2000.0 + 3000.0 * gaussian_filter(rng.normal(size=(bands, *size)), (0, 2, 2))
    other = gaussian_filter(truth, (0, 1, 1)) + 10.0
    return truth.clip(1, 9999).round().astype(np.uint16), other.clip(1, 9999).round().astype(np.uint16)


def test_figures_are_those_of_the_arrays(write: Write) -> None:
    truth, other = pictures()
    found = evaluate_rasters(write("t.tif", truth), write("e.tif", other), border=4, data_range=5000.0)
    expected = psnr(truth, other, data_range=5000.0, border=4)
    assert found.together.psnr == pytest.approx(expected.together)
    assert [band.psnr for band in found.bands] == pytest.approx(expected.bands)
    assert found.together.ssim == pytest.approx(ssim(truth, other, data_range=5000.0, border=4).together, abs=1e-5)
    assert [band.name for band in found.bands] == list(BANDS)
    assert found.together.bias == pytest.approx(10.0, abs=1.0)
    assert found.compared == 1.0


def test_windows_change_nothing(write: Write) -> None:
    truth, other = pictures()
    coarse = truth.reshape(4, 40, 4, 48, 4).mean(axis=(2, 4)).round().astype(np.uint16)
    paths = write("t.tif", truth), write("e.tif", other)
    lr = write("lr.tif", coarse, transform=COARSE)
    whole, tiled = (evaluate_rasters(*paths, lr=lr, psf=1.6, border=3, tile=tile) for tile in (1024, 52))
    for one, two in zip(whole.rows()[1:], tiled.rows()[1:], strict=True):
        assert one[0] == two[0]
        assert [float(x) for x in one[1:] if x] == pytest.approx([float(x) for x in two[1:] if x], rel=1e-3)
    assert whole.consistency is not None
    assert tiled.consistency is not None
    assert whole.consistency.mean_absolute == pytest.approx(tiled.consistency.mean_absolute, rel=1e-5)


def test_equal_rasters_are_perfect_and_the_table_says_so(write: Write) -> None:
    truth, _ = pictures()
    found = evaluate_rasters(write("t.tif", truth), write("e.tif", truth), perceptual=False)
    assert found.together.psnr is None
    assert found.together.rmse == 0.0
    assert found.rows()[1] == ("PSNR, dB", "∞", "∞", "∞", "∞", "∞")


def test_the_table_is_rectangular_and_the_json_comes_back(write: Write) -> None:
    truth, other = pictures()
    lr = write("lr.tif", truth[:, ::4, ::4].copy(), transform=COARSE)
    found = evaluate_rasters(write("t.tif", truth), write("e.tif", other), lr=lr)
    assert {len(row) for row in found.rows()} == {6}
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


def test_the_json_replaces_nothing_unasked(write: Write, tmp_path: Path) -> None:
    truth, other = pictures()
    found = evaluate_rasters(write("t.tif", truth), write("e.tif", other), perceptual=False)
    target = tmp_path / "figures.json"
    target.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="--overwrite"):
        write_json(target, found)
    assert target.read_text("utf-8") == "mine"
    write_json(target, found, overwrite=True)
    assert Evaluation.model_validate_json(target.read_text("utf-8")) == found
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("tile", [1024, 37])
def test_interpolation_is_the_yardstick(write: Write, tile: int) -> None:
    from scipy.ndimage import gaussian_filter

    truth, other = pictures()
    coarse = gaussian_filter(truth.astype(np.float32), (0, 1.6, 1.6)).reshape(4, 40, 4, 48, 4).mean(axis=(2, 4)).round().astype(np.uint16)
    coarse[:, 20:22, 20:24] = 0
    lr = write("lr.tif", coarse, transform=COARSE, nodata=0)
    paths = write("t.tif", truth), write("e.tif", other)
    found = evaluate_rasters(*paths, lr=lr, border=8, data_range=5000.0, tile=tile, perceptual=False)
    together, *bands = found.interpolation
    around = np.pad(coarse.astype(np.float32), ((0, 0), (2, 2), (2, 2)), mode="symmetric")
    for plane in around:
        plane[:] = fill_invalid(plane, plane > 0)
    enlarged = np.stack([cubic(plane, 4) for plane in around])
    valid = (coarse > 0).repeat(4, axis=1).repeat(4, axis=2)
    assert together.psnr == pytest.approx(psnr(truth, enlarged, data_range=5000.0, border=8, valid=valid).together, abs=1e-4)
    assert [band.name for band in bands] == list(BANDS)
    assert found.rows()[6][0] == "PSNR, dB: cubic only"


def test_the_table_says_the_peak_and_what_was_left_out(write: Write) -> None:
    truth, other = pictures()
    truth[:, :16] = 0
    rows = evaluate_rasters(write("t.tif", truth, nodata=0), write("e.tif", other), data_range=5000.0, perceptual=False).rows()
    assert ("peak of PSNR and SSIM", "5000", "", "", "", "") in rows
    assert ("valid in both, %", "90.0", "", "", "", "") in rows


def test_nodata_is_left_out_whatever_it_holds(write: Write) -> None:
    truth, other = pictures()
    truth[:, 20:60, 30:90], other[:, 100:120, :] = 0, 0
    found = evaluate_rasters(write("t.tif", truth, nodata=0), write("e.tif", other, nodata=0), data_range=5000.0)
    valid = (truth > 0) & (other > 0)
    assert found.together.psnr == pytest.approx(psnr(truth, other, data_range=5000.0, valid=valid).together)
    assert found.compared == pytest.approx(valid.mean())


def test_nothing_valid_in_common_gives_no_figure(write: Write) -> None:
    truth, other = pictures()
    truth[:, :80], other[:, 80:] = 0, 0
    with pytest.warns(EvaluationWarning, match="no pixel holds a value in both"):
        found = evaluate_rasters(write("t.tif", truth, nodata=0), write("e.tif", other, nodata=0))
    assert found.compared == 0.0
    assert found.together.psnr is None
    assert found.rows()[1][1] == "–"


def test_bands_are_paired_by_role(write: Write) -> None:
    truth, other = pictures()
    swapped = write("e.tif", other[::-1].copy(), bands=BANDS[::-1])
    found = evaluate_rasters(write("t.tif", truth[:3], bands=BANDS[:3]), swapped)
    assert [band.name for band in found.bands] == ["blue", "green", "red"]
    assert found.together.bias == pytest.approx(10.0, abs=1.0)


def test_scale_and_offset_are_taken_into_account(write: Write) -> None:
    truth, other = pictures()
    reflectance = (other * 1e-4).astype(np.float32)
    one = evaluate_rasters(write("t.tif", truth), write("e.tif", other))
    two = evaluate_rasters(write("t2.tif", truth, scale=1e-4, offset=-0.1), write("e2.tif", reflectance - np.float32(0.1), bands=BANDS))
    assert two.together.rmse == pytest.approx(one.together.rmse, rel=1e-3)


@pytest.mark.parametrize(("scale", "offset"), [(1e-4, -0.1), (2.75e-5, -0.2)], ids=["Sentinel-2 since 2022", "Landsat level 2"])
def test_spectral_figures_are_of_physical_values(write: Write, scale: float, offset: float) -> None:
    truth, other = (x.astype(np.float32) * np.float32(1e-4) for x in pictures())
    stored = [np.round((x - offset) / scale).astype(np.uint16) for x in (truth, other)]
    told = [write(f"{name}.tif", x, scale=scale, offset=offset) for name, x in zip("te", stored, strict=True)]
    expected = moments(truth, other)
    assert abs(moments(*stored).sam - expected.sam) > 0.3 * expected.sam  # what stored values would say
    for paths in (told, [write("tf.tif", truth), write("ef.tif", other)], [told[0], write("e2.tif", other)]):
        found = evaluate_rasters(*paths, perceptual=False)
        assert found.sam == pytest.approx(expected.sam, rel=2e-3)
        assert found.ergas == pytest.approx(expected.ergas(4), rel=2e-3)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_raster_that_lost_its_scale_is_compared_as_it_is_stored(write: Write, dtype: type) -> None:
    # Landsat level 1: other programs write the same numbers without scale and offset, or as floating point.
    truth, other = pictures()
    expected = evaluate_rasters(write("t.tif", truth), write("e.tif", other), perceptual=False)
    path = write("stated.tif", truth, scale=2e-5, offset=-0.1)
    with pytest.warns(EvaluationWarning, match=r"blue, green, red, nir is stated; values are taken to be stored as in .*stated\.tif"):
        found = evaluate_rasters(path, write("bare.tif", other.astype(dtype)), perceptual=False)
    assert found.together == expected.together
    assert found.bands == expected.bands


def test_whole_numbers_as_floating_point_are_what_they_were(write: Write) -> None:
    truth, other = pictures()
    expected = evaluate_rasters(write("t.tif", truth), write("e.tif", other), perceptual=False)
    coarse = truth.reshape(4, 40, 4, 48, 4).mean(axis=(2, 4))
    with pytest.warns(EvaluationWarning, match="taken to be stored as in") as said:
        found = evaluate_rasters(
            write("t.tif", truth), write("f.tif", other.astype(np.float32)),
            lr=write("lr.tif", coarse.astype(np.float32), transform=COARSE), perceptual=False,
        )  # fmt: skip
    assert len(said) == 2, "one for each raster"
    assert found.together == expected.together
    assert found.consistency is not None
    assert found.consistency.mean_absolute is not None
    assert found.consistency.mean_absolute < 100.0


def test_values_in_no_common_unit_are_said(write: Write) -> None:
    truth, other = pictures()
    with pytest.warns(EvaluationWarning, match="no scale is stated; are both in one unit"):
        evaluate_rasters(write("t.tif", truth), write("e.tif", (other / 50).astype(np.float32)), perceptual=False)


def test_scenes_with_gaps_are_judged_by_their_whole_parts(write: Write) -> None:
    from sr_geo.quality.opensr import opensr

    truth, other = pictures(size=(256, 256))
    coarse = truth.reshape(4, 64, 4, 64, 4).mean(axis=(2, 4)).round().astype(np.uint16)
    truth[:, :20, :20] = 0
    paths = write("t.tif", truth, nodata=0), write("e.tif", other)
    found = evaluate_rasters(*paths, lr=write("lr.tif", coarse, transform=COARSE), psf=1.6, perceptual=False).trust
    assert found is not None
    windows = [(0, 32, 32), (32, 0, 32), (32, 32, 32), (0, 16, 16), (16, 0, 16), (16, 16, 16)]  # quarters, and quarters of the first
    images = ((coarse, 1), (other, 4), (truth, 4))
    assert found.scenes == len(windows)
    each = [
        opensr(*(1e-4 * image[:, y * k : (y + n) * k, x * k : (x + n) * k].astype(np.float64) for image, k in images))
        for y, x, n in windows
    ]
    weights = [n * n for _, _, n in windows]
    assert found.reflectance == pytest.approx(np.average([one.reflectance for one in each], weights=weights), rel=1e-6)
    holes = truth.copy()
    holes[:, ::40, ::40] = 0
    holes[:, 20::40, 20::40] = 0
    lr = write("l2.tif", coarse, transform=COARSE)
    with pytest.warns(EvaluationWarning, match="the opensr-test figures are left out"):
        empty = evaluate_rasters(write("h.tif", holes, nodata=0), paths[1], lr=lr, psf=1.6, perceptual=False)
    assert empty.trust is None


@pytest.mark.parametrize(("dtype", "peak", "rule"), [("uint8", 255.0, "8 bits"), ("uint16", None, "99.5th percentile of the reference")])
def test_the_data_range_is_stated(write: Write, dtype: str, peak: float | None, rule: str) -> None:
    truth = (pictures()[0] // 40).astype(dtype)
    found = evaluate_rasters(write("t.tif", truth), write("e.tif", truth), perceptual=False)
    assert found.data_range_rule == rule
    assert found.data_range == pytest.approx(np.percentile(truth, 99.5) if peak is None else peak)


def test_consistency_tells_a_consistent_raster_from_another_and_takes_the_blur_from_the_tags(write: Write) -> None:
    truth, _ = pictures()
    sensor = Sensor(1.3)
    pad = sensor.reach * 4
    fine = np.pad(truth.astype(np.float32), ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")
    coarse = np.stack([seen(plane, sensor) for plane in fine])
    edge = sensor.halo
    around = np.pad(coarse, ((0, 0), (edge, edge), (edge, edge)), mode="symmetric")
    smooth = around.repeat(4, axis=1).repeat(4, axis=2)
    right = np.stack([make_consistent(a, b, sensor) for a, b in zip(smooth, around, strict=True)])
    tags = {"SR_GEO_PSF": json.dumps(dict.fromkeys(BANDS, "1.300 (given)"))}
    lr = write("lr.tif", coarse.astype(np.float32), transform=COARSE)
    paths = write("t.tif", truth.astype(np.float32)), write("e.tif", right, tags=tags), write("w.tif", coarse.repeat(4, 1).repeat(4, 2))
    good, bad = evaluate_rasters(paths[0], paths[1], lr=lr).consistency, evaluate_rasters(paths[0], paths[2], lr=lr, psf=1.3).consistency
    assert good is not None
    assert bad is not None
    assert good.psf == (1.3,) * 4
    assert good.mean_absolute is not None
    assert bad.mean_absolute is not None
    assert good.mean_absolute < 0.5 * bad.mean_absolute


@pytest.mark.parametrize("scale", [2, 4, 5])
def test_the_usual_blur_is_as_wide_on_the_ground_at_every_ratio_of_pixel_sizes(write: Write, scale: int) -> None:
    from sr_geo.raster.roles import default_sigma

    truth, other = pictures(size=(160, 200))
    coarse = truth[:, ::scale, ::scale].copy()
    lr = write("lr.tif", coarse, transform=FINE @ Affine.scale(scale), tags={"SPACECRAFT_ID": "LANDSAT_8"})
    found = evaluate_rasters(write("t.tif", truth), write("e.tif", other), lr=lr, perceptual=False).consistency
    assert found is not None
    assert found.psf == pytest.approx([default_sigma("landsat-8", band) * scale / 4 for band in BANDS])


def test_a_usual_blur_beyond_what_can_be_computed_is_asked_for(write: Write) -> None:
    truth, other = pictures(size=(128, 128))
    lr = write("lr.tif", truth[:, ::64, ::64].copy(), transform=FINE @ Affine.scale(64))
    with pytest.raises(OptionError, match=r"blur 25\.6, 25\.6, 25\.6, 25\.6: expected 0 up to 20 pixels .*--psf"):
        evaluate_rasters(write("t.tif", truth), write("e.tif", other), lr=lr, perceptual=False)


def test_trust_of_the_truth_is_best(write: Write) -> None:
    truth, other = pictures()
    lr = write("lr.tif", truth.reshape(4, 40, 4, 48, 4).mean(axis=(2, 4)).round().astype(np.uint16), transform=COARSE)
    path = write("t.tif", truth)
    best, blurred = evaluate_rasters(path, path, lr=lr).trust, evaluate_rasters(path, write("e.tif", other), lr=lr).trust
    assert best is not None
    assert blurred is not None
    assert best.improvement == pytest.approx(0.9647, abs=2e-3)
    assert blurred.improvement is not None
    assert best.improvement is not None
    assert blurred.improvement < best.improvement


def test_an_alpha_band_is_not_compared(write: Write) -> None:
    truth, other = pictures()
    alpha = np.full((1, *truth.shape[1:]), 65535, np.uint16)
    path = write("t.tif", np.concatenate([truth, alpha]), bands=())
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [rasterio.enums.ColorInterp.gray] * 4 + [rasterio.enums.ColorInterp.alpha]
    assert len(evaluate_rasters(path, write("e.tif", other, bands=())).bands) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transform": FINE @ Affine.translation(1, -2)}, r"-2\.00 rows and 1\.00 columns off"),
        ({"transform": COARSE}, "the reference is finer"),
        ({"transform": Affine(1, 0, 600_000, 0, -1, 5_200_000)}, r"the reference is coarser .* finer imagery .* it goes to --lr"),
        ({"crs": "EPSG:32643"}, "coordinate systems"),
        ({"transform": FINE @ Affine.translation(0, 160)}, "they do not overlap"),
    ],
)
def test_other_grids_are_refused(write: Write, change: dict[str, Any], message: str) -> None:
    truth, other = pictures(1)
    with pytest.raises(EvaluationError, match=message):
        evaluate_rasters(write("t.tif", truth, bands=()), write("e.tif", other, bands=(), **change))


def test_other_extents_bands_and_inputs_are_refused(write: Write) -> None:
    truth, other = pictures()
    path = write("t.tif", truth)
    with pytest.raises(EvaluationError, match="same extent"):
        evaluate_rasters(path, write("a.tif", other[:, :-1].copy()))
    with pytest.raises(EvaluationError, match=r"has 4 band\(s\)"):
        evaluate_rasters(path, write("b.tif", other[:2].copy(), bands=()))
    enhanced = write("c.tif", other)
    with pytest.raises(EvaluationError, match="are not the input"):
        evaluate_rasters(path, enhanced, lr=enhanced)
    with pytest.raises(EvaluationError, match="nothing is left"):
        evaluate_rasters(path, enhanced, border=80)
    coarse = write("d.tif", truth[:, ::4, ::4].copy(), transform=COARSE)
    with pytest.raises(EvaluationError, match="2 blurs for 4 bands"):
        evaluate_rasters(path, enhanced, lr=coarse, psf=(1.0, 2.0))
    for psf in (-1.0, 20.0, math.nan, (1.0, -1.0, 1.0, 1.0)):
        with pytest.raises(OptionError, match="expected 0 up to 20 pixels"):
            evaluate_rasters(path, enhanced, lr=coarse, psf=psf)
    with pytest.raises(OptionError, match="data range 0: expected more than 0"):
        evaluate_rasters(path, enhanced, data_range=0.0)
    with pytest.raises(EvaluationError, match="give it by --data-range"):
        evaluate_rasters(write("g.tif", -truth.astype(np.int16)), enhanced)
    with pytest.raises(EvaluationError, match="no valid value"):
        evaluate_rasters(write("h.tif", truth * 0, nodata=0), enhanced)
    with pytest.raises(EvaluationError, match="lacks bands"):
        evaluate_rasters(path, enhanced, lr=write("f.tif", truth[:3, ::4, ::4].copy(), transform=COARSE, bands=BANDS[:3]))
    with pytest.raises(InputError):
        evaluate_rasters(path, path.with_name("none.tif"))


def test_ms_ssim_is_that_of_the_whole_whatever_the_windows(write: Write) -> None:
    from sr_geo.quality.multiscale import ms_ssim

    rng = np.random.default_rng(4)
    truth = rng.integers(500, 4000, (1, 14, 13)).repeat(16, axis=1).repeat(16, axis=2) + rng.integers(0, 200, (1, 224, 208))
    other = (truth + rng.integers(-150, 150, truth.shape)).astype(np.uint16)
    truth = truth.astype(np.uint16)
    truth[:, 4:12, 6:15] = 0
    paths = write("t.tif", truth, nodata=0, bands=("red",)), write("e.tif", other, bands=("red",))
    expected = ms_ssim(truth, other, data_range=4000.0, valid=truth > 0, border=2)
    for tile in (1024, 70):
        found = evaluate_rasters(*paths, border=2, data_range=4000.0, tile=tile, perceptual=False)
        assert found.together.ms_ssim == pytest.approx(expected.together, abs=1e-5)
        assert found.bands[0].ms_ssim == pytest.approx(expected.bands[0], abs=1e-5)
        assert "MS-SSIM" in [row[0] for row in found.rows()]
    small, other_small = pictures()
    rows = evaluate_rasters(write("ts.tif", small), write("es.tif", other_small), perceptual=False).rows()
    assert "MS-SSIM" not in [row[0] for row in rows]  # 160 rows hold no five resolutions


@pytest.mark.skipif(not is_available(), reason=f"the LPIPS weights are not installed: {INSTALL}")
def test_each_band_can_be_judged_as_a_gray_picture(write: Write) -> None:
    from sr_geo.quality.lpips import lpips

    truth, other = pictures()
    paths = write("t.tif", truth), write("e.tif", other)
    found = evaluate_rasters(*paths, data_range=5000.0, each_band=True)
    for index, band in enumerate(found.bands):
        a, b = ((x[[index] * 3] / 5000.0).clip(0, 1).astype(np.float32) for x in (truth, other))
        assert band.lpips == pytest.approx(lpips(a, b), rel=1e-4)
    (row,) = [row for row in found.rows() if row[0].startswith("LPIPS")]
    assert all(row)
    assert all(band.lpips is None for band in evaluate_rasters(*paths, data_range=5000.0).bands)


def test_dists_names_what_is_missing(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from sr_geo.quality.dists import _term

    _term.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    truth, other = pictures()
    with pytest.raises(MissingPartError, match=r"DISTS needs torch, torchmetrics, safetensors.*sr-geo\[train\]"):
        evaluate_rasters(write("t.tif", truth), write("e.tif", other), with_dists=True, perceptual=False)
