"""From a scene and what the user asks to what happens to every band: model, blur, and the way of each band."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from sr_geo.errors import BandError, BlurWarning, ModelError, ModelWarning, OptionError
from sr_geo.models.card import Card
from sr_geo.models.catalog import for_bands, load_model
from sr_geo.models.session import Device, Upscaler
from sr_geo.radiometry import Standard, measure_standard
from sr_geo.raster.options import OtherBands
from sr_geo.raster.plain import storable
from sr_geo.raster.roles import default_sigma
from sr_geo.raster.scene import Band, Scene
from sr_geo.raster.tiles import BandPlan, Consistency, TilePlanning, Way

_SOFTEST = 20.0
"""Output pixels: no sensor may be as soft as this."""


@dataclass(frozen=True, slots=True)
class Blur:
    """Blur of a band's sensor and how it was found."""

    sigma: float
    origin: str


def choose_model(scene: Scene, model: str | Path | None, *, device: Device, threads: int | None) -> Upscaler:
    """The model asked for, or the shipped one that uses most bands of the scene.

    Raises:
        BandError: no model can run on the bands that are known.
        ModelError: the model asked for cannot be used.
    """
    if not _pictures(scene.bands):
        raise BandError(
            f"{scene.path}: holds classes, masks or qualities only, expected a picture; if it is one, name a band, for instance --bands r=1"
        )
    if model is not None:
        upscaler = load_model(model, device=device, threads=threads)
        _check_card(upscaler.card)
        if upscaler.card.domain != "satellite":
            said = f"model {upscaler.card.name} was made for domain {upscaler.card.domain}, not satellite: what it draws here may be wrong"
            warnings.warn(f"{said}; `sr-geo models list` has those for satellites", ModelWarning, stacklevel=3)
        if upscaler.card.caution:
            warnings.warn(f"model {upscaler.card.name} {upscaler.card.caution}", ModelWarning, stacklevel=3)
        return upscaler
    if len(_pictures(scene.bands)) == 1:
        return load_model("satellite-rgb-x4", device=device, threads=threads)
    roles = {band.role for band in scene.bands if band.role is not None}
    entry = for_bands(roles)
    if entry is None:
        raise BandError(f"{scene.path}: {_bands_at_hand(scene.bands)}; say which band is which, for instance --bands r=3,g=2,b=1,nir=4")
    return load_model(entry.name, device=device, threads=threads)


def _check_card(card: Card) -> None:
    """Refuse a network whose result on a tile would depend on the tile or on the unit of the values."""
    if not card.exact_halo:
        raise ModelError(
            f"model {card.name}: sees beyond its halo (exact_halo in its card is false), so tiles of a raster would not fit "
            "together; choose a model from `sr-geo models list`"
        )
    if not card.commutes_with_gain_and_offset and not card.standardised:
        raise ModelError(
            f"model {card.name}: takes values from 0 to 1 only (commutes_with_gain_and_offset in its card is false), which "
            "rasters do not have; choose a model from `sr-geo models list`"
        )


def plan_bands(
    scene: Scene, card: Card, blurs: Sequence[Blur], *, other_bands: OtherBands, consistency: Consistency, detail: bool = True
) -> TilePlanning:
    """What happens to each band.

    A raster of one band feeds all channels of the network and takes the mean of what comes out.

    Args:
        scene: the input.
        card: of the model.
        blurs: for each band of the scene; those of the network's bands are brought within the card's range.
        other_bands: what to do with bands that the network was not trained on.
        consistency: of the run.
        detail: whether the added detail is wanted.

    Raises:
        BandError: the scene lacks a band that the network needs.

    Warns:
        BlurWarning: the blur of a band is beyond the card's range.
    """
    pictures = _pictures(scene.bands)
    if len(pictures) == 1:
        feeding = dict.fromkeys(range(len(card.bands)), pictures[0])
    else:
        found = {channel: scene.find(role) for channel, role in enumerate(card.bands)}
        missing = [card.bands[channel] for channel, index in found.items() if index is None]
        if missing:
            raise BandError(
                f"{scene.path}: model {card.name} needs {', '.join(card.bands)}, there is no {', '.join(missing)} "
                f"({_bands_at_hand(scene.bands)}); say which band is which with --bands, or choose another --model"
            )
        feeding = {channel: index for channel, index in found.items() if index is not None}
    plans, beyond = [], []
    nodata = common_nodata(scene)
    for index, band in enumerate(scene.bands):
        channels = tuple(channel for channel, source in feeding.items() if source == index)
        blur = blurs[index]
        way: Way
        if channels:
            way = "network"
            blur = _within(blur, card)
            if blur != blurs[index]:
                beyond.append(f"{band.role or f'band {index + 1}'} {blurs[index].sigma:.2f}")
        elif index not in pictures:
            way = "nearest"
        elif other_bands == "drop":
            continue
        else:
            way = other_bands
        encoding = replace(band.encoding, nodata=nodata)
        plans.append(BandPlan(index, band.role, way, encoding, channels, blur.sigma, blur.origin))
    if beyond and card.sigma is not None:
        low, high = card.sigma
        message = f"{scene.path}: blur of {', '.join(beyond)}: {card.name} knows {low:g} to {high:g} output pixels, the nearest is taken"
        warnings.warn(message, BlurWarning, stacklevel=3)
    position = {plan.index: number for number, plan in enumerate(plans)}
    inputs = tuple(position[feeding[channel]] for channel in range(len(card.bands)))
    standard = find_standard(scene, [plans[place] for place in inputs]) if card.standardised else None
    return TilePlanning(card, tuple(plans), inputs, consistency, scene.dtype, detail, standard)


def find_standard(scene: Scene, channels: Sequence[BandPlan]) -> Standard:
    """Level and spread of the bands that feed a network's channels, in physical values.

    From the pixels of up to nine windows, spread over the scene, that are valid in all of them: the same for every tile and
    whatever part of the scene is enhanced.
    """
    from sr_geo.psf import sample_windows

    samples = []
    for window in sample_windows(scene.height, scene.width):
        stored, valid = scene.read(window, [band.index for band in channels])
        complete = valid.all(axis=0)
        samples.append([band.encoding.decode(plane[complete]) for band, plane in zip(channels, stored, strict=True)])
    return measure_standard(np.concatenate(samples, axis=1))


def common_nodata(scene: Scene) -> float | None:
    """The nodata value of the output: a GeoTIFF has one for all bands, while those of a VRT or of a product may differ."""
    values = [band.encoding.nodata for band in scene.bands if band.encoding.nodata is not None]
    return storable(values[0], scene.dtype) if values else None


def find_blurs(scene: Scene, psf: Literal["auto"] | float, *, scale: int = 4) -> tuple[Blur, ...]:
    """Blur of each band: given, measured on edges of the scene, or the default of its sensor.

    Args:
        scene: the input; a few windows of it are read where the blur is to be measured.
        psf: ``auto``, or a standard deviation in output pixels of the scene's grid; bands that were brought to the grid
            from larger pixels are blurred in proportion.
        scale: of the model: output pixels per pixel of the scene's grid.

    Raises:
        OptionError: the blur of such a band is beyond what can be computed.
    """
    if psf == "auto":
        return measure_blurs(scene, scale=scale)
    return tuple(_given(float(psf), band, scene) for band in scene.bands)


def _given(sigma: float, band: Band, scene: Scene) -> Blur:
    if band.metres is None:
        return Blur(sigma, "given")
    # Only products bring bands to another grid, and their grids are in metres.
    grid = math.sqrt(abs(scene.transform.determinant))
    scaled = sigma * band.metres / grid
    if scaled >= _SOFTEST:
        raise OptionError(
            f"psf {sigma:g}: makes {scaled:.1f} output pixels for {band.description or band.role} with its {band.metres:g} m pixels, "
            f"expected less than {_SOFTEST:g}; a usual blur is 1 to 3.2"
        )
    return Blur(scaled, f"given, for pixels of {band.metres:g} m")


def measure_blurs(scene: Scene, *, scale: int = 4) -> tuple[Blur, ...]:
    """Blur of each band, in output pixels of a model of `scale`: by its own edges, or the sensor's default where too few are good."""
    from sr_geo.psf import find_edges, sample_windows, sigma_of_edges

    pictures = _pictures(scene.bands)
    samples = [scene.read(window, pictures) for window in sample_windows(scene.height, scene.width)]
    blurs = []
    for index, band in enumerate(scene.bands):
        if index not in pictures:
            blurs.append(Blur(0.0, "not needed"))
            continue
        place = pictures.index(index)
        edges = [find_edges(values[place].astype(np.float32), valid[place]) for values, valid in samples]
        estimate = sigma_of_edges(edges, scale=scale)
        if estimate.sigma is not None:
            blurs.append(Blur(estimate.sigma, f"measured on {estimate.edges} edges"))
        else:
            origin = "default" if scene.sensor is None else f"default of {scene.sensor}"
            sigma = default_sigma(scene.sensor, band.role, metres=scene.metres, scale=scale)
            blurs.append(Blur(sigma, f"{origin} ({estimate.edges} good edges are too few)"))
    return tuple(blurs)


def _within(blur: Blur, card: Card) -> Blur:
    """The blur, or the nearest that the network was trained for; what was cut off is told."""
    if card.sigma is None:
        return blur
    low, high = card.sigma
    if low <= blur.sigma <= high:
        return blur
    return Blur(float(np.clip(blur.sigma, low, high)), f"{blur.origin}: {blur.sigma:.2f}, beyond the model's {low:g} to {high:g}")


def _pictures(bands: Sequence[Band]) -> list[int]:
    """Bands that hold a picture: not alpha, no classes or masks."""
    return [index for index, band in enumerate(bands) if band.color != "alpha" and not band.marks]


def _bands_at_hand(bands: Sequence[Band]) -> str:
    known = [f"band {index + 1} is {band.role}" for index, band in enumerate(bands) if band.role is not None]
    if not known:
        return f"nothing tells which of its {len(bands)} bands is which"
    return f"of its {len(bands)} bands, " + ", ".join(known)
