"""The report and the quick look: what they show, that they need nothing else, and that the slider works in a browser."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from shapely.geometry import box

from sr_geo.errors import InputError
from sr_geo.quality import quicklook, report
from sr_geo.quality.report import BandFacts, ReportData, render_report, write_report
from sr_geo.raster.scene import Scene
from sr_geo.raster.zonal import ParcelRow as ZonalRow

VOID = {"meta", "img", "input", "br", "hr", "link"}
SVG_EMPTY = {"line", "circle", "polyline", "polygon", "path"}


@dataclass(frozen=True)
class Row:
    name: str
    area_ha: float = 12.5
    pixels_before: float = 1250.4
    means_before: dict[str, float | None] = field(default_factory=lambda: {"red": 0.0812, "nir": 0.31})
    means_after: dict[str, float | None] = field(default_factory=lambda: {"red": 0.0813, "nir": None})
    ndvi_before: float | None = 0.58
    ndvi_after: float | None = None
    detail: float | None = 0.0042
    narrow: bool = False


class Page(HTMLParser):
    """Checks that elements nest, and collects them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SVG_EMPTY, f"<{tag}/> closes nothing in HTML"
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def made(view: quicklook.View | None = None, **changes: object) -> ReportData:
    bands = (
        BandFacts("red", "network", 0.0812, 0.0811, sigma=2.2, sigma_from="sensor default", drift=0.00003, drift_before=0.0008),
        BandFacts("nir", "guided", 0.3104, 0.3105, sigma=2.4, sigma_from="given"),
    )
    data = ReportData(
        input_name="field.tif",
        output_name="field_x4.tif",
        model="rgbn-x4",
        model_sha256="0123456789abcdef" * 4,
        bands=bands,
        tiles=12,
        seconds=75.0,
        created="23 November 2026",
        version="0.1.0",
        view=view,
        input_metres=10.0,
    )
    return replace(data, **changes)  # type: ignore[arg-type]


@pytest.fixture
def view() -> quicklook.View:
    random = np.random.default_rng(3)
    before = random.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    detail = random.random((80, 120), dtype=np.float32) * 0.02
    detail[:4] = np.nan
    ring = np.array([(10.0, 10.0), (90.0, 10.0), (90.0, 60.0), (10.0, 10.0)])
    return quicklook.View(before, quicklook.enlarged(before, 4), 4, detail, 2.5, (ring,))


# The page


@pytest.mark.parametrize("parcels", [(), (Row("Alpha"), Row("Beta", narrow=True))])
@pytest.mark.parametrize("with_view", [True, False])
def test_page_is_well_formed(view: quicklook.View, with_view: bool, parcels: tuple[Row, ...]) -> None:
    page = Page(render_report(made(view if with_view else None, parcels=parcels)))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [attributes["lang"] for attributes in page.all("html")] == ["en"]
    assert bool(page.all("img")) == with_view


def test_page_loads_nothing_from_elsewhere(view: quicklook.View) -> None:
    text = render_report(made(view, parcels=[Row("Alpha")]))
    page = Page(text)
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "poster", "action", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, name)
        assert tag not in ("link", "iframe", "object", "embed", "base")
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_slider_and_pictures_can_be_used_without_eyes_or_mouse(view: quicklook.View) -> None:
    page = Page(render_report(made(view, parcels=[Row("Alpha")])))
    slider = next(attributes for attributes in page.all("input") if attributes["type"] == "range")
    assert slider["aria-label"]
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert all("scope" in attributes for attributes in page.all("th"))


def test_names_stay_text(view: quicklook.View) -> None:
    evil = "<script>alert('x')</script>"
    text = render_report(
        made(
            view,
            input_name=evil,
            parcels=[Row(evil, means_before={evil: 1.0}, means_after={})],
            options={evil: evil},
            provenance={evil: evil},
            limits=[evil],
            warnings=[evil],
            bands=[BandFacts(evil, evil, 1.0, 1.0, sigma_from=evil)],
            unit=evil,
            detail_unit=evil,
        )
    )
    page = Page(text)
    assert len(page.all("script")) == 1
    assert "alert('x')" not in text
    assert evil in page.text


def test_missing_values_are_dashes_and_narrow_parcels_are_marked() -> None:
    page = Page(render_report(made(parcels=[Row("Alpha", ndvi_before=None, detail=None, narrow=True), Row("Beta")])))
    row = page.text.split("Alpha")[1].split("Beta")[0]
    assert row.strip() == "12.5 1 250 0.0812 0.0813 0.3100 – – – – narrow"


def test_columns_without_any_value_are_left_out() -> None:
    text = Page(render_report(made(parcels=[Row("Alpha", ndvi_before=None, detail=None)]))).text
    assert "NDVI" not in text
    assert "Detail" not in text


def test_row_of_the_zonal_statistics_fits() -> None:
    row = ZonalRow(
        id="1", name="Alpha", area_ha=1.0, area_method="geodesic", width_px=5.0, narrow=False, pixels_before=99.5, pixels_after=1600,
        valid_share=1.0, means_before={"red": 0.1}, means_after={"red": 0.1}, ndvi_before=None, ndvi_after=None, ndvi_std_before=None,
        ndvi_std_after=None, detail=None, attributes={}, geometry=box(0, 0, 1, 1),
    )  # fmt: skip
    assert "Alpha" in Page(render_report(made(parcels=[row]))).text


def test_page_says_what_was_done() -> None:
    text = Page(render_report(made(options={"Consistency": "psf"}, provenance={"Commit": "abc"}, limits=["Not for snow."]))).text
    for words in ("field.tif", "field_x4.tif", "rgbn-x4", "0123456789ab", "Consistency psf", "Commit abc", "Not for snow.", "1 min 15 s",
                  "12 tiles", "10 m → 2.5 m", "2.20 px", "sensor default", "0.000030", "0.00080", "Red", "NIR"):  # fmt: skip
        assert words in text, words


def test_page_admits_that_means_may_drift(view: quicklook.View) -> None:
    assert "may have drifted" not in render_report(made(view))
    assert "may have drifted" in render_report(made(view, consistent=False))


def test_long_tables_keep_the_largest_parcels_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_PARCELS", 2)
    text = Page(render_report(made(parcels=[Row("Alpha", 5.0), Row("Beta", 1.0), Row("Gamma", 9.0)]))).text
    assert "Beta" not in text
    assert text.index("Alpha") < text.index("Gamma")
    assert "2 largest of 3" in text


def test_report_is_written_whole_or_not_at_all(tmp_path: Path, view: quicklook.View) -> None:
    write_report(tmp_path / "report.html", made(view))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (report.fixed(None), "–"),
        (report.fixed(float("nan"), 2), "–"),
        (report.fixed(1234567.0), "1\u202f234\u202f567"),
        (report.fixed(-0.25, 2), "−0.25"),
        (report.fixed(-0.001, 2), "0.00"),
        (report.significant(0.0000312), "0.000031"),
        (report.significant(1234.0), "1\u202f234"),
        (report.significant(0.0), "0"),
        (report.duration(9.44), "9.4 s"),
        (report.duration(7500), "2 h 05 min"),
        (report.digits_for([0.38, None]), 4),
        (report.digits_for([7803.0]), 0),
        (report.digits_for([]), 3),
        (report.band_name("rededge2"), "Red edge 2"),
        (report.band_name("nir08"), "NIR 08"),
        (report.band_name("band 7"), "band 7"),
    ],
)
def test_numbers_read_well(shown: object, expected: object) -> None:
    assert shown == expected


# The window and the pictures


Write = Callable[..., Path]


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


def read(first: Path, second: Path, third: Path | None = None, **options: object) -> quicklook.View:
    with Scene.open(first) as before, Scene.open(second) as after:
        if third is None:
            return quicklook.read_view(before, after, **options)  # type: ignore[arg-type]
        with Scene.open(third) as detail:
            return quicklook.read_view(before, after, detail, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("cut", [0, 9])
@pytest.mark.parametrize("side", [16, 64, 1024])
def test_both_pictures_show_the_same_ground_with_the_same_stretch(write: Write, cut: int, side: int) -> None:
    first, second, _ = pair(write, cut=cut)
    shown = read(first, second, side=side)
    assert np.array_equal(quicklook.enlarged(shown.before, 4), shown.after)
    assert shown.scale == 4
    assert shown.metres == 2.5
    assert max(shown.after.shape[:2]) <= max(side, 32)


def test_picture_is_red_green_blue_by_role_and_grey_where_nothing_is(write: Write) -> None:
    first, second, values = pair(write)
    shown = read(first, second).before
    known = values[:, 5:, 7:].reshape(3, -1)
    assert tuple(shown[0, 0]) == quicklook.NOTHING
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


def test_picture_of_a_view_has_a_panel_for_each(view: quicklook.View) -> None:
    with_detail, without = quicklook.compose(view), quicklook.compose(replace(view, detail=None))
    assert with_detail.width > without.width
    assert with_detail.height == without.height


def test_colours_darken_with_the_detail() -> None:
    shades = quicklook.coloured(np.linspace(0, 1, 50, dtype=np.float32)[None], 1.0).astype(float)
    light = shades[0] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light) < 0).all()
    assert tuple(quicklook.coloured(np.full((1, 1), np.nan, np.float32), 1.0)[0, 0]) == quicklook.NOTHING


@pytest.mark.parametrize(("value", "expected"), [(0.011, 0.02), (0.02, 0.02), (3.1, 5.0), (70.0, 100.0), (1.0, 1.0)])
def test_scales_end_at_round_numbers(value: float, expected: float) -> None:
    assert quicklook.rounded_up(value) == expected


# In a browser

PROBE = """
<script>
const slider = document.getElementById("cut"), after = document.getElementById("after"), clip = () => getComputedStyle(after).clipPath;
const seen = [clip()];
slider.value = 80; slider.dispatchEvent(new Event("input", {bubbles: true})); seen.push(clip());
document.getElementById("outlines").click(); seen.push(getComputedStyle(document.getElementById("fields")).display);
const order = () => [...document.querySelectorAll("#table tbody th")].map((cell) => cell.textContent).join(",");
const area = document.querySelectorAll("#table .sort button")[1];
for (let turn = 0; turn < 2; turn++) { area.click(); seen.push(order(), area.parentElement.getAttribute("aria-sort")); }
seen.push(slider.getAttribute("aria-valuetext"));
document.body.setAttribute("data-seen", seen.join("|"));
</script></body>
"""


@pytest.mark.slow
def test_slider_switch_and_sorting_work_in_a_browser(tmp_path: Path, view: quicklook.View) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on the PATH: install it to try the report's script")
    rows = [Row("Alpha", 5.0), Row("Beta", 1.0), Row("Gamma", 9.0)]
    page = tmp_path / "page.html"
    page.write_text(render_report(made(view, parcels=rows)).replace("</body>", PROBE), "utf-8")
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    switches += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    run = subprocess.run([browser, *switches, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-seen="([^"]*)"', run.stdout)
    assert found is not None, run.stderr
    start, moved, outlines, up, ascending, down, descending, words = found.group(1).split("|")
    assert start.startswith("inset(")
    assert start != moved
    assert outlines != "none"
    assert (up, ascending) == ("Beta,Alpha,Gamma", "ascending")
    assert (down, descending) == ("Gamma,Alpha,Beta", "descending")
    assert words == "80 % input, 20 % result"
