"""A plate on a car in a street: wear, light and perspective."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr_geo.radiometry import Float
from sr_geo.train.plates.flat import FlatPlate, draw_flat, read_text, write_text
from sr_geo.train.plates.fonts import WEIGHTS, Face, families
from sr_geo.train.plates.layouts import LAYOUTS, Layout

FINE = 2
"""Pixels of the drawing per pixel of the picture, in each direction."""

KEPT_BACK = 10
"""One text in so many is never trained on."""

_PAINTS = (
    (0.75, 0.75, 0.76),
    (0.08, 0.08, 0.09),
    (0.35, 0.36, 0.38),
    (0.45, 0.06, 0.07),
    (0.08, 0.14, 0.34),
    (0.5, 0.46, 0.4),
    (0.9, 0.9, 0.88),
)
"""Colours of cars."""


@dataclass(frozen=True, slots=True)
class RenderedPlate:
    """A picture with one plate in it."""

    picture: Float
    """``(3, H, W)`` red, green, blue, 0…1."""
    text: str
    """Capitals A–Z and digits, without spaces and dashes; Cyrillic letters as their Latin twins."""
    country: str
    layout: str
    corners: NDArray[np.float64]
    """``(4, 2)`` x, y of the plate's corners in pixels: top left, top right, bottom right, bottom left."""


def render_plate(
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    width: float,
    countries: Sequence[str] = ("kz", "ru", "eu", "us"),
    held_out: bool = False,
    centred: bool = False,
) -> RenderedPlate:
    """Draw a new plate.

    Args:
        rng: all chance comes from here.
        size: height and width of the picture.
        width: of the plate in pixels, where it faces the camera.
        countries: keys of `layouts.LAYOUTS`, equally likely.
        held_out: draw the texts that are kept back from training, and no others.
        centred: the whole plate is in the middle; else anywhere, cut off by the edges if need be.
    """
    layout = _choose(LAYOUTS[str(rng.choice(list(countries)))], rng)
    while True:
        written = write_text(layout, rng)
        text = read_text(written)
        if (crc32(text.encode()) % KEPT_BACK == 0) == held_out:
            break
    scale = FINE * width / layout.size[0]
    weight, stretch = str(rng.choice(list(WEIGHTS), p=(0.25, 0.45, 0.3))), float(rng.uniform(0.94, 1.08))
    face = Face(str(rng.choice(families(narrow=layout.narrow), p=(0.4, 0.2, 0.2, 0.2))), weight)
    flat = draw_flat(layout, written, scale=scale, face=face, stretch=stretch)
    night = rng.random() < 0.2
    plate = _wear(_emboss(flat, scale, rng), flat.cover, scale, rng)
    holder, cover = _hold(plate, flat.cover, scale, rng)
    margin = (holder.shape[1] - plate.shape[1]) / 2.0
    place = _place((size[0] * FINE, size[1] * FINE), plate.shape[:2], rng, centred=centred)
    seen, opaque = _warp(holder, cover, place, margin, size)
    scene = _street(size, rng)
    shade = np.roll(_soft(opaque, 0.02 * width), max(1, round(0.012 * width)), axis=0)
    scene *= (1.0 - np.float32(0.55) * shade)[..., None]
    scene *= (1.0 - opaque)[..., None]
    picture = _light(scene + seen, opaque, rng, night=night).transpose(2, 0, 1)
    return RenderedPlate(np.ascontiguousarray(np.clip(picture, 0.0, 1.0), np.float32), text, layout.country, layout.name, place / FINE)


def _choose(layouts: Sequence[Layout], rng: np.random.Generator) -> Layout:
    shares = np.array([layout.share for layout in layouts])
    return layouts[int(rng.choice(len(layouts), p=shares / shares.sum()))]


def _emboss(flat: FlatPlate, scale: float, rng: np.random.Generator) -> Float:
    """Light from one side on the pressed edges of the characters."""
    raised = _soft(flat.relief, 1.2 * scale)
    slope = np.gradient(raised)
    angle = rng.uniform(0.0, 2.0 * math.pi)
    glint = (slope[0] * math.sin(angle) + slope[1] * math.cos(angle)) * scale * rng.uniform(0.15, 0.9)
    out: Float = (flat.colour + np.clip(glint, -0.25, 0.3)[..., None]).astype(np.float32)
    return out


def _wear(colour: Float, cover: Float, scale: float, rng: np.random.Generator) -> Float:
    """Fading, film of dirt that is thicker below, splashes, chips; most plates are rather clean."""
    shape = colour.shape[:2]
    amount = rng.beta(1.2, 3.5)
    film = np.clip(_clouds(shape, (3, 8, 24), rng) * 0.8 + np.linspace(-0.3, 0.5, shape[0])[:, None], 0.0, 1.0) * amount
    mud = np.array(rng.uniform((0.25, 0.2, 0.14), (0.5, 0.43, 0.36)), np.float32)
    out = colour + film[..., None].astype(np.float32) * (mud - colour)
    spots = np.clip((_clouds(shape, (30, 60), rng) - (0.86 - 0.25 * amount)) * 6.0, 0.0, 1.0)
    out += (0.7 * spots * cover)[..., None].astype(np.float32) * (mud * np.float32(0.8) - out)
    worn: Float = np.clip(out * np.float32(rng.uniform(0.85, 1.0)), 0.0, 1.2).astype(np.float32)
    return worn


def _hold(colour: Float, cover: Float, scale: float, rng: np.random.Generator) -> tuple[Float, Float]:
    """The plate in a dark holder, or bare; colours and coverage with the same margin on all sides."""
    margin = max(2, round(scale * 14.0))
    wide = ((margin, margin), (margin, margin))
    on = np.pad(cover, wide)
    out = np.pad(colour, (*wide, (0, 0)), mode="edge")
    if rng.random() < 0.5:
        tone = np.float32(rng.uniform(0.02, 0.16))
        thick = rng.uniform(0.4, 0.95)
        frame = np.zeros_like(on)
        inset = round(margin * (1.0 - thick))
        frame[inset : frame.shape[0] - inset, inset : frame.shape[1] - inset] = 1.0
        out = tone + on[..., None] * (out - tone)
        on = np.maximum(frame, on)
    return out.astype(np.float32), on


def _place(picture: tuple[int, int], plate: tuple[int, int], rng: np.random.Generator, *, centred: bool) -> NDArray[np.float64]:
    """Where the corners of the plate come to lie: turned in space before a camera some plate widths away."""
    height, width = plate
    yaw, pitch, roll = (math.radians(float(np.clip(rng.normal(0.0, spread), -2.2 * spread, 2.2 * spread))) for spread in (18.0, 9.0, 4.0))
    corners = np.array([[-width, -height, 0.0], [width, -height, 0.0], [width, height, 0.0], [-width, height, 0.0]]) / 2.0
    turn = _about(2, roll) @ _about(0, pitch) @ _about(1, yaw)
    points = corners @ turn.T
    distance = width * rng.uniform(2.5, 9.0)
    flat = points[:, :2] * (distance / (distance + points[:, 2:]))
    if centred:
        middle = np.array([picture[1], picture[0]]) / 2.0 - flat.mean(0)
    else:
        # Anywhere such that the middle of the plate is in the picture.
        reach = 0.5 * np.array([max(picture[1], 0.8 * width), picture[0] * 0.8])
        middle = np.array([picture[1], picture[0]]) / 2.0 + rng.uniform(-reach, reach) * np.array([0.7, 0.7])
    placed: NDArray[np.float64] = flat + middle
    return placed


def _about(axis: int, angle: float) -> NDArray[np.float64]:
    """Rotation about a coordinate axis."""
    turn = np.eye(3)
    first, second = ((1, 2), (0, 2), (0, 1))[axis]
    turn[first, first] = turn[second, second] = math.cos(angle)
    turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
    return turn


def _warp(colour: Float, cover: Float, corners: NDArray[np.float64], margin: float, size: tuple[int, int]) -> tuple[Float, Float]:
    """The plate with its holder in the picture: colours times coverage ``(H, W, 3)``, and coverage ``(H, W)``."""
    height, width = cover.shape
    own = np.array([[margin, margin], [width - margin, margin], [width - margin, height - margin], [margin, height - margin]])
    matrix = _homography(corners, own)
    coefficients = (matrix / matrix[2, 2]).reshape(-1)[:8].tolist()
    fine = (size[1] * FINE, size[0] * FINE)
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).transform(fine, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
        for plane in (*(colour * cover[..., None]).transpose(2, 0, 1), cover)
    ]
    small = [np.asarray(plane.reduce(FINE)) for plane in planes]
    return np.stack(small[:3], -1), small[3]


def _homography(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The projective map ``(3, 3)`` that takes four points to four others."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), target.reshape(-1)), 1.0).reshape(3, 3)


def _street(shape: tuple[int, int], rng: np.random.Generator) -> Float:
    """Paint, plastic and shadow around a plate: a colour, level edges of the bodywork, soft reflections."""
    body = np.array(_PAINTS[rng.integers(len(_PAINTS))], np.float32)
    scene = np.broadcast_to(body * np.float32(rng.uniform(0.7, 1.1)), (*shape, 3)).copy()
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    columns = np.arange(shape[1], dtype=np.float32)[None]
    for _ in range(rng.integers(2, 6)):
        slope, start = rng.normal(0.0, 0.05), rng.uniform(-0.1, 1.1) * shape[0]
        below = np.clip((rows - start - slope * columns) / rng.uniform(0.5, 0.06 * shape[0]), 0.0, 1.0)
        tone = rng.uniform(-0.35, 0.3)
        scene += (below * tone * (0.3 + body.mean()))[..., None].astype(np.float32)
    scene += (0.12 * (_clouds(shape, (2, 4), rng) - 0.5))[..., None].astype(np.float32)
    scene += (0.05 * (_clouds(shape, (40, 90), rng) - 0.5))[..., None].astype(np.float32)
    return np.clip(scene, 0.01, 1.0)


def _light(scene: Float, plate: Float, rng: np.random.Generator, *, night: bool) -> Float:
    """Day with sun, shade and a cast shadow; or night, with only the plate throwing back the headlamps."""
    shape = scene.shape[:2]
    rows, columns = np.ogrid[0 : shape[0], 0 : shape[1]]
    angle = rng.uniform(0.0, 2.0 * math.pi)
    along = (rows / shape[0] - 0.5) * math.sin(angle) + (columns / shape[1] - 0.5) * math.cos(angle)
    light = 1.0 + rng.uniform(0.0, 0.35) * along
    if night:
        light = light * (0.15 + plate)
    elif rng.random() < 0.3:
        edge = np.clip((along - rng.uniform(-0.3, 0.3)) / rng.uniform(0.005, 0.08), 0.0, 1.0)
        light = light * (1.0 - rng.uniform(0.3, 0.6) * edge)
    warmth = rng.normal(0.0, 0.05)
    tint = np.array([1.0 + warmth, 1.0 + rng.normal(0.0, 0.01), 1.0 - warmth], np.float32)
    lit: Float = scene * light[..., None].astype(np.float32) * tint
    if rng.random() < 0.15:  # infrared and black-and-white cameras
        lit = np.repeat(lit.mean(-1, keepdims=True), 3, axis=-1)
    if rng.random() < 0.12:  # glare of a lamp or the sun
        centre = rng.uniform(0.0, 1.0, 2) * shape
        spot = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2.0 * (rng.uniform(0.05, 0.25) * shape[1]) ** 2))
        lit = lit + np.float32(rng.uniform(0.1, 0.5)) * spot[..., None].astype(np.float32)
    # Exposure is the camera's: it aims at a medium brightness of the plate and misses it by up to a stop.
    mean = float((lit.mean(-1) * plate).sum() / max(float(plate.sum()), 1.0))
    lit = lit * np.float32(0.5 * 2.0 ** rng.uniform(-1.0, 0.6) / max(mean, 0.02))
    # Highlights run into white as film and sensors' curves do, rather than being cut off.
    return np.where(lit < 0.8, lit, 1.0 - 0.2 * np.exp(-np.maximum(lit - 0.8, 0.0) / 0.2)).astype(np.float32)


def _clouds(shape: tuple[int, int], cells: Sequence[int], rng: np.random.Generator) -> Float:
    """Soft noise ``(H, W)``, about 0…1, with as many cells across as `cells` says."""
    total = np.zeros(shape, np.float32)
    for count in cells:
        rows = max(2, round(count * shape[0] / shape[1]))
        small = rng.random((rows, max(2, count)), np.float32)
        total += np.asarray(Image.fromarray(small).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
    return total / np.float32(len(cells))


def _soft(plane: Float, sigma: float) -> Float:
    from scipy.ndimage import gaussian_filter

    out: Float = gaussian_filter(plane, sigma)
    return out
