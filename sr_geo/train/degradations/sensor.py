"""From high to low resolution, as a sensor does it: blur, then the mean over each coarse pixel, then noise."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sr_geo.radiometry import Float
from sr_geo.train.degradations.sections import SensorDegradation


def sense(section: SensorDegradation, hr: Float, *, scale: int, rng: np.random.Generator) -> tuple[Float, Float]:
    """What a satellite's sensor makes of ``(C, H, W)``; low resolution and the blur of each band, ``(C,)`` in pixels of `hr`."""
    low, high = section.sigma
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    fine = torch.from_numpy(hr)[None]
    sigma = draw_sigma(1, len(hr), low=low, high=high, jitter=section.band_jitter, generator=generator)
    if rng.random() < section.turned:
        angle = (torch.rand(1, generator=generator) * 2.0 - 1.0) * math.radians(section.turned_by)
        shift = (torch.rand(1, 2, generator=generator) - 0.5) * scale
        lr = see_turned(fine, sigma, angle, shift, scale=scale)
    else:
        lr = see(fine, sigma, scale=scale)
    level = torch.rand(1, 1, 1, 1, generator=generator).square() * section.noise
    lr = lr + level * torch.randn(lr.shape, generator=generator)
    return lr[0].numpy(), sigma[0].numpy()


def psf_kernels(sigma: Tensor, *, scale: int, radius: int) -> Tensor:
    """Gaussian of standard deviation ``sigma`` convolved with a box of ``scale`` pixels, sampled per fine pixel.

    Args:
        sigma: ``(K,)`` in fine pixels.
        scale: fine pixels per coarse pixel.
        radius: fine pixels kept on each side of the coarse pixel.

    Returns:
        ``(K, scale + 2·radius)``, each row summing to one.
    """
    taps = torch.arange(-radius, radius + 1, dtype=torch.float32, device=sigma.device)
    gauss = torch.exp(-0.5 * (taps[None] / sigma[:, None]) ** 2)
    gauss = gauss / gauss.sum(1, keepdim=True)
    box = torch.full((1, 1, scale), 1.0 / scale, device=sigma.device)
    return F.conv1d(gauss[:, None], box, padding=scale - 1)[:, 0]


def psf_matrices(sigma: Tensor, *, scale: int, size: int) -> Tensor:
    """The sensor along one axis: matrices ``(K, size // scale, size)`` for each of ``sigma`` ``(K,)``; edges replicate."""
    radius = math.ceil(4.0 * float(sigma.max()))
    kernels = psf_kernels(sigma, scale=scale, radius=radius)
    first = torch.arange(0, size, scale, device=sigma.device)[:, None] - radius
    taps = (first + torch.arange(kernels.shape[1], device=sigma.device)).clamp(0, size - 1)
    out = torch.zeros(len(sigma), size // scale, size, device=sigma.device)
    return out.scatter_add_(2, taps.expand(len(sigma), -1, -1), kernels[:, None].expand(-1, size // scale, -1))


def see(hr: Tensor, sigma: Tensor, *, scale: int = 4) -> Tensor:
    """What the sensor sees of ``hr``: Gaussian blur, then the mean over ``scale × scale`` pixels.

    Args:
        hr: ``(N, C, scale·h, scale·w)``, any unit.
        sigma: ``(N, C)`` in pixels of ``hr``.
        scale: pixels of ``hr`` per pixel of the result.

    Returns:
        ``(N, C, h, w)``; edges are replicated.
    """
    n, c, height, width = hr.shape
    down = psf_matrices(sigma.reshape(-1), scale=scale, size=height)
    across = down if width == height else psf_matrices(sigma.reshape(-1), scale=scale, size=width)
    # Matrix products run several times faster on a CPU than grouped convolutions with one kernel per band.
    seen = down @ hr.reshape(n * c, height, width) @ across.transpose(1, 2)
    return seen.reshape(n, c, height // scale, width // scale)


def see_turned(hr: Tensor, sigma: Tensor, angle: Tensor, shift: Tensor, *, scale: int = 4) -> Tensor:
    """What a sensor on a turned grid sees, resampled to the upright grid by cubic convolution: a level 1 product.

    Satellites cross the meridians at an angle, so that every georeferenced product was resampled. The resampling blurs
    most half-way between two of the sensor's pixels, and along a straight road the phase between the grids goes round
    every few pixels. A network that never saw this draws the road as a wave.

    Args:
        hr: ``(N, C, scale·h, scale·w)``, any unit.
        sigma: ``(N, C)`` in pixels of ``hr``.
        angle: ``(N,)``, radians.
        shift: ``(N, 2)``, of the sensor's grid in pixels of ``hr``, (x, y).
        scale: pixels of ``hr`` per pixel of the result.

    Returns:
        ``(N, C, h, w)``; edges are replicated, and the outer two pixels hold some of that.
    """
    height, width = hr.shape[2:]
    soft = _filtered(hr, sigma, scale=scale)
    rows, columns = height // scale, width // scale
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], 1), torch.stack([angle.sin(), angle.cos()], 1)], 1)
    middle = torch.tensor([width / 2.0, height / 2.0])
    reach = math.ceil(max(rows, columns) * 0.7) + 4
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    own = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1) * scale  # places on the sensor's own grid
    ground = torch.einsum("nij,uvj->nuvi", turn, own) + (middle + shift)[:, None, None]
    # `soft` holds the values for sensor pixels centred on the corners of the fine pixels: 0, 1, …, width.
    sensed = _cubic_at(soft, ground)
    x = (torch.arange(columns, dtype=torch.float32) + 0.5) * scale
    y = (torch.arange(rows, dtype=torch.float32) + 0.5) * scale
    target = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None] - (middle + shift)[:, None, None]
    place = torch.einsum("nji,nuvj->nuvi", turn, target) / scale + reach
    return _cubic_at(sensed, place)


def _filtered(hr: Tensor, sigma: Tensor, *, scale: int) -> Tensor:
    """Gaussian and box at every corner between fine pixels, ``(N, C, H + 1, W + 1)``; `scale` must be even."""
    n, c, height, width = hr.shape
    flat = sigma.reshape(-1)
    down = _corner_matrices(flat, scale=scale, size=height)
    across = down if width == height else _corner_matrices(flat, scale=scale, size=width)
    out = down @ hr.reshape(n * c, height, width) @ across.transpose(1, 2)
    return out.reshape(n, c, height + 1, width + 1)


def _corner_matrices(sigma: Tensor, *, scale: int, size: int) -> Tensor:
    radius = math.ceil(4.0 * float(sigma.max()))
    kernels = psf_kernels(sigma, scale=scale, radius=radius)
    first = torch.arange(size + 1)[:, None] - scale // 2 - radius
    taps = (first + torch.arange(kernels.shape[1])).clamp(0, size - 1)
    out = torch.zeros(len(sigma), size + 1, size)
    return out.scatter_add_(2, taps.expand(len(sigma), -1, -1), kernels[:, None].expand(-1, size + 1, -1))


def _cubic_at(image: Tensor, place: Tensor) -> Tensor:
    """Keys' cubic convolution, a = −0.5 (PyTorch's own has −0.75, which bends ramps); edges replicate.

    Args:
        image: ``(N, C, h, w)``.
        place: ``(N, H, W, 2)``, pixel numbers (x, y).
    """
    n, c, height, width = image.shape
    base = place.floor()
    fraction = place - base
    flat = image.reshape(n, c, height * width)
    out = torch.zeros(n, c, place.shape[1] * place.shape[2])
    near = range(-1, 3)
    down, across = ([_keys(fraction[..., axis] - step) for step in near] for axis in (1, 0))
    for row, by_row in zip(near, down, strict=True):
        y = (base[..., 1] + row).clamp(0, height - 1)
        for column, by_column in zip(near, across, strict=True):
            x = (base[..., 0] + column).clamp(0, width - 1)
            index = (y * width + x).long().reshape(n, 1, -1).expand(-1, c, -1)
            out += (by_row * by_column).reshape(n, 1, -1) * flat.gather(2, index)
    return out.reshape(n, c, *place.shape[1:3])


def _keys(distance: Tensor) -> Tensor:
    d = distance.abs()
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return torch.where(d <= 1.0, near, torch.where(d < 2.0, far, 0.0))


def draw_sigma(n: int, bands: int, *, low: float, high: float, jitter: float, generator: torch.Generator) -> Tensor:
    """Blur per sample and band ``(n, bands)``: uniform over ``low…high``, bands apart by up to ``±jitter``."""
    common = torch.rand(n, 1, generator=generator) * (high - low) + low
    apart = (torch.rand(n, bands, generator=generator) * 2.0 - 1.0) * jitter
    return (common + apart).clamp(low, high)
