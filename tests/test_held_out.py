"""No run whose model is shipped has read a file, a row or a column that models are tested on: by its own data list and recipe."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

RESULTS = Path(__file__).parents[1] / "training" / "results"
RUNS = sorted((RESULTS / "runs").iterdir())

# Rasters that are split by place, from the data's own description. They are in the data list of a run as whole files, so their hashes say
# nothing; what keeps the test part out is that a run reads the rows and columns of its recipe alone (tests/train/samples/test_rasters.py
# holds that), and the recipe as it was run lies beside the data list. First row and column that are not to be read:
# NAIP from row 572, the North Dakota mosaic from row 2560, scene 224078 from column 1400; scene 224077 is for training as a whole.
SPLIT_BY_PLACE: dict[str, tuple[int | None, int | None]] = {
    "/naip/": (572, None),
    "/agnet_": (2560, None),
    "/LC08_L1TP_224077": (None, None),
    "/LC08_L1TP_224078": (None, 1400),
}


def read_hashes(text: str) -> set[str]:
    return {line for line in text.splitlines() if line and not line.startswith("#")}


HELD_OUT = read_hashes((RESULTS / "test-files.txt").read_text(encoding="utf-8"))


def files_read(run: Path) -> dict[str, str]:
    """Name and SHA-256 of every file that a run trained or validated on."""
    files: dict[str, str] = json.loads((run / "data.json").read_text(encoding="utf-8"))["files"]
    return files


def sources_of(run: Path) -> list[dict[str, Any]]:
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    return [*recipe["sources"], *recipe["validation"]]


def trespasses(files: dict[str, str]) -> list[str]:
    """Names of files that are test material."""
    return [name for name, digest in files.items() if digest[:16] in HELD_OUT]


def reads_beyond(source: dict[str, Any], pattern: str) -> bool:
    """Whether a source of rasters reads rows or columns that are for testing; a file that nothing is known about counts as such."""
    limits = next((limit for part, limit in SPLIT_BY_PLACE.items() if part in pattern), None)
    if limits is None:
        return True
    spans = (source.get("rows"), source.get("columns"))
    return any(limit is not None and (span is None or span[1] > limit) for limit, span in zip(limits, spans, strict=True))


def test_the_list_holds_every_part_of_the_test_material() -> None:
    text = (RESULTS / "test-files.txt").read_text(encoding="utf-8")
    counts = {part: int(count) for part, count in re.findall(r"^# (.*): (\d+)$", text, re.MULTILINE)}
    assert sum(counts.values()) >= len(HELD_OUT) > 500
    assert {"benchmark", "plates", "medical, split test", "faces, split test", "satellite/sentinel2"} <= set(counts)
    assert all(re.fullmatch(r"[0-9a-f]{16}", digest) for digest in HELD_OUT)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_no_file_of_a_run_is_test_material(run: Path) -> None:
    files = files_read(run)
    assert files or all(source["kind"] in {"plates", "fields"} for source in sources_of(run)), "imagery was read and no file is listed"
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in files.values())
    assert trespasses(files) == []


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_no_row_or_column_of_a_run_is_test_material(run: Path) -> None:
    for source in sources_of(run):
        assert source["kind"] != "pairs", "say here what of real pairs is test material"
        if source["kind"] == "rasters":
            assert [pattern for pattern in source["files"] if reads_beyond(source, f"/{pattern}")] == []
        if source["kind"] in {"images", "dicom"}:
            assert source["split"] in {"train", "val"}


def test_every_shipped_model_has_its_data_list(repository: Path) -> None:
    shipped = json.loads((repository / "sr_geo" / "models" / "weights" / "index.json").read_text(encoding="utf-8"))
    # A network in bytes is that of the same run.
    assert {name.removesuffix("-int8") for name in shipped} <= {run.name for run in RUNS}


def test_this_check_finds_test_material() -> None:
    one = sorted(HELD_OUT)[0]
    assert trespasses({"innocent.png": "0" * 64, "a.png": one + "0" * 48}) == ["a.png"]
    naip = "/satellite/hr/naip/*.tif"
    assert not reads_beyond({"rows": [0, 572]}, naip)
    for source in ({}, {"rows": None}, {"rows": [0, 573]}, {"columns": [0, 100]}):
        assert reads_beyond(source, naip)
    assert reads_beyond({"columns": [0, 1401]}, "/satellite/landsat/LC08_L1TP_224078_x.TIF")
    assert reads_beyond({"rows": [0, 10]}, "/satellite/sentinel2/denmark.tif")


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_the_list_is_that_of_the_test_material(repository: Path, data_root: Path) -> None:
    script = load_script(repository / "training" / "list_test_files.py")
    assert read_hashes(script.listing(data_root)) == HELD_OUT
