"""Photos: the clean bicubic of the benchmarks, and a history of blur, resizing, noise and JPEG that nobody knows."""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sr_geo.radiometry import Float
from sr_geo.train.degradations.compression import jpeg
from sr_geo.train.degradations.kernels import blur, gaussian, low_pass
from sr_geo.train.degradations.sections import BlindDegradation

_FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)


def shrink(hr: Float, *, scale: int, levels: int | None) -> Float:
    """Bicubic, antialiased: ``(C, H, W)`` → ``(C, H // scale, W // scale)``, as MATLAB's imresize.

    With `levels`, clipped to 0…1 and rounded to so many steps, as a file is; and after the rows already, as MATLAB does
    with 8-bit pictures. So made, Set5 equals the benchmark's own files to the bit.
    """
    down, across = (bicubic_matrix(size, scale) for size in hr.shape[1:])
    fewer_rows = _in_steps(down @ torch.from_numpy(hr).double(), levels)
    lr: Float = _in_steps(fewer_rows @ across.T, levels).float().numpy()
    return lr


def _in_steps(picture: Tensor, levels: int | None) -> Tensor:
    # Halves go up, as in MATLAB; the small number makes up for the last bits that steps of 1/255 lose in float32.
    return picture if levels is None else (picture.clamp(0.0, 1.0) * levels + 0.5 + 1e-4).floor() / levels


@lru_cache(maxsize=16)
def bicubic_matrix(size: int, scale: int) -> Tensor:
    """``(size // scale, size)`` float64: Keys' kernel with a = −0.5, `scale` times as wide, edges replicated, rows sum to one."""
    count = size // scale
    centre = (np.arange(count) + 0.5) * scale - 0.5
    taps = np.floor(centre)[:, None] + np.arange(-2 * scale, 2 * scale + 2)[None]
    weights = _keys(np.abs(taps - centre[:, None]) / scale)
    weights /= weights.sum(1, keepdims=True)
    matrix = np.zeros((count, size))
    np.add.at(matrix, (np.arange(count)[:, None], taps.astype(int).clip(0, size - 1)), weights)
    return torch.from_numpy(matrix)


def _keys(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    return np.where(distance <= 1.0, near, np.where(distance < 2.0, far, 0.0))


def spoil(section: BlindDegradation, hr: Float, *, scale: int, rng: np.random.Generator) -> Float:
    """``(C, H, W)``, 0…1 → ``(C, H // scale, W // scale)``, 0…1 in steps of 8 bits: Real-ESRGAN's second-order degradation."""
    height, width = hr.shape[1] // scale, hr.shape[2] // scale
    low, high = section.blur
    x = blur(hr, _draw_kernel(low, high, rng))
    x = _resize_by(x, _draw_factor(section.resize, (0.2, 0.7), rng), rng)
    x = add_noise(x, section.noise, rng)
    x = _draw_jpeg(x, section, rng)
    if rng.random() < 0.8:
        x = blur(x, _draw_kernel(low, max(high / 2.0, low), rng))
    second = (min(2.0 * section.resize[0], 1.0), max(0.8 * section.resize[1], 1.0))
    factor = _draw_factor(second, (0.3, 0.4), rng)
    x = _resize(x, max(1, round(height * factor)), max(1, round(width * factor)), rng)
    x = add_noise(x, (section.noise[0], max(0.8 * section.noise[1], section.noise[0])), rng)
    ringing = low_pass(rng.uniform(math.pi / 3.0, math.pi)) if rng.random() < section.ringing else None
    if rng.random() < 0.5:
        x = _resize(x, height, width, rng)
        x = _draw_jpeg(x if ringing is None else blur(x, ringing), section, rng)
    else:
        x = _resize(_draw_jpeg(x, section, rng), height, width, rng)
        x = x if ringing is None else blur(x, ringing)
    stored: Float = np.rint(np.clip(x, 0.0, 1.0) * np.float32(255.0)) / np.float32(255.0)
    return stored


def add_noise(picture: Float, strength: tuple[float, float], rng: np.random.Generator) -> Float:
    """Gaussian or shot noise, the same in all bands for four in ten.

    Its standard deviation at medium gray is drawn from `strength`, in steps of 8 bits.
    """
    deviation = np.float32(rng.uniform(*strength) / 255.0)
    shape = (1, *picture.shape[1:]) if rng.random() < 0.4 else picture.shape
    noise = rng.standard_normal(shape, np.float32)
    if rng.random() < 0.5:
        # Shot noise: the variance is proportional to the light.
        noise = noise * np.sqrt(np.clip(picture if len(noise) > 1 else picture.mean(0, keepdims=True), 0.0, 1.0) / np.float32(0.5))
    noisy: Float = np.clip(picture + deviation * noise, 0.0, 1.0)
    return noisy


def _draw_kernel(low: float, high: float, rng: np.random.Generator) -> Float:
    """A kernel of a random kind: ringing one time in ten, else (generalised) Gaussian, round or long."""
    if rng.random() < 0.1:
        return low_pass(rng.uniform(math.pi / 3.0, math.pi))
    kind = rng.choice(6, p=(0.45, 0.25, 0.12, 0.03, 0.12, 0.03))
    first = rng.uniform(low, high)
    long = kind in {1, 3, 5}
    second, angle = (rng.uniform(low, high), rng.uniform(-math.pi, math.pi)) if long else (first, 0.0)
    if kind < 2:
        return gaussian((first, second), angle)
    return gaussian((first, second), angle, shape=rng.uniform(0.5, 4.0) if kind < 4 else rng.uniform(1.0, 2.0), plateau=bool(kind >= 4))


def _draw_factor(limits: tuple[float, float], shares: tuple[float, float], rng: np.random.Generator) -> float:
    """A factor above one, below one or one, with probabilities `shares` and the rest."""
    chance = rng.random()
    if chance < shares[0]:
        return float(rng.uniform(1.0, max(limits[1], 1.0)))
    return float(rng.uniform(min(limits[0], 1.0), 1.0)) if chance < sum(shares) else 1.0


def _draw_jpeg(picture: Float, section: BlindDegradation, rng: np.random.Generator) -> Float:
    return jpeg(picture, round(rng.uniform(*section.jpeg)), full_colour=bool(rng.random() < 0.5))


def _resize_by(picture: Float, factor: float, rng: np.random.Generator) -> Float:
    return _resize(picture, max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[2] * factor)), rng)


def _resize(picture: Float, height: int, width: int, rng: np.random.Generator) -> Float:
    how = _FILTERS[rng.integers(len(_FILTERS))]
    planes = [np.asarray(Image.fromarray(plane).resize((width, height), how)) for plane in picture]
    out: Float = np.clip(np.stack(planes), 0.0, 1.0)
    return out
