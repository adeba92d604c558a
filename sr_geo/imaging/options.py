"""What a user can ask of pictures outside GIS."""

from dataclasses import dataclass
from pathlib import Path

from sr_geo.errors import OptionError
from sr_geo.imaging.domains import Domain
from sr_geo.imaging.opening import MEGAPIXELS
from sr_geo.imaging.plates import Box
from sr_geo.models.session import Device


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    domain: Domain
    model: str | Path | None = None
    """Name or ONNX file; None takes the shipped model of the domain."""
    overwrite: bool = False
    device: Device = "auto"
    threads: int | None = None
    max_megapixels: float = MEGAPIXELS
    """Largest picture that is unpacked, in millions of pixels."""
    allow_color: bool = False
    """Medical: take pictures in colour too."""
    aligned: bool = False
    """Plates and faces: the whole picture is one; nothing is searched for."""
    boxes: tuple[Box, ...] = ()
    """Plates and faces: their places; none: they are searched for."""
    read: bool = False
    """Plates: read them before and after."""
    fidelity: float | None = None
    """0: the network's own result; 1: made small again, it is the input; between them: that share of the way. None: as is best for the
    domain (1 for photos, faces and X-rays, 0 for plates)."""
    background: str | Path | None = None
    """Faces: name or ONNX file of the network for the rest of the photo; None: cubic convolution."""

    def __post_init__(self) -> None:
        if not self.max_megapixels > 0:
            raise OptionError(f"max_megapixels {self.max_megapixels}: expected a number above 0")
        if self.fidelity is not None and not 0.0 <= self.fidelity <= 1.0:
            raise OptionError(f"fidelity {self.fidelity}: expected a number from 0 to 1")
        if self.allow_color and self.domain != "medical":
            raise OptionError(f"allow_color: for the domain medical, not {self.domain}; pictures of all others may be in colour")
        if (self.aligned or self.boxes) and self.domain not in ("plate", "face"):
            raise OptionError(f"aligned, boxes: for the domains plate and face, not {self.domain}; leave them away")
        if self.aligned and self.boxes:
            raise OptionError("aligned says that the whole picture is what a box would mark; give one of the two")
        if self.read and self.domain != "plate":
            raise OptionError(f"read: for the domain plate, not {self.domain}; leave it away")
        if self.background is not None and (self.domain != "face" or self.aligned):
            raise OptionError("background: for faces in photos; leave it away")
