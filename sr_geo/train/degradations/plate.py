"""Traffic cameras: motion, defocus, coarse pixels, little light, a compressed stream. Perspective is the renderer's."""

import math

import numpy as np

from sr_geo.radiometry import Float
from sr_geo.train.degradations.compression import jpeg, video
from sr_geo.train.degradations.kernels import blur, disc, line
from sr_geo.train.degradations.sections import PlateDegradation


def film(section: PlateDegradation, hr: Float, *, scale: int, rng: np.random.Generator) -> Float:
    """``(C, H, W)``, 0…1 → ``(C, H // scale, W // scale)``, 0…1 in steps of 8 bits."""
    # Cars drive along or towards the camera: motion is level or upright rather than oblique.
    level = 0.0 if rng.random() < 0.7 else math.pi / 2.0
    moved = blur(hr, line(scale * rng.uniform(*section.motion), rng.normal(level, 0.15)))
    soft = blur(moved, disc(scale * rng.uniform(*section.defocus)))
    bands, height, width = soft.shape
    x: Float = soft.reshape(bands, height // scale, scale, width // scale, scale).mean((2, 4))
    x = np.clip(x, 0.0, 1.0)
    deviation = np.float32(rng.uniform(*section.noise) / 255.0)
    x = x + deviation * np.sqrt((x + np.float32(0.1)) / np.float32(0.6)) * rng.standard_normal(x.shape, np.float32)
    x = np.clip(x, 0.0, 1.0)
    if rng.random() < section.video:
        x = video(x, rng.uniform(*section.quantiser))
    else:
        x = jpeg(x, round(rng.uniform(*section.jpeg)), full_colour=False)
    stored: Float = np.rint(x * np.float32(255.0)) / np.float32(255.0)
    return stored
