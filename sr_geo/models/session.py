"""Running a network: ONNX Runtime behind one callable."""

import hashlib
import io
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from pydantic import ValidationError

from sr_geo.errors import ModelError
from sr_geo.models.card import METADATA_KEY, Card
from sr_geo.radiometry import Float, measure_standard

Device = Literal["auto", "cpu", "cuda"]

_AGAIN = "install sr-geo again, or the model if it is your own"


class Upscaler:
    """A network with its card: float32 ``(C, h, w)`` in, ``(C, scale·h, scale·w)`` out.

    Calls may come from several threads.

    Args:
        card: what the network expects.
        session: an ONNX Runtime session of the network.
        sha256: of the model file, for provenance; empty where there is none.
    """

    def __init__(self, card: Card, session: ort.InferenceSession, *, sha256: str = "") -> None:
        self.card = card
        self.session = session
        self.sha256 = sha256

    @property
    def provider(self) -> str:
        """Where it runs, e.g. ``CPUExecutionProvider``."""
        provider: str = self.session.get_providers()[0]
        return provider

    def __call__(self, image: Float, *, sigma: float | Sequence[float] | None = None) -> Float:
        """Upscale a whole picture; its surroundings are taken as its mirror image.

        Args:
            image: ``(C, h, w)`` with the bands of the card in its order, in any unit where the card says that the
                network commutes with gain and offset or is standardised, else in 0…1.
            sigma: blur of the sensor in output pixels, one figure or one per band; default: the middle of the range.

        Returns:
            ``(C, scale·h, scale·w)`` in the unit of `image`.

        Raises:
            ValueError: `image` has other bands or no pixel.
        """
        if image.ndim != 3 or len(image) != len(self.card.bands) or 0 in image.shape:
            raise ValueError(
                f"shape {image.shape}: expected ({len(self.card.bands)}, height, width) for bands {', '.join(self.card.bands)}"
            )
        halo, scale = self.card.halo, self.card.scale
        standard = measure_standard(image.reshape(len(image), -1)) if self.card.standardised else None
        around = np.pad(image, ((0, 0), (halo, halo), (halo, halo)), mode="symmetric")
        edge = halo * scale
        fine = self.run(around if standard is None else standard.apply(around), sigma=sigma)
        fine = fine[:, edge : fine.shape[1] - edge, edge : fine.shape[2] - edge]
        return fine if standard is None else standard.undo(fine)

    def run(self, window: Float, *, sigma: float | Sequence[float] | None = None) -> Float:
        """The bare network on a window that brings its own halo: the outer ``halo·scale`` pixels of the result are unreliable."""
        feeds: dict[str, Any] = {"image": np.ascontiguousarray(window[None], np.float32)}
        if self.card.sigma is not None:
            feeds["sigma"] = self.clip_sigma(sigma)[None]
        fine: Float = self.session.run(None, feeds)[0][0]
        return fine

    def clip_sigma(self, sigma: float | Sequence[float] | None) -> Float:
        """One blur per band within the range of the card ``(C,)``; the middle of the range where None is given."""
        if self.card.sigma is None:
            raise ValueError(f"model {self.card.name} takes no blur")
        low, high = self.card.sigma
        value = np.asarray((low + high) / 2.0 if sigma is None else sigma, np.float32)
        if value.shape not in ((), (len(self.card.bands),)):
            raise ValueError(f"blur of shape {value.shape}: expected one figure, or one for each of {', '.join(self.card.bands)}")
        return np.clip(np.broadcast_to(value, (len(self.card.bands),)), low, high)


def open_model(path: Path, *, device: Device = "auto", threads: int | None = None, sha256: str | None = None) -> Upscaler:
    """Open an ONNX file that carries a card.

    Args:
        path: the file.
        device: ``auto`` takes a GPU where ONNX Runtime has one.
        threads: threads of one inference; default: all processors that this process may use.
        sha256: what the file must hash to, if known.

    Raises:
        ModelError: the file is missing, damaged, not the one expected, or has no card.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        # A hash is known of models that the package or the user's folder should have.
        remedy = "see `sr-geo models list` for those that there are" if sha256 is None else _AGAIN
        raise ModelError(f"{path}: the model cannot be read ({error.strerror}); {remedy}") from error
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256:
        raise ModelError(f"{path}: sha256 is {digest[:12]}…, expected {sha256[:12]}…; the file is damaged or was changed: {_AGAIN}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or available_processors()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Waiting threads sleep instead of spinning: reader and writer share the processors with the network.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(content, options, providers=_providers(device))
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime raises a class of its own for each cause, without a common public base
        raise ModelError(f"{path}: not a usable ONNX model ({_first_line(error)}); download or export it again") from error
    if device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise ModelError("--device cuda: CUDA could not be started; run `sr-geo doctor` to see what it lacks, or use --device cpu")
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(f"{path}: an ONNX file without a card ({METADATA_KEY} in its metadata); export it with `sr-geo export`")
    try:
        card = Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{path}: its card is not valid: {where}: {first['msg']}") from error
    _check_graph(path, card, session)
    return Upscaler(card, session, sha256=digest)


def _check_graph(path: Path, card: Card, session: ort.InferenceSession) -> None:
    """The card and the graph speak of the same inputs; otherwise the first tile would fail with ONNX Runtime's words."""
    inputs = {node.name: node.shape for node in session.get_inputs()}
    expected = {"image"} if card.sigma is None else {"image", "sigma"}
    if set(inputs) != expected:
        raise ModelError(
            f"{path}: takes {', '.join(sorted(inputs))}, by its card it should take {', '.join(sorted(expected))}; export it again"
        )
    shape = inputs["image"]
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != len(card.bands)):
        raise ModelError(f"{path}: takes pictures of shape {shape}, by its card they have {len(card.bands)} bands; export it again")


def available_processors() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _providers(device: Device) -> list[str]:
    has_cuda = "CUDAExecutionProvider" in ort.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise ModelError(
            "--device cuda: this ONNX Runtime has no CUDA; run `sr-geo doctor` for the commands that add it, or use --device cpu"
        )
    if device == "cpu" or not has_cuda:
        return ["CPUExecutionProvider"]
    _preload_cuda()
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def _preload_cuda() -> None:
    """Load the CUDA libraries that were installed as Python packages: the system's loader does not find them there."""
    preload = getattr(ort, "preload_dlls", None)  # from ONNX Runtime 1.21 on
    if preload is not None:
        with redirect_stdout(io.StringIO()):  # it prints what it misses, and the session then says whether that matters
            preload()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
