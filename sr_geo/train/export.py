"""From trained weights to an ONNX file with a card; what is tested is what runs."""

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch

from sr_geo.errors import TrainingError
from sr_geo.models.card import METADATA_KEY, Card
from sr_geo.train.nets import Compact

OPSET = 17
IR_VERSION = 8
TOLERANCE = 1e-4
"""Largest difference between PyTorch and ONNX Runtime on input of unit spread."""


def export_onnx(net: Compact, card: Card, path: Path) -> float:
    """Write `net` with `card` as ONNX: inputs ``image`` (N, C, h, w) and ``sigma`` (N, C), output ``enhanced``.

    Returns:
        The largest absolute difference between PyTorch and ONNX Runtime on three shapes of random input.

    Raises:
        TrainingError: the difference is above `TOLERANCE`; nothing is written.
    """
    net = net.eval().to(memory_format=torch.contiguous_format)
    buffer = io.BytesIO()
    image, sigma = torch.randn(1, net.bands, 24, 20), torch.full((1, net.bands), 2.0)
    dynamic = {"image": {0: "n", 2: "h", 3: "w"}, "sigma": {0: "n"}, "enhanced": {0: "n", 2: "H", 3: "W"}}
    with warnings.catch_warnings():
        # The newer exporter needs onnxscript and writes opset 18 or later, where one is enough that older runtimes load.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net,
            (image, sigma),
            buffer,  # type: ignore[arg-type]  # a stream is taken too: the annotation is that of the newer exporter
            opset_version=OPSET,
            input_names=["image", "sigma"],
            output_names=["enhanced"],
            dynamic_axes=dynamic,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    model.ir_version = IR_VERSION
    model.producer_name = "sr-geo"
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, card.model_dump_json()
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    difference = _largest_difference(net, content)
    if difference > TOLERANCE:
        raise TrainingError(
            f"{path.name}: ONNX Runtime differs from PyTorch by {difference:.2e}, allowed {TOLERANCE:.0e}; nothing was written"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return difference


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _largest_difference(net: Compact, content: bytes) -> float:
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst = 0.0
    for shape in ((1, net.bands, 40, 40), (1, net.bands, 33, 57), (2, net.bands, 64, 24)):
        image = rng.standard_normal(shape).astype(np.float32)
        sigma = rng.uniform(1.0, 3.2, shape[:2]).astype(np.float32)
        with torch.no_grad():
            ours = net(torch.from_numpy(image), torch.from_numpy(sigma)).numpy()
        theirs = session.run(None, {"image": image, "sigma": sigma})[0]
        worst = max(worst, float(np.abs(ours - theirs).max()))
    return worst
