"""Stored values of DICOM pictures ↔ 0…1, in one place for training and for use. Pure numbers, no I/O.

0 is the lowest value that the stored bits can hold and 1 the highest, whatever a picture happens to hold: a liver is as
gray in a picture with a metal screw as in one without. MONOCHROME1, where high values are dark, is turned round, so that
dense tissue is bright for every network.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sr_geo.radiometry import Float, Mask

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, slots=True)
class StoredRange:
    """What the pixels of a file can hold, and which values mean that nothing is there."""

    low: int
    high: int
    inverted: bool = False
    """Whether high values are dark."""
    padding: tuple[int, int] | None = None
    """First and last value that mean "no picture here"."""

    @property
    def dark(self) -> int:
        """Stored value that stands for 0."""
        return self.high if self.inverted else self.low

    @property
    def bright(self) -> int:
        """Stored value that stands for 1."""
        return self.low if self.inverted else self.high

    def valid(self, stored: NDArray[Any]) -> Mask | None:
        """Which values are no padding; None where none is."""
        if self.padding is None:
            return None
        first, last = self.padding
        padding = (stored >= first) & (stored <= last)
        return ~padding if bool(padding.any()) else None

    def check(self, stored: NDArray[Any]) -> None:
        """Raise where a value that is no padding lies beyond the stored bits.

        Raises:
            ValueError: with the values found and those possible.
        """
        lowest, highest = int(stored.min()), int(stored.max())
        if lowest >= self.low and highest <= self.high:
            return
        valid = self.valid(stored)
        held = stored if valid is None else stored[valid]
        if held.size and (int(held.min()) < self.low or int(held.max()) > self.high):
            raise ValueError(f"holds values {held.min()}…{held.max()}, its stored bits end at {self.low} and {self.high}")

    def network(self, stored: NDArray[Any]) -> Float:
        """Stored values as float32, 0…1 where they are valid."""
        values = stored.astype(np.float32)
        values -= np.float32(self.dark)
        values /= np.float32(self.bright - self.dark)
        return values

    def stored(self, values: Float, dtype: np.dtype[Any]) -> NDArray[Any]:
        """0…1 as stored values: rounded, cut to the stored range, and kept out of the padding."""
        rounded = values * np.float32(self.bright - self.dark)
        rounded += np.float32(self.dark)
        np.rint(rounded, out=rounded)
        np.clip(rounded, self.low, self.high, out=rounded)
        if self.padding is not None:
            self._leave_padding(rounded)
        return rounded.astype(dtype)

    def _leave_padding(self, rounded: Float) -> None:
        """Move values that happen to be padding to the nearest that is not: a dark pixel must not become a hole."""
        first, last = self.padding or (0, 0)
        clash = (rounded >= first) & (rounded <= last)
        if not clash.any():
            return
        below, above = first - 1, last + 1
        if below < self.low and above > self.high:
            return  # every value is padding
        if below < self.low:
            below = above
        if above > self.high:
            above = below
        values = rounded[clash]
        rounded[clash] = np.where(values - below < above - values, below, above)


def stored_range(header: "Dataset") -> StoredRange:
    """What the pixels of a file can hold, by BitsStored, PixelRepresentation and the padding of its header.

    Raises:
        ValueError: these do not make sense.
    """
    bits, allocated = int(header.BitsStored), int(header.BitsAllocated)
    signed = int(header.get("PixelRepresentation", 0) or 0) == 1
    if not 2 <= bits <= allocated:
        raise ValueError(f"{bits} bits stored of {allocated} allocated")
    low = -(2 ** (bits - 1)) if signed else 0
    high = low + 2**bits - 1
    return StoredRange(low, high, header.get("PhotometricInterpretation") == "MONOCHROME1", _padding(header, allocated, signed=signed))


def _padding(header: "Dataset", allocated: int, *, signed: bool) -> tuple[int, int] | None:
    """PixelPaddingValue, or all from it to PixelPaddingRangeLimit."""
    ends = []
    for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = header.get(name)
        if value is None or value == "":
            break  # a limit without a value says nothing
        # Some writers state it without a sign although pixels have one (63536 for −2000), or the other way round.
        whole = int(value) % 2**allocated
        ends.append(whole - 2**allocated if signed and whole >= 2 ** (allocated - 1) else whole)
    return (min(ends), max(ends)) if ends else None
