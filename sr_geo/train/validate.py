"""How good the averaged weights are on imagery that is held out, against bicubic, in figures and in pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from sr_geo.errors import TrainingDataError
from sr_geo.radiometry import Float
from sr_geo.train.degradations import Degradation, SensorDegradation, degrade
from sr_geo.train.recipe import Recipe
from sr_geo.train.samples.imagery import Patch
from sr_geo.train.samples.pool import Pool
from sr_geo.train.state import State

SIGMAS = (1.2, 1.6, 2.0, 2.8)
"""Blurs at which a network for satellites is validated."""
LARGEST = 512
"""Side in pixels of the pieces that large imagery is cut into."""
SHEET = 96
"""Side in pixels of a picture on the sheet of samples."""
TINY = 1e-12
"""Added to every squared error: of a piece that is all the same both are zero."""
BORDER = 2
"""Low-resolution pixels at the edge that do not count."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One way of making the input."""

    column: str
    """Of the table: ``gain_db_…``."""
    degradation: Degradation


def conditions(recipe: Recipe) -> tuple[Condition, ...]:
    """The conditions that a recipe is validated under: each blur alone, without noise, for a sensor; else as it trains."""
    section = recipe.degradation
    if not isinstance(section, SensorDegradation):
        return (Condition("gain_db", section),)
    low, high = section.sigma
    clean = {"band_jitter": 0.0, "turned": 0.0, "noise": 0.0}
    inside = [sigma for sigma in SIGMAS if low <= sigma <= high] or [(low + high) / 2.0]
    return tuple(
        Condition(f"gain_db_sigma_{sigma:.1f}", section.model_copy(update={**clean, "sigma": (sigma, sigma)})) for sigma in inside
    )


def validate(recipe: Recipe, state: State, pool: Pool, *, device: torch.device) -> list[float]:
    """PSNR over bicubic in dB for each condition: the mean over the rasters or pictures of `pool` that have a piece without holes."""
    scale = recipe.model.scale
    inside = (..., slice(BORDER * scale, -BORDER * scale), slice(BORDER * scale, -BORDER * scale))
    figures = []
    for condition in conditions(recipe):
        gains = []
        for imagery in pool.imagery:
            errors = np.zeros(2)
            for number, patch in enumerate(imagery.held_out(LARGEST, scale)):
                hr, lr, sigma = _pair(patch, condition.degradation, scale, number, device)
                sr, bicubic = enhance(state, lr, sigma), upsample(lr, scale)
                errors += [TINY + float(F.mse_loss(x[inside], hr[inside], reduction="sum")) for x in (bicubic, sr)]
            if errors.all():
                gains.append(10.0 * float(np.log10(errors[0] / errors[1])))
        figures.append(float(np.mean(gains)))
    return figures


def require_pieces(pool: Pool, scale: int) -> None:
    """Make sure that there is something to validate on, before hours are spent.

    Raises:
        TrainingDataError: every piece of the imagery has a hole.
    """
    if all(next(imagery.held_out(LARGEST, scale), None) is None for imagery in pool.imagery):
        raise TrainingDataError(
            f"validation: no piece of at most {LARGEST} × {LARGEST} pixels without nodata in {len(pool.imagery)} raster(s) or picture(s); "
            "choose rows and columns without holes"
        )


def enhance(state: State, lr: Tensor, sigma: Tensor) -> Tensor:
    """What the averaged weights make of ``(N, C, h, w)``, with mirrored surroundings: zeros there would count against them."""
    halo = min(state.net.halo, *(side - 1 for side in lr.shape[2:]))
    around = F.pad(lr, (halo,) * 4, mode="reflect")
    edge = halo * state.net.scale
    return state.averaged(around, sigma)[..., edge : edge + lr.shape[2] * state.net.scale, edge : edge + lr.shape[3] * state.net.scale]


def upsample(lr: Tensor, scale: int) -> Tensor:
    """Bicubic interpolation, pixel corners kept."""
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)


def draw_sheet(recipe: Recipe, state: State, pool: Pool, path: Path, *, device: torch.device, rows: int = 4) -> None:
    """A picture to look at: for some held-out pieces, side by side, bicubic, enhanced and true."""
    condition = conditions(recipe)[len(conditions(recipe)) // 2]
    strips = []
    for number, patch in zip(range(rows), _pieces(pool), strict=False):
        hr, lr, sigma = _pair(patch, condition.degradation, recipe.model.scale, number, device)
        strips.append(_strip((upsample(lr, recipe.model.scale), enhance(state, lr, sigma), hr), recipe.model.bands))
    if strips:
        width = max(strip.shape[1] for strip in strips)
        sheet = np.concatenate([np.pad(strip, ((0, 2), (0, width - strip.shape[1]), (0, 0))) for strip in strips])
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(sheet).save(path)


def _pieces(pool: Pool) -> Iterator[Patch]:
    """The first piece of each raster or picture."""
    for imagery in pool.imagery:
        yield from (patch for patch, _ in zip(imagery.held_out(SHEET * 2, 8), range(1), strict=False))


def _strip(pictures: Sequence[Tensor], bands: Sequence[str]) -> np.ndarray:
    """Pictures ``(1, C, H, W)`` side by side, stretched alike by the last one's 1st to 99th percentile."""
    shown = [bands.index(role) for role in ("red", "green", "blue") if role in bands]
    channels = shown if len(shown) == 3 else [0, 0, 0]
    planes = [picture[0, channels].cpu().numpy() for picture in pictures]
    low, high = np.percentile(planes[-1], (1, 99))
    row = np.concatenate([np.pad(plane, ((0, 0), (0, 0), (0, 2)), constant_values=low) for plane in planes], axis=2)
    values: np.ndarray = ((row - low) / max(high - low, 1e-6) * 255.0).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    return values


def _pair(patch: Patch, degradation: Degradation, scale: int, number: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """High and low resolution and blur of a held-out piece, ``(1, …)``; chance comes from its number alone."""
    lr: Float
    sigma: Float
    if patch.lr is not None:
        lr, sigma = patch.lr, np.full(len(patch.hr), patch.sigma, np.float32)
    else:
        lr, sigma = degrade(degradation, patch.hr, scale=scale, rng=np.random.default_rng([4, number]))
    hr, low, blur = (torch.from_numpy(np.ascontiguousarray(x))[None].to(device) for x in (patch.hr, lr, sigma))
    return hr, low, blur
