"""Folders of pictures: PNG, JPEG, TIFF and whatever else Pillow reads."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sr_geo.errors import TrainingDataError
from sr_geo.train.samples.decoded import Decoded, Picture, band_order
from sr_geo.train.samples.imagery import Skipped
from sr_geo.train.samples.sections import ImageSource
from sr_geo.train.samples.splits import list_files


def open_images(source: ImageSource, root: Path, bands: Sequence[str], *, size: int) -> tuple[list[Picture], list[Skipped]]:
    """Decode every picture once, so that a damaged one is found now and not hours later.

    Returns:
        The pictures, and the files that are left out: no pictures, damaged, or smaller than `size`.

    Raises:
        TrainingDataError: no file matches, none can be used, or the model has other bands than pictures have.
    """
    try:
        order = band_order(tuple(bands))
    except ValueError as error:
        raise TrainingDataError(f"source {source.name}: {error}") from error
    pictures, skipped = [], []
    for path in list_files(source, root):
        try:
            _, height, width = decode_image(path, 0).pixels.shape
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            skipped.append(Skipped(path, f"no picture that can be read: {error}"))
            continue
        needed = math.ceil(size * source.reduced[0])
        if min(height, width) < needed:
            skipped.append(Skipped(path, f"{height} × {width} pixels, samples take {needed} × {needed}"))
            continue
        pictures.append(Picture(path, 0, height, width, order, decode_image, source.turns, source.reduced))
    if not pictures:
        raise TrainingDataError(f"source {source.name}: none of {len(skipped)} file(s) can be used; {skipped[0].path}: {skipped[0].reason}")
    return pictures, skipped


def decode_image(path: Path, frame: int) -> Decoded:
    """A picture as 8 or 16 bits, ``(1, H, W)`` gray or ``(3, H, W)`` RGB, upright; alpha is dropped.

    Pillow halves the depth of 16-bit colour without a word, so that PNG and TIFF of more than 8 bits go to GDAL.
    """
    del frame  # only the first is a photo
    with Image.open(path) as image:
        deep = image.format in {"PNG", "TIFF"} and _bits(image) > 8
        if not deep:
            upright = ImageOps.exif_transpose(image)
            return Decoded(_planes(upright), 0.0, 255.0)
    pixels = _read_deep(path)
    if pixels.dtype != np.uint16:
        raise ValueError(f"{pixels.dtype} pixels; pictures have 8 or 16 bits without sign: give it as a source of kind rasters")
    return Decoded(pixels, 0.0, 65535.0)


def _read_deep(path: Path) -> NDArray[Any]:
    """The first band or the first three, of any depth."""
    import rasterio  # where pictures have 8 bits, training needs no GDAL
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as dataset:
                pixels: NDArray[Any] = dataset.read(indexes=[1, 2, 3] if dataset.count >= 3 else [1])
    except RasterioError as error:
        raise ValueError(str(error)) from error
    return pixels


def _bits(image: Image.Image) -> int:
    """Bits of each sample as the file has them, before Pillow converts."""
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
        return int(max(bits))
    if image.mode.startswith(("I", "F")):
        return 16
    raw = str(getattr(image, "tile", ""))
    return 16 if ";16" in raw else 8


def _planes(image: Image.Image) -> NDArray[Any]:
    gray = image.mode in {"1", "L", "LA"} or (image.mode == "P" and _gray_palette(image))
    array: NDArray[Any] = np.asarray(image.convert("L" if gray else "RGB"))
    return array[None] if gray else np.ascontiguousarray(array.transpose(2, 0, 1))


def _gray_palette(image: Image.Image) -> bool:
    colours = np.asarray(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())
