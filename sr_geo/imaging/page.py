"""A page to look at: each picture before and after, with a line to drag, in one HTML file that needs no other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sr_geo.files import whole_file
from sr_geo.imaging.shot import Shot
from sr_geo.quality.charts import embedded
from sr_geo.quality.wording import duration, fixed

MOST = 24
"""Pictures that a page shows at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """All that the page says."""

    title: str
    kind: str
    """What the pictures are: ``Photo``, ``X-ray or CT`` …"""
    warning: str
    """What must be said of all of them."""
    shots: Sequence[Shot]
    pictures: int
    """That were made finer; the page may show fewer."""
    seconds: float
    model: str
    model_sha256: str
    limits: str
    """Of the model, from its card."""
    created: str
    version: str
    scale: int = 4
    tied: str = ""
    """How the results are held to the inputs; "" where they are not."""
    failed: Sequence[str] = ()
    """Pictures that could not be made finer, with the reason."""
    facts: Mapping[str, str] = field(default_factory=dict)


def write_page(path: Path, page: Page) -> None:
    """Write the page; it appears when it is whole.

    Raises:
        OutputError: it cannot be written.
    """
    html = render_page(page)
    with whole_file(path) as draft:
        draft.write_text(html, encoding="utf-8")


def render_page(page: Page) -> str:
    """The page as HTML. All text is escaped: a file may be called ``<script>``."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader("sr_geo", "imaging"), PackageLoader("sr_geo", "quality")])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(fixed=fixed, duration=duration)
    panels = [
        {
            "name": shot.name,
            "words": shot.words,
            "before": embedded(shot.before),
            "after": embedded(shot.after),
            "height": shot.after.shape[0],
            "width": shot.after.shape[1],
        }
        for shot in page.shots[:MOST]
    ]
    return environment.get_template("page.html.j2").render(page=page, panels=panels, shown=None)
