"""No run of a shipped model or of the study has read a file, a row or a column that models are tested on: by data lists and recipes."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sr_geo.models.card import Leg
from sr_geo.models.catalog import load_model

RESULTS = Path(__file__).parents[1] / "training" / "results"
RUNS = sorted((RESULTS / "runs").iterdir())
LISTS = [*sorted((RESULTS / "runs").glob("*/data*.json")), RESULTS / "study-data.json"]
"""Of the last leg of each run, of earlier ones whose list was kept, and of the study, all runs of which draw from one pack."""
DESCRIBED = [*(run / "recipe.json" for run in RUNS), LISTS[-1]]
"""Where rows, columns and splits of sources are named."""

UNLISTED = {
    ("face-rgb-x4", 1),
    ("medical-gray-x4", 1),
    ("photo-rgb-x4", 1),
    ("plate-rgb-x4", 1),
    ("plate-rgb-x4", 2),
    ("satellite-rgb-perceptual-x4", 1),
    ("satellite-rgb-perceptual-x4", 2),
    ("satellite-rgb-x4", 1),
    ("satellite-rgbn-x4", 1),
}
"""Legs that shipped models went through and whose data list was not kept, by run and number: what they read is not tested here, and known
from training/README.md and the recipes of then alone. None is to be added: keep the data.json of each leg, as data-legN.json."""

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


def shipped_models(repository: Path) -> dict[str, tuple[Leg, ...]]:
    """The legs of every card. A network in bytes has those of its twin."""
    names = json.loads((repository / "sr_geo" / "models" / "weights" / "index.json").read_text(encoding="utf-8"))
    return {name: load_model(name, device="cpu", threads=1).card.legs for name in names}


def named_legs(name: str, starts: list[str]) -> list[tuple[str, int]]:
    """Run and number of each leg. A leg is named by what the next one started from, the last by its model; each run begins with 1."""
    assert starts
    assert starts[0] == "", f"{name}: nothing tells what {starts[0]} was trained on"
    found: list[tuple[str, int]] = []
    for start in [*starts[1:], f"model {name}"]:
        named = re.fullmatch(r"(?:run|model) (.+?)(?:(?:, leg |-leg)(\d+))?", start)
        assert named is not None, f"{name}: {start!r} names no leg"
        number = found[-1][1] + 1 if found and found[-1][0] == named[1] else 1
        assert int(named[2] or number) == number, f"{name}: {start!r} is the leg {number} of its run"
        found.append((named[1], number))
    return found


def test_legs_without_a_data_list_are_those_that_are_known(repository: Path) -> None:
    models = shipped_models(repository)
    legs = {name: named_legs(name, [leg.start for leg in card]) for name, card in models.items() if not name.endswith("-int8")}
    assert all(card == models[name.removesuffix("-int8")] for name, card in models.items())
    listed = {(run.name, int(path.stem.removeprefix("data-leg"))) for run in RUNS for path in run.glob("data-leg*.json")}
    listed |= {legs[run.name][-1] for run in RUNS if run.name in legs and (run / "data.json").exists()}
    gone_through = {leg for each in legs.values() for leg in each}
    assert listed <= gone_through, "a list of a leg that no model went through"
    assert gone_through - listed == UNLISTED


def test_data_lists_tell_the_legs_of_their_card(repository: Path) -> None:
    models = shipped_models(repository)
    for run in RUNS:
        told = json.loads((run / "data.json").read_text(encoding="utf-8"))
        if "legs" in told and run.name in models:
            assert [Leg.model_validate(leg) for leg in told["legs"]] == list(models[run.name][:-1])
            assert told["start"] == models[run.name][-1].start


def test_legs_are_named_by_what_follows_them() -> None:
    assert named_legs("a", [""]) == [("a", 1)]
    assert named_legs("b", ["", "run a, leg 1", "model a", "run b-leg1"]) == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert named_legs("a", ["", "model a"]) == [("a", 1), ("a", 2)]
    for starts in (["realsr-df2k"], ["", "realsr-df2k"], ["", "run a, leg 2"]):
        with pytest.raises(AssertionError):
            named_legs("b", starts)


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
