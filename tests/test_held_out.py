"""No run of a shipped model or of the study has read a file, a row or a column that models are tested on: by data lists and recipes."""

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
LISTS = [*sorted((RESULTS / "runs").glob("*/data*.json")), RESULTS / "study-data.json"]
"""Of the last leg of each run, of earlier ones whose list was kept, and of the study, all runs of which draw from one pack."""
DESCRIBED = [*(run / "recipe.json" for run in RUNS), LISTS[-1]]
"""Where rows, columns and splits of sources are named."""

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


def files_read(listed: Path) -> dict[str, str]:
    """Name and SHA-256 of every file that was trained or validated on."""
    files: dict[str, str] = json.loads(listed.read_text(encoding="utf-8"))["files"]
    return files


def sources_of(described: Path) -> list[dict[str, Any]]:
    recipe = json.loads(described.read_text(encoding="utf-8"))
    return [*recipe["sources"], *recipe.get("validation", [])]


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


@pytest.mark.parametrize("listed", LISTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_file_that_was_read_is_test_material(listed: Path) -> None:
    files = files_read(listed)
    assert files, "imagery was read and no file is listed"
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in files.values())
    assert trespasses(files) == []


@pytest.mark.parametrize("described", DESCRIBED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_row_or_column_that_was_read_is_test_material(described: Path) -> None:
    for source in sources_of(described):
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
