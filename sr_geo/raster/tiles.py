"""One tile from stored input values to stored output values: the only way through for a pixel. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sr_geo import consistency, resample
from sr_geo.consistency import Sensor
from sr_geo.models.card import Card
from sr_geo.radiometry import Encoding, Float, Mask, fill_invalid, to_stored
from sr_geo.raster import transfer

Consistency = Literal["psf", "mean", "off"]
Way = Literal["network", "guided", "cubic", "nearest"]


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
        halo = self.card.halo + self.margin
        if any(band.way == "guided" for band in self.bands):
            return max(halo, self.margin + transfer.MARGIN)
        return halo


@dataclass(frozen=True, slots=True)
class Finished:
    """A tile of the output."""

    image: NDArray[Any]
    """``(C, scale·h, scale·w)``, stored values."""
    valid: Mask
    """``(C, h, w)`` on the input's grid: a block of output pixels is valid where its input pixel was."""
    detail: Float
    """``(scale·h, scale·w)``: root mean square over the network's bands of what was added beyond the input's
    information, in physical units; NaN where a band has no data."""


def prepare(stored: NDArray[Any], valid: Mask, planning: TilePlanning) -> Float:
    """Physical values ``(C, h, w)`` without holes, for the network and all that follows."""
    planes = [fill_invalid(band.encoding.decode(plane), mask) for band, plane, mask in zip(planning.bands, stored, valid, strict=True)]
    return np.stack(planes)


def network_input(planes: Float, planning: TilePlanning) -> Float:
    """The channels that the network expects, out of the bands at hand."""
    return planes[list(planning.inputs)]


def finish(planes: Float, fine: Float, stored: NDArray[Any], valid: Mask, planning: TilePlanning) -> Finished:
    """From the network's result to the stored tile.

    Args:
        planes: ``(C, h + 2·halo, w + 2·halo)`` from `prepare`.
        fine: the network's bare result on it.
        stored: ``(C, h, w)``, stored input values of the tile itself, for bands passed through.
        valid: ``(C, h, w)`` of the tile itself.
        planning: of the run.
    """
    scale, margin, halo = planning.card.scale, planning.margin, planning.halo
    network = {
        position: _network_band(fine, band, edge=(halo - margin) * scale)
        for position, band in enumerate(planning.bands)
        if band.way == "network"
    }
    fill = _guide(planes, network, planning) if any(band.way == "guided" for band in planning.bands) else None
    height, width = stored.shape[1] * scale, stored.shape[2] * scale
    image = np.empty((len(planning.bands), height, width), planning.dtype)
    squares = np.zeros((height, width), np.float32)
    for position, band in enumerate(planning.bands):
        measured = _cut(planes[position], halo - margin)
        if band.way == "nearest":
            image[position] = resample.nearest(stored[position], scale)
            continue
        if band.way == "cubic":
            result = resample.cubic(_cut(measured, margin - 2), scale)
        else:
            sensor = Sensor(band.sigma, scale)
            rough = network[position] if fill is None or band.way == "network" else fill(position)
            result = _consistent(rough, measured, sensor, planning)
            if band.way == "network":
                known = consistency.supported(_cut(measured, margin - consistency.RESTORE - 1), sensor)
                np.subtract(result, known, out=known)
                squares += np.square(known, out=known)
        good = valid[position].repeat(scale, axis=0).repeat(scale, axis=1)
        image[position] = to_stored(band.encoding.encode(result), good, dtype=planning.dtype, nodata=band.encoding.nodata)
    squares /= np.float32(max(1, len(network)))
    detail = np.sqrt(squares, out=squares)
    complete = np.all([valid[position] for position in network], axis=0) if network else np.ones(stored.shape[1:], np.bool_)
    if not complete.all():
        detail[~complete.repeat(scale, axis=0).repeat(scale, axis=1)] = np.nan
    return Finished(image, valid, detail)


def _network_band(fine: Float, band: BandPlan, *, edge: int) -> Float:
    if len(band.channels) == 1:
        return _cut(fine[band.channels[0]], edge)
    mean: Float = _cut(fine, edge)[list(band.channels)].mean(axis=0, dtype=np.float32)
    return mean


def _guide(planes: Float, network: dict[int, Float], planning: TilePlanning) -> Callable[[int], Float]:
    scale, margin, halo = planning.card.scale, planning.margin, planning.halo
    outer = halo - margin - transfer.MARGIN
    guides = [
        transfer.guide(_cut(planes[position], outer), rough - resample.bilinear(_cut(planes[position], halo - margin - 1), scale))
        for position, rough in network.items()
    ]

    def fill(position: int) -> Float:
        return transfer.guided(_cut(planes[position], outer), guides, scale=scale)

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


def _cut(array: Float, margin: int) -> Float:
    return array[..., margin : array.shape[-2] - margin, margin : array.shape[-1] - margin]
