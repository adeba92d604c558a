"""The report and the quick look: what they show, that they need nothing else, and that the slider works in a browser."""

import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import box

from sr_geo.quality import colours, report, wording
from sr_geo.quality.report import BandFacts, ReportData, render_report, write_report
from sr_geo.quality.view import View
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
    valid_share: float = 1.0
    attributes: dict[str, object] = field(default_factory=dict)


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


def made(view: View | None = None, **changes: object) -> ReportData:
    bands = (
        BandFacts("red", "network", 0.0812, 0.0811, sigma=2.2, sigma_from="sensor default", drift=0.00003),
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
def view() -> View:
    random = np.random.default_rng(3)
    before = random.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    detail = random.random((80, 120), dtype=np.float32) * 0.02
    detail[:4] = np.nan
    ring = np.array([(10.0, 10.0), (90.0, 10.0), (90.0, 60.0), (10.0, 10.0)])
    return View(before, colours.enlarged(before, 4), 4, detail, 2.5, (ring,))


# The page


@pytest.mark.parametrize("parcels", [(), (Row("Alpha"), Row("Beta", narrow=True))])
@pytest.mark.parametrize("with_view", [True, False])
def test_page_is_well_formed(view: View, with_view: bool, parcels: tuple[Row, ...]) -> None:
    page = Page(render_report(made(view if with_view else None, parcels=parcels)))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [attributes["lang"] for attributes in page.all("html")] == ["en"]
    assert bool(page.all("img")) == with_view


def test_page_loads_nothing_from_elsewhere(view: View) -> None:
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


def test_slider_and_pictures_can_be_used_without_eyes_or_mouse(view: View) -> None:
    page = Page(render_report(made(view, parcels=[Row("Alpha")])))
    slider = next(attributes for attributes in page.all("input") if attributes["type"] == "range")
    assert slider["aria-label"]
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert all("scope" in attributes for attributes in page.all("th"))


def test_names_stay_text(view: View) -> None:
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
    assert text.count("Detail") == 1  # of the sentence at the top


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
                  "12 tiles", "10 m → 2.5 m", "2.20 px", "sensor default", "0.000030", "Red", "NIR"):  # fmt: skip
        assert words in text, words


def test_page_admits_that_means_may_drift(view: View) -> None:
    assert "may have drifted" not in render_report(made(view))
    assert "may have drifted" in render_report(made(view, consistent=False))


def test_long_tables_keep_the_largest_parcels_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_PARCELS", 2)
    text = Page(render_report(made(parcels=[Row("Alpha", 5.0), Row("Beta", 1.0), Row("Gamma", 9.0)]))).text
    assert "Beta" not in text
    assert text.rindex("Alpha") < text.rindex("Gamma")
    assert "2 largest of 3" in text


def test_report_is_written_whole_or_not_at_all(tmp_path: Path, view: View) -> None:
    write_report(tmp_path / "report.html", made(view))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.fixed(None), "–"),
        (wording.fixed(float("nan"), 2), "–"),
        (wording.fixed(1234567.0), "1\u202f234\u202f567"),
        (wording.fixed(-0.25, 2), "−0.25"),
        (wording.fixed(-0.001, 2), "0.00"),
        (wording.significant(0.0000312), "0.000031"),
        (wording.significant(1234.0), "1\u202f234"),
        (wording.significant(0.0), "0"),
        (wording.duration(9.44), "9.4 s"),
        (wording.duration(7500), "2 h 05 min"),
        (wording.digits_for([0.38, None]), 4),
        (wording.digits_for([7803.0]), 0),
        (wording.digits_for([]), 3),
        (wording.band_name("rededge2"), "Red edge 2"),
        (wording.band_name("nir08"), "NIR 08"),
        (wording.band_name("band 7"), "band 7"),
    ],
)
def test_numbers_read_well(shown: object, expected: object) -> None:
    assert shown == expected


# What a reader is told


def test_figures_of_the_top_are_shares_of_the_mean() -> None:
    bands = (BandFacts("red", before=0.1, drift=0.0002), BandFacts("nir", before=0.4, drift=0.0004), BandFacts("swir1", drift=None))
    assert report.agreement(bands) == pytest.approx((0.2 + 0.1) / 2)
    assert report.agreement(()) is None
    wide, narrow = Row("A", means_after={"red": 0.0820, "nir": 0.31}), Row("B", means_after={"red": 0.2}, narrow=True)
    change = report.largest_change([wide, narrow])
    assert change is not None
    assert change == (pytest.approx(100 * 0.0008 / 0.0812), "A")
    assert report.largest_change([narrow]) is None


def test_parcels_with_much_added_detail_are_named() -> None:
    rows = [Row("A", detail=0.001), Row("B", detail=0.009), Row("C", detail=0.001), Row("D", detail=None), Row("E", detail=0.0011)]
    assert report.doubtful(rows) == ["B"]
    assert report.doubtful([]) == []
    assert wording.listed(["A", "B", "C"]) == "A, B and C"
    assert wording.listed(["A"]) == "A"


def test_parcels_are_called_what_the_layer_calls_them() -> None:
    assert report.title_of(Row("7", attributes={"Name": " Ipê "})) == "7 · Ipê"
    assert report.title_of(Row("7", attributes={"name": "7", "crop": "soy"})) == "7"
    assert report.title_of(Row("7", attributes={"name": float("nan")})) == "7"


def test_parcels_seen_in_part_say_so() -> None:
    text = Page(render_report(made(parcels=[Row("Alpha", valid_share=0.62), Row("Beta")]))).text
    assert "62 % seen" in text
    assert text.count("% seen") == 1


def test_units_are_named_where_they_differ_and_doubted_where_nothing_states_them() -> None:
    kelvin = BandFacts("thermal1", "guided", 300.0, 300.1, unit="K")
    text = Page(render_report(made(bands=(BandFacts("red", before=0.1, after=0.1, unit="reflectance"), kelvin)))).text
    assert "Unit" in text
    assert "300.0 300.1" in text
    page = Page(render_report(made(unit="stored value ÷ 10000", stated=False, parcels=[Row("Alpha")])))
    assert "stored value ÷ 10000" in page.text
    assert "states no scale and offset" in page.text
    assert "reflectance" not in page.text


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
def test_slider_switch_and_sorting_work_in_a_browser(tmp_path: Path, view: View) -> None:
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
