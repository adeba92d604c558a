"""What compression does to a picture: JPEG by Pillow, and the intra frames of a video stream."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr_geo.radiometry import Float

BLOCK = 8
"""Side of the blocks that video transforms."""


def jpeg(picture: Float, quality: int, *, full_colour: bool) -> Float:
    """``(C, H, W)``, 0…1, through a JPEG file: RGB as colour, other bands one by one as gray."""
    stored = to_bytes(picture)
    if len(stored) == 3:
        return _through_jpeg(stored.transpose(1, 2, 0), quality, 0 if full_colour else 2).transpose(2, 0, 1)
    return np.stack([_through_jpeg(plane, quality, 0) for plane in stored])


def _through_jpeg(pixels: NDArray[np.uint8], quality: int, subsampling: int) -> Float:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(stream) as image:
        return np.asarray(image).astype(np.float32) / np.float32(255.0)


def video(picture: Float, quantiser: float) -> Float:
    """``(C, H, W)``, 0…1, as an intra frame of H.264 would show it.

    Not the codec: its 8 × 8 transform with a flat quantiser of step 0.625 · 2^(QP/6), the dead zone, colour at half the
    resolution, and a filter over block edges whose step the quantiser alone explains. That is what the pictures show.
    """
    step = 0.625 * 2.0 ** (quantiser / 6.0)
    planes = _to_ycc(picture) * np.float32(255.0)
    coded = [_code_plane(planes[0], step)]
    for plane in planes[1:]:
        half = _resized(plane, -(-plane.shape[0] // 2), -(-plane.shape[1] // 2))
        coded.append(_resized(_code_plane(half, step), *plane.shape))
    out: Float = np.clip(_from_ycc(np.stack(coded) / np.float32(255.0)), 0.0, 1.0)
    return out


def _code_plane(plane: Float, step: float) -> Float:
    """One plane, 0…255, through transform, quantiser and deblocking."""
    from scipy.fft import dctn, idctn

    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % BLOCK), (0, -width % BLOCK)), mode="edge")
    rows, columns = padded.shape[0] // BLOCK, padded.shape[1] // BLOCK
    blocks = padded.reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3)
    coefficients = dctn(blocks, axes=(2, 3), norm="ortho")
    # Rounding offset 1/3: the encoder drops what hardly differs from its prediction. The mean is coded to half the step.
    levels = np.sign(coefficients) * np.floor(np.abs(coefficients) / step + 1.0 / 3.0)
    kept = levels * step
    kept[..., 0, 0] = np.round(coefficients[..., 0, 0] / (step / 2.0)) * (step / 2.0)
    flat = idctn(kept, axes=(2, 3), norm="ortho").transpose(0, 2, 1, 3).reshape(padded.shape)
    smooth = _deblocked(_deblocked(flat, step).T, step).T
    out: Float = smooth[:height, :width].astype(np.float32)
    return out


def _deblocked(plane: NDArray[Any], step: float) -> NDArray[Any]:
    """Edges between rows of blocks smoothed where they are lower than `step`: a higher one is taken for picture."""
    out = plane.copy()
    edges = np.arange(BLOCK, plane.shape[0], BLOCK)
    before, after = plane[edges - 1], plane[edges]
    jump = np.where(np.abs(after - before) < step, after - before, 0.0)
    for distance, share in ((0, 3 / 8), (1, 1 / 8)):
        out[edges - 1 - distance] += share * jump
        out[edges + distance] -= share * jump
    return out


def to_bytes(picture: Float) -> NDArray[np.uint8]:
    """0…1 as 8 bits."""
    stored: NDArray[np.uint8] = np.clip(np.rint(picture * np.float32(255.0)), 0.0, 255.0).astype(np.uint8)
    return stored


def _resized(plane: Float, height: int, width: int) -> Float:
    return np.asarray(Image.fromarray(plane.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))


_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_RGB = np.linalg.inv(_YCC).astype(np.float32)


def _to_ycc(picture: Float) -> Float:
    out: Float = np.einsum("ij,jhw->ihw", _YCC.astype(np.float32), picture) if len(picture) == 3 else picture
    return out


def _from_ycc(picture: Float) -> Float:
    out: Float = np.einsum("ij,jhw->ihw", _RGB, picture) if len(picture) == 3 else picture
    return out
