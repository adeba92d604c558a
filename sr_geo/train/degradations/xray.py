"""X-ray detectors: quanta are counted, and the picture is the logarithm of their number."""

import math

import numpy as np
import torch

from sr_geo.radiometry import Float
from sr_geo.train.degradations.sections import XrayDegradation
from sr_geo.train.degradations.sensor import see


def expose(section: XrayDegradation, hr: Float, *, scale: int, rng: np.random.Generator) -> tuple[Float, Float]:
    """The picture ``(C, H, W)``, 0…1 with dense tissue bright, taken again with pixels `scale` times as large.

    Quanta that pass fall as exp(−density · value). Their number in each fine pixel is a Poisson number, the scintillator
    spreads their light (so that noise is correlated), the coarse pixel gathers it, and its logarithm is stored.

    Returns:
        ``(C, H // scale, W // scale)``, and the blur ``(C,)`` in pixels of `hr`.
    """
    sigma = np.full(len(hr), rng.uniform(*section.sigma), np.float32)
    low, high = (math.log(max(end, 1.0)) for end in section.quanta)
    each = math.exp(rng.uniform(low, high)) / scale**2
    density = np.float32(section.density)
    counted = rng.poisson(each * np.exp(-density * hr)).astype(np.float32)
    gathered = see(torch.from_numpy(counted)[None], torch.from_numpy(sigma)[None], scale=scale)[0].numpy()
    # A pixel that no quantum reached is as dark as half a quantum.
    lr: Float = -np.log(np.maximum(gathered, 0.5 / scale**2) / np.float32(each)) / density
    return np.clip(lr, 0.0, 1.0), sigma
