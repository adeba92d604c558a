"""Rendered ground: flat pieces with clean edges, as a source beside imagery.

Imagery always has texture. A network that saw nothing else has never learnt what to do where there is none (calm
water, snow, clipped clouds, rendered maps), and one without biases has no floor under which it lets things be: traces
of an edge, many pixels away, come back as stripes. Pieces without texture, noise or limit of size close that gap,
as "dead leaves" do for denoising (Lee, Mumford, Huang 2001, https://doi.org/10.1023/A:1011109015675).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sr_geo.radiometry import Float
from sr_geo.train.perceptual import Units
from sr_geo.train.samples.imagery import Patch

SUPERSAMPLING = 2  # of the drawing: two rows and two columns for each pixel
_MOST = 40
"""Pieces of the busiest picture."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Rendered ground without end."""

    bands: int
    count: int
    units: Units = "spread"

    @property
    def files(self) -> tuple[Path, ...]:
        """None: everything is drawn."""
        return ()

    @property
    def area(self) -> int:
        """All of a source: it has one piece of imagery."""
        return 1

    def draw(self, size: int, rng: np.random.Generator) -> Patch | None:
        """A new picture."""
        return Patch(self._in_units(draw_fields(self.bands, size, rng)))

    def held_out(self, size: int, multiple: int) -> Iterator[Patch]:
        """The first `count` pictures of a fixed seed."""
        side = max(size // multiple * multiple, multiple)
        for number in range(self.count):
            yield Patch(self._in_units(draw_fields(self.bands, side, np.random.default_rng([397, number]))))

    def _in_units(self, picture: Float) -> Float:
        """As it is, or as a picture in 0…1, where the boldest are clipped to black, white and pure colours."""
        return picture if self.units == "spread" else np.clip(np.float32(0.5) + np.float32(0.25) * picture, 0.0, 1.0)


def draw_fields(bands: int, size: int, rng: np.random.Generator) -> Float:
    """A picture ``(bands, size, size)`` of flat pieces, spread (standard deviation) of about 0.1 to 2.

    From one edge through an empty picture to forty pieces: rectangles in rows as fields are, lines as roads are,
    ellipses as ponds and pivots are. Edges are averaged over the pixel, as a camera does it.
    """
    side = size * SUPERSAMPLING
    labels = Image.new("L", (side, side), 0)
    canvas = ImageDraw.Draw(labels)
    count = int(np.exp(rng.uniform(np.log(1.0), np.log(_MOST))))
    heading = rng.uniform(0.0, np.pi)
    for number in range(1, count + 1):
        # Fields of one place lie along one direction; a third lies as it likes.
        angle = heading + rng.integers(2) * np.pi / 2 if rng.random() < 0.67 else rng.uniform(0.0, np.pi)
        centre = rng.uniform(-0.2, 1.2, 2) * side
        long = np.exp(rng.uniform(np.log(0.05), np.log(1.5))) * side
        kind = rng.random()
        if kind < 0.6:
            short = long * rng.uniform(0.2, 1.0)
        elif kind < 0.8:
            long, short = 3.0 * side, rng.uniform(1.0, 8.0) * SUPERSAMPLING  # a road
        else:
            short = long * rng.uniform(0.5, 1.0)
        if kind < 0.8:
            outline = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (long / 2, short / 2)
        else:
            turn = np.linspace(0.0, 2.0 * np.pi, 48, endpoint=False)
            outline = np.stack([np.cos(turn) * long / 2, np.sin(turn) * short / 2], 1)
        c, s = np.cos(angle), np.sin(angle)
        points = outline @ np.array([[c, s], [-s, c]]) + centre
        canvas.polygon([(float(x), float(y)) for x, y in points], fill=number)
    contrast = np.exp(rng.uniform(np.log(0.1), np.log(2.0)))
    alike = rng.uniform(0.0, 1.0)  # how much the bands go together
    common = rng.normal(0.0, 1.0, (1, count + 1)) * rng.choice((-1.0, 1.0), (bands, 1))
    values = contrast * (alike * common + (1.0 - alike) * rng.normal(0.0, 1.0, (bands, count + 1)))
    fine = values.astype(np.float32)[:, np.asarray(labels)]
    # The mean over 2 × 2, several times faster than NumPy's own over two axes.
    rows = fine[:, ::SUPERSAMPLING] + fine[:, 1::SUPERSAMPLING]
    picture: Float = (rows[..., ::SUPERSAMPLING] + rows[..., 1::SUPERSAMPLING]) * np.float32(0.25)
    return picture
