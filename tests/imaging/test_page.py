import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_geo.imaging.page import Page, render_page, write_page
from sr_geo.imaging.shot import Shot, central

PROBE = """<script>
const seen = [];
document.querySelectorAll(".shot").forEach((shot, number) => {
  const stage = shot.querySelector(".stage"), slider = stage.querySelector("input"), after = stage.querySelector(".after");
  const clip = () => getComputedStyle(after).clipPath;
  seen.push(stage.hidden, after.naturalWidth > 0, clip());
  slider.value = 80 - number; slider.dispatchEvent(new Event("input", {bubbles: true}));
  seen.push(clip(), slider.getAttribute("aria-valuetext"));
});
document.body.setAttribute("data-seen", seen.join("|"));
</script></body>
"""


def page(**changes: object) -> Page:
    rng = np.random.default_rng(1)
    before = rng.integers(0, 256, (24, 32, 3), np.uint8)
    shot = Shot("a <b>photo</b>.png", before, before.repeat(4, 0).repeat(4, 1), ("24 rows.",))
    values: dict[str, object] = {
        "title": "photos",
        "kind": "photo",
        "warning": "Nobody measured it.",
        "shots": [shot, shot],
        "pictures": 2,
        "seconds": 3.0,
        "model": "tiny",
        "model_sha256": "0123456789abcdef",
        "limits": "for tests",
        "created": "2026-11-23 10:00 UTC",
        "version": "0",
    }
    return Page(**(values | changes))  # type: ignore[arg-type]


def test_names_are_escaped_and_warnings_said() -> None:
    html = render_page(page(failed=["bad.jpg: damaged <script>"]))
    assert "a &lt;b&gt;photo&lt;/b&gt;.png" in html
    assert "<b>photo" not in html
    assert "damaged &lt;script&gt;" in html
    assert html.count("Nobody measured it.") >= 2
    assert "http" not in re.sub(r"data:image/[^\"]+", "", html).replace("http-equiv", "")


def test_a_page_without_pictures_is_whole(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", page(shots=[]))
    assert (tmp_path / "page.html").read_text("utf-8").rstrip().endswith("</html>")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("size", "place", "expected"),
    [((100, 400), (None, None), (0, 72)), ((1000, 1000), (10.0, 990.0), (0, 744)), ((300, 300), (150.0, 150.0), (22, 22))],
)
def test_windows_lie_inside(size: tuple[int, int], place: tuple[float | None, float | None], expected: tuple[int, int]) -> None:
    window = central(*size, row=place[0], column=place[1])
    assert (window.row, window.column) == expected
    assert window.row_stop <= size[0]
    assert window.column_stop <= size[1]


@pytest.mark.slow
def test_sliders_work_in_a_browser(tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on the PATH: install it to try the page's script")
    path, picture = tmp_path / "page.html", tmp_path / "page.png"
    path.write_text(render_page(page()).replace("</body>", PROBE), "utf-8")
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    switches += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=900,1400"]
    run = subprocess.run([browser, *switches, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-seen="([^"]*)"', run.stdout)
    assert found is not None, run.stderr
    seen = found.group(1).split("|")
    assert len(seen) == 10
    for number, (hidden, loaded, start, moved, words) in enumerate((seen[:5], seen[5:])):
        assert (hidden, loaded) == ("false", "true")
        assert start != moved
        assert words == f"{80 - number} % input, {20 + number} % result"
    subprocess.run([browser, *switches, f"--screenshot={picture}", path.as_uri()], capture_output=True, timeout=120, check=True)
    with Image.open(picture) as image:
        shown = np.asarray(image.convert("RGB"))
    assert shown.shape[:2] == (1400, 900)
    # The pictures are noise in colour, and all else is calm: where it is colourful, a picture is shown.
    colourful = np.ptp(shown.astype(int), axis=-1) > 60
    assert colourful.mean() > 0.1
