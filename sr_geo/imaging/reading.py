"""Finding and reading printed text, by an optional package. It was never trained on, nor used to train, what it is asked about."""

import logging
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr_geo.errors import MissingPartError
from sr_geo.quality.colours import Picture as Colours

_PACKAGE = "rapidocr-onnxruntime"

Corners = NDArray[np.float64]
"""``(4, 2)``: x, y of the upper left, upper right, lower right and lower left corner, from the picture's corner, in pixels."""


@dataclass(frozen=True, slots=True)
class Text:
    """What was read."""

    text: str
    confidence: float
    """0…1, as the reader has it: not a probability that the text is right."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line of text in a picture."""

    corners: Corners
    read: Text


@dataclass(frozen=True, slots=True)
class Reader:
    """Finds lines of text and reads them.

    Raises:
        MissingPartError: the package is not installed.
    """

    threads: int | None = None
    _engine: Any = field(init=False)

    def __post_init__(self) -> None:
        try:
            from rapidocr_onnxruntime import RapidOCR
        except ImportError as error:
            raise MissingPartError(
                f"finding and reading plates needs {_PACKAGE}; add it with: pip install 'sr-geo[plates]' (for Python before 3.13), "
                "or give the place of the plate by --box and leave --read away"
            ) from error
        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        count = -1 if self.threads is None else self.threads
        object.__setattr__(self, "_engine", RapidOCR(intra_op_num_threads=count))

    @property
    def name(self) -> str:
        """Package and release."""
        return f"{_PACKAGE} {version(_PACKAGE)}"

    def lines(self, picture: Colours) -> list[Line]:
        """The lines of text in a picture ``(h, w, 3)``, red green blue."""
        found, _ = self._engine(np.ascontiguousarray(picture[:, :, ::-1]), use_cls=False, text_score=0.0)
        # The finder counts from the centre of the first pixel.
        return [Line(np.asarray(corners, np.float64) + 0.5, Text(str(text), float(score))) for corners, text, score in found or []]

    def read(self, picture: Colours) -> Text:
        """What a picture of one line says."""
        found, _ = self._engine(np.ascontiguousarray(picture[:, :, ::-1]), use_det=False, use_cls=False, text_score=0.0)
        return Text(str(found[0][0]), round(float(found[0][1]), 4)) if found else Text("", 0.0)
