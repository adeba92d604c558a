"""One tile from stored input values to stored output values: the only way through for a pixel. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from sr_geo import consistency, resample
from sr_geo.consistency import Sensor
from sr_geo.models.card import Card
from sr_geo.radiometry import Encoding, Float, Mask, Standard, fill_invalid, to_stored
from sr_geo.raster import transfer

Consistency = Literal["psf", "mean", "off"]
Way = Literal["network", "guided", "cubic", "nearest"]
_Plane = TypeVar("_Plane", Float, Mask)

_ROWS = 64
"""Input rows that are finished at a time: what is computed on the way stays in the processor's cache, and takes a quarter less time."""


@dataclass(frozen=True, slots=True)
class BandPlan:
    """What happens to one band."""

    index: int
    """0-based number in the scene."""
    role: str | None
    way: Way
    encoding: Encoding
    channels: tuple[int, ...] = ()
    """Channels of the network that give this band; their mean is taken (one, but for a raster of a single band)."""
    sigma: float = 0.0
    """Blur of the sensor in output pixels."""
    sigma_from: str = ""
    """How `sigma` was found: "given", "measured on 214 edges", "default of sentinel-2" …"""


@dataclass(frozen=True, slots=True)
class TilePlanning:
    """What happens to every tile; made once a run."""

    card: Card
    bands: tuple[BandPlan, ...]
    """Of the output, in order."""
    inputs: tuple[int, ...]
    """For each channel of the network, the position in `bands` of the band that feeds it."""
    consistency: Consistency
    dtype: str
    detail: bool = True
    """Whether the added detail is wanted; it takes half the time after the network and a third of the room on disk."""
    standard: Standard | None = None
    """What the network measures its bands in, of each of its channels; None: it takes physical values."""

    @property
    def margin(self) -> int:
        """Input pixels around a tile that the steps after the network use up."""
        margin = 2  # of cubic
        for band in self.bands:
            if band.way in ("network", "guided"):
                margin = max(margin, Sensor(band.sigma, self.card.scale).halo)
        return margin

    @property
    def halo(self) -> int:
        """Input pixels around a tile that can influence it."""
        halo = max(self.card.halo, 1) + self.margin  # one of the bilinear interpolation
        if any(band.way == "guided" for band in self.bands):
            return max(halo, self.margin + transfer.MARGIN)
        return halo


@dataclass(frozen=True, slots=True)
class Prepared:
    """A window in physical values without holes."""

    planes: Float
    """``(C, h, w)``: every band, its holes filled from the band itself."""
    channels: Float
    """``(N, h, w)``: what the network is given. Where one of its bands has a hole all of them do: were each filled by
    itself, a wide hole would let the others see values that come from afar, and so depend on the tiling."""
    bare: Mask | None
    """``(h, w)``: where some bands have data but one of the network's has none, and nearby. Nothing is taken from the
    network there: the bands that have data are interpolated. None: nowhere."""

    def inner(self, margin: int) -> "Prepared":
        """The same without the outer `margin` pixels, in memory of its own."""
        bare = None if self.bare is None else _cut(self.bare, margin).copy()
        return Prepared(_cut(self.planes, margin).copy(), _cut(self.channels, margin).copy(), bare)

    def rows(self, first: int, stop: int) -> "Prepared":
        """Only these rows, not copied."""
        bare = None if self.bare is None else self.bare[first:stop]
        return Prepared(self.planes[:, first:stop], self.channels[:, first:stop], bare)


@dataclass(frozen=True, slots=True)
class Finished:
    """A tile of the output."""

    image: NDArray[Any]
    """``(C, scale·h, scale·w)``, stored values."""
    valid: Mask
    """``(C, h, w)`` on the input's grid: a block of output pixels is valid where its input pixel was."""
    detail: Float
    """``(scale·h, scale·w)``: root mean square over the network's bands of what was added beyond the input's
    information, in physical units; NaN where a band has no data. ``(0, 0)`` where it is not wanted."""


def prepare(stored: NDArray[Any], valid: Mask, planning: TilePlanning) -> Prepared:
    """From stored to physical values ``(C, h, w)`` without holes, for the network and all that follows."""
    planes = np.stack([band.encoding.decode(plane) for band, plane in zip(planning.bands, stored, strict=True)])
    if (valid == valid[0]).all():
        planes = fill_invalid(planes, valid[0])
        return Prepared(planes, planes[list(planning.inputs)], None)
    complete: Mask = np.logical_and.reduce(valid[_positions(planning, "network")])
    partial: Mask = np.logical_or.reduce(valid[_positions(planning, "network", "guided")]) & ~complete
    planes = np.stack([fill_invalid(plane, mask) for plane, mask in zip(planes, valid, strict=True)])
    if not partial.any():  # in the network's bands the same pixels are missing
        return Prepared(planes, planes[list(planning.inputs)], None)
    from scipy.ndimage import maximum_filter

    # Only as far as pixels with data can be influenced: in holes of all bands the network goes on, as if there were none.
    bare = maximum_filter(partial, 2 * planning.margin + 1) & ~complete
    return Prepared(planes, fill_invalid(planes[list(planning.inputs)], complete), bare)


def finish(ready: Prepared, fine: Float, stored: NDArray[Any], valid: Mask, planning: TilePlanning) -> Finished:
    """From the network's result to the stored tile.

    Args:
        ready: ``(…, h + 2·halo, w + 2·halo)`` from `prepare`.
        fine: the network's bare result on it.
        stored: ``(C, h, w)``, stored input values of the tile itself, for bands passed through.
        valid: ``(C, h, w)`` of the tile itself.
        planning: of the run.
    """
    scale, around = planning.card.scale, 2 * planning.halo
    height, width = stored.shape[1] * scale, stored.shape[2] * scale
    image = np.empty((len(planning.bands), height, width), planning.dtype)
    detail = np.zeros((height, width) if planning.detail else (0, 0), np.float32)
    for first in range(0, stored.shape[1], _ROWS):
        stop = min(first + _ROWS, stored.shape[1])
        own, fine_own = slice(first, stop), slice(first * scale, stop * scale)
        _finish_rows(
            ready.rows(first, stop + around),
            fine[:, first * scale : (stop + around) * scale],
            stored[:, own],
            Finished(image[:, fine_own], valid[:, own], detail[fine_own]),
            planning,
        )
    return Finished(image, valid, detail)


def _finish_rows(ready: Prepared, fine: Float, stored: NDArray[Any], out: Finished, planning: TilePlanning) -> None:
    """The same for a part of the rows, into `out`: its image, and its detail, which is zero before."""
    planes, valid = ready.planes, out.valid
    scale, margin, halo = planning.card.scale, planning.margin, planning.halo
    positions = _positions(planning, "network")
    network = {position: _network_band(fine, planning.bands[position], edge=(halo - margin) * scale) for position in positions}
    bare = None if ready.bare is None else _blocks(_cut(ready.bare, halo - margin), scale)
    fill = _guide(ready, network, bare, planning) if _positions(planning, "guided") else None
    if bare is not None:
        for position, rough in network.items():
            network[position] = np.where(bare, resample.bilinear(_cut(planes[position], halo - margin - 1), scale), rough)
    good: Mask | None = None
    mask: Mask | None = None
    for position, band in enumerate(planning.bands):
        measured = _cut(planes[position], halo - margin)
        if band.way == "nearest":
            out.image[position] = resample.nearest(stored[position], scale)
            continue
        if band.way == "cubic":
            result = resample.cubic(_cut(measured, margin - 2), scale)
        else:
            sensor = Sensor(band.sigma, scale)
            rough = network[position] if fill is None or band.way == "network" else fill(position)
            result = _consistent(rough, measured, sensor, planning)
            if band.way == "network" and planning.detail:
                known = consistency.supported(_cut(measured, margin - consistency.RESTORE - 1), sensor)
                np.subtract(result, known, out=known)
                np.add(out.detail, np.square(known, out=known), out=out.detail)
        if good is None or mask is None or (mask != valid[position]).any():  # mostly the same for all bands
            mask = valid[position]
            good = _blocks(mask, scale)
        out.image[position] = to_stored(band.encoding.encode(result), good, dtype=planning.dtype, nodata=band.encoding.nodata)
    if planning.detail:
        np.divide(out.detail, np.float32(max(1, len(network))), out=out.detail)
        np.sqrt(out.detail, out=out.detail)
        complete: Mask = np.logical_and.reduce(valid[positions])
        if not complete.all():
            out.detail[~_blocks(complete, scale)] = np.nan


def _network_band(fine: Float, band: BandPlan, *, edge: int) -> Float:
    if len(band.channels) == 1:
        return _cut(fine[band.channels[0]], edge)
    mean: Float = _cut(fine, edge)[list(band.channels)].mean(axis=0, dtype=np.float32)
    return mean


def _positions(planning: TilePlanning, *ways: Way) -> list[int]:
    return [position for position, band in enumerate(planning.bands) if band.way in ways]


def _guide(ready: Prepared, network: dict[int, Float], bare: Mask | None, planning: TilePlanning) -> Callable[[int], Float]:
    scale, margin, halo = planning.card.scale, planning.margin, planning.halo
    outer = halo - margin - transfer.MARGIN
    guides = []
    for position, rough in network.items():
        plane = ready.channels[planning.bands[position].channels[0]]
        detail = rough - resample.bilinear(_cut(plane, halo - margin - 1), scale)
        if bare is not None:
            detail[bare] = 0.0
        guides.append(transfer.guide(_cut(plane, outer), detail))

    def fill(position: int) -> Float:
        return transfer.guided(_cut(ready.planes[position], outer), guides, scale=scale)

    return fill


def _consistent(rough: Float, measured: Float, sensor: Sensor, planning: TilePlanning) -> Float:
    """The band of the tile itself, tied to the measurement as the run asks."""
    spare = planning.margin - sensor.halo
    if planning.consistency == "psf":
        return consistency.make_consistent(_cut(rough, spare * sensor.scale), _cut(measured, spare), sensor)
    inner = _cut(rough, planning.margin * sensor.scale)
    if planning.consistency == "mean":
        return consistency.make_block_consistent(inner, _cut(measured, planning.margin), sensor.scale)
    return inner


def _cut(array: _Plane, margin: int) -> _Plane:
    return array[..., margin : array.shape[-2] - margin, margin : array.shape[-1] - margin]


def _blocks(mask: Mask, scale: int) -> Mask:
    return mask.repeat(scale, axis=0).repeat(scale, axis=1)
