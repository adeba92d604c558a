"""Which model, which blur, and which way each band goes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from sr_geo.consistency import Sensor, seen
from sr_geo.errors import BandError, BlurWarning, ModelError, ModelWarning, OptionError
from sr_geo.grid import TilePlan
from sr_geo.models.catalog import entries
from sr_geo.radiometry import Encoding, default_encoding
from sr_geo.raster.enhance import choose_tiles, enhance_raster
from sr_geo.raster.options import Options
from sr_geo.raster.planning import Blur, choose_model, find_blurs, measure_blurs, plan_bands
from sr_geo.raster.scene import Band, Scene
from sr_geo.raster.tiles import TilePlanning
from tests.onnx_models import card, write_model
from tests.raster.products import CORNER, write_raster
from tests.raster.test_enhance import RGBN

CARD = card()


def a_scene(*roles: str | None, height: int = 900, width: int = 1100, dtype: str = "uint16", **changes: object) -> Scene:
    bands = tuple(Band(role, role or "", default_encoding(dtype), dtype, "undefined", "", None) for role in roles)
    return replace(
        Scene(
            path="scene.tif",
            name="scene",
            sensor="sentinel-2",
            height=height,
            width=width,
            transform=CORNER,
            crs=CRS.from_epsg(32632),
            dtype=dtype,
            bands=bands,
            tags={},
            _layers=(),
        ),
        **changes,
    )


def plan(scene: Scene, blurs: Sequence[Blur] = (), **options: object) -> TilePlanning:
    chosen = blurs or [Blur(2.0, "given")] * len(scene.bands)
    return plan_bands(scene, CARD, chosen, **{"other_bands": "guided", "consistency": "psf", **options})


def test_channels_are_fed_by_role() -> None:
    planning = plan(a_scene("swir1", "nir", "red", None, "green", "blue"))
    assert [band.way for band in planning.bands] == ["guided", "network", "network", "guided", "network", "network"]
    assert planning.inputs == (5, 4, 2, 1)
    for channel, position in enumerate(planning.inputs):
        assert planning.bands[position].channels == (channel,)


def test_inputs_count_what_is_left_after_dropping() -> None:
    planning = plan(a_scene("swir1", "nir", "red", None, "green", "blue"), other_bands="drop")
    assert [band.index for band in planning.bands] == [1, 2, 4, 5]
    assert planning.inputs == (3, 2, 1, 0)


def test_classes_are_repeated() -> None:
    scene = a_scene(*RGBN)
    scene.bands = (*scene.bands, Band(None, "SCL", Encoding(), "uint16", "undefined", "", None, marks=True))
    assert [band.way for band in plan(scene).bands] == ["network"] * 4 + ["nearest"]
    assert [band.way for band in plan(scene, other_bands="drop").bands][-1] == "nearest"


def test_one_band_feeds_all_channels() -> None:
    planning = plan(a_scene(None))
    assert planning.inputs == (0, 0, 0, 0)
    assert planning.bands[0].channels == (0, 1, 2, 3)
    with_alpha = a_scene(None, None)
    with_alpha.bands = (with_alpha.bands[0], replace(with_alpha.bands[1], color="alpha"))
    assert [band.way for band in plan(with_alpha).bands] == ["network", "nearest"]


def test_bands_that_lack_are_named() -> None:
    with pytest.raises(BandError, match=r"needs blue, green, red, nir, there is no red, nir \(of its 3 bands, band 1 is blue"):
        plan(a_scene("blue", "green", None))


def test_one_nodata_for_all() -> None:
    scene = a_scene(*RGBN)
    scene.bands = tuple(
        replace(band, encoding=Encoding(1e-4, 0, nodata)) for band, nodata in zip(scene.bands, (None, 7, 8, None), strict=True)
    )
    assert {band.encoding.nodata for band in plan(scene).bands} == {7}


# Models


def test_a_model_that_leans_to_perception_is_taken_with_a_word_of_caution() -> None:
    with pytest.warns(ModelWarning, match="model satellite-rgb-perceptual-x4 leans to perception: to look at, not to measure in"):
        taken = choose_model(a_scene(*RGBN), "satellite-rgb-perceptual-x4", device="cpu", threads=1)
    assert taken.card.leaning == "perception"


def test_a_model_made_for_other_pictures_is_taken_with_a_word_of_caution() -> None:
    with pytest.warns(ModelWarning, match="model plate-rgb-x4 was made for domain plate, not satellite"):
        assert choose_model(a_scene(*RGBN), "plate-rgb-x4", device="cpu", threads=1).card.domain == "plate"


def test_the_model_with_most_bands_is_taken() -> None:
    taken = choose_model(a_scene(*RGBN, "swir1"), None, device="cpu", threads=1)
    assert taken.card.name == "satellite-rgbn-x4"


@pytest.mark.parametrize("roles", [("blue", "green", "red"), (None,)])
def test_fewer_bands_take_the_model_of_three(roles: tuple[str | None, ...]) -> None:
    if "satellite-rgb-x4" not in entries():
        pytest.skip("satellite-rgb-x4 is not part of this build")
    assert choose_model(a_scene(*roles), None, device="cpu", threads=1).card.name == "satellite-rgb-x4"


def test_classes_alone_are_nothing_to_enhance() -> None:
    scene = a_scene(None)
    scene.bands = (replace(scene.bands[0], marks=True),)
    with pytest.raises(BandError, match="holds classes, masks or qualities only"):
        choose_model(scene, None, device="cpu", threads=1)


def test_no_model_without_roles() -> None:
    with pytest.raises(BandError, match=r"nothing tells which of its 4 bands is which; say .* --bands r=3,g=2,b=1,nir=4"):
        choose_model(a_scene(None, None, None, None), None, device="cpu", threads=1)


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    path = write_model(tmp_path / "own.onnx", card(bands=("pan", "red"), name="own"))
    for model in (path, str(path)):
        assert choose_model(a_scene(*RGBN), model, device="cpu", threads=1).card.name == "own"
    with pytest.raises(ModelError):
        choose_model(a_scene(*RGBN), "own", device="cpu", threads=1)


@pytest.mark.parametrize("trait", ["exact_halo", "commutes_with_gain_and_offset"])
def test_models_that_rasters_cannot_use(tmp_path: Path, trait: str) -> None:
    path = write_model(tmp_path / "own.onnx", card(name="own", **{trait: False}))
    with pytest.raises(ModelError, match=rf"model own: .*\({trait} in its card is false\).*sr-geo models list") as caught:
        choose_model(a_scene(*RGBN), path, device="cpu", threads=1)
    assert "\n" not in str(caught.value)


# Blur


def test_a_given_blur_is_for_all_bands_as_wide_as_their_pixels() -> None:
    scene = a_scene(*RGBN, "swir1", transform=CORNER @ Affine.scale(10, -10))
    scene.bands = (*scene.bands[:4], replace(scene.bands[4], metres=20.0))
    *fine, coarse = find_blurs(scene, 1.75)
    assert fine == [Blur(1.75, "given")] * 4
    assert coarse == Blur(3.5, "given, for pixels of 20 m")
    with pytest.raises(OptionError, match=r"psf 10: makes 20\.0 output pixels for swir1 with its 20 m pixels, expected less than 20"):
        find_blurs(scene, 10.0)


def test_blurs_of_the_network_are_within_the_card() -> None:
    scene = a_scene(*RGBN, "swir1", None)
    blurs = [Blur(2.0, "given"), Blur(0.5, "measured"), Blur(9.0, "given"), *[Blur(3.2, "given")] * 2, Blur(4.5, "given")]
    with pytest.warns(BlurWarning, match=r"blur of green 0\.50, red 9\.00: tiny knows 1 to 3\.2 output pixels, the nearest is taken"):
        planning = plan(scene, blurs)
    assert [band.sigma for band in planning.bands] == [2.0, 1.0, 3.2, 3.2, 3.2, 4.5]
    assert planning.bands[1].sigma_from == "measured: 0.50, beyond the model's 1 to 3.2"
    without = plan_bands(scene, card(sigma=None), blurs, other_bands="guided", consistency="psf")
    assert [band.sigma for band in without.bands] == [blur.sigma for blur in blurs]


@pytest.fixture(scope="module")
def polygons() -> np.ndarray[Any, Any]:
    """Fine picture of 1200 × 1200 pixels with straight edges in many directions."""
    rng = np.random.default_rng(3)
    row, column = np.mgrid[:1200, :1200].astype(np.float32)
    picture = np.zeros((1200, 1200), np.float32)
    for _ in range(40):
        angle, value = rng.uniform(0, 2 * np.pi), rng.uniform(500, 4000)
        y, x = rng.uniform(0, 1200, 2)
        picture[(row - y) * np.sin(angle) + (column - x) * np.cos(angle) > 250] = value
    return picture


@pytest.mark.parametrize("sigma", [1.4, 2.4])
def test_the_blur_is_measured_on_edges(tmp_path: Path, polygons: np.ndarray[Any, Any], sigma: float) -> None:
    low = seen(polygons, Sensor(sigma)).astype(np.uint16)
    path = write_raster(tmp_path / "in.tif", np.stack([low, np.full_like(low, 7)]), descriptions=["red", "SCL"])
    with Scene.open(path) as scene:
        red, classes = measure_blurs(scene)
    assert red.origin.startswith("measured on ")
    assert abs(red.sigma - sigma) < 0.4
    assert classes == Blur(0.0, "not needed")


@pytest.mark.parametrize("sigma", [1.4, 2.4])
def test_the_blur_is_in_output_pixels_of_the_model(tmp_path: Path, polygons: np.ndarray[Any, Any], sigma: float) -> None:
    low = seen(polygons, Sensor(sigma)).astype(np.uint16)
    path = write_raster(tmp_path / "in.tif", np.stack([low, np.full_like(low, 9)]), descriptions=["red", "green"])
    with Scene.open(path) as scene:
        measured, default = find_blurs(scene, "auto", scale=2)
        assert find_blurs(scene, 1.3, scale=2) == (Blur(1.3, "given"),) * 2
        at_four = measure_blurs(scene)
    assert measured.origin.startswith("measured on ")
    assert abs(measured.sigma - sigma / 2) < 0.2
    assert default == Blur(0.8, "default (0 good edges are too few)")
    assert (measured.sigma, default.sigma) == pytest.approx([blur.sigma / 2 for blur in at_four])


def test_a_run_takes_the_blur_at_the_scale_of_its_model(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "in.tif", np.full((1, 60, 60), 9, np.uint8), descriptions=["red"])
    model = write_model(tmp_path / "own.onnx", card(bands=("red",), name="own", scale=2, sigma=(0.5, 1.6)))
    result = enhance_raster(source, tmp_path / "out.tif", Options(model=model, device="cpu", threads=1))
    assert [band.sigma for band in result.planning.bands] == [0.8]


def test_without_edges_the_sensor_has_a_blur(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "in.tif", np.full((1, 60, 60), 9, np.uint8), descriptions=["red"])
    with Scene.open(path) as scene:
        (blur,) = measure_blurs(scene)
    assert blur.origin == "default (0 good edges are too few)"
    assert 1.0 <= blur.sigma <= 3.2


# Tiles


def test_the_size_of_tiles_is_chosen_by_what_is_computed() -> None:
    scene = a_scene(*RGBN)
    planning = plan(scene)
    extent = TilePlan(scene.height, scene.width, 2000)[0]
    chosen, wanted = choose_tiles(scene, planning, None, None, extent)
    assert chosen.tile == 384
    assert wanted == list(range(len(chosen)))
    asked, _ = choose_tiles(scene, planning, 100, None, extent)
    assert asked.tile == 100
    small = a_scene(*RGBN, height=40, width=40)
    _, wanted = choose_tiles(small, planning, None, None, TilePlan(40, 40, 40)[0])
    assert wanted == [0]
