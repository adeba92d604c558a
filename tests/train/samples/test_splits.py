"""Only files of the split are ever opened."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from sr_geo.errors import TrainingDataError
from sr_geo.train.samples.sections import ImageSource
from sr_geo.train.samples.splits import list_files

DATA = Path(os.environ.get("SR_GEO_DATA", Path(__file__).parents[4] / "shared" / "data"))


def source(**more: object) -> ImageSource:
    fields = {"name": "s", "kind": "images", "files": ["**/*.png"], "licence": "CC0", "labels": "set/labels.csv", "split": "train"}
    return ImageSource.model_validate({**fields, **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "set" / "labels.csv").write_text("file,split,who\na/1.png,train,x\na/2.png,test,y\nb/3.png,train,x\n")
    return tmp_path


def test_other_splits_stay_closed(folder: Path) -> None:
    assert [path.name for path in list_files(source(), folder)] == ["1.png", "3.png"]
    assert [path.name for path in list_files(source(split="test"), folder)] == ["2.png"]
    assert len(list_files(source(labels=None, split=None), folder)) == 3


def test_a_file_matches_once_however_many_patterns_name_it(folder: Path) -> None:
    assert len(list_files(source(files=["set/a/*.png", "**/1.png"], split="train"), folder)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "val"}, "has no split val; it has test, train"),
        ({"labels": "set/none.csv"}, "cannot be read"),
        ({"labels": "bad.csv"}, "has no column split"),
        ({"labels": "short.csv"}, "does not list .*whether it may be trained on is unknown"),
        ({"files": ["set/a/2.png"]}, r"none of the 1 file\(s\) that match is in split train"),
        ({"files": ["*.jpg"]}, "no file matches"),
    ],
)
def test_errors_say_what_is_wrong(folder: Path, change: dict[str, object], message: str) -> None:
    (folder / "bad.csv").write_text("file,part\na,b\n")
    (folder / "short.csv").write_text("file,split\nset/a/1.png,train\n")
    with pytest.raises(TrainingDataError, match=message):
        list_files(source(**change), folder)


def test_labels_and_split_belong_together() -> None:
    with pytest.raises(ValidationError, match="labels and split belong together"):
        source(split=None)


@pytest.mark.skipif(not (DATA / "medical" / "labels.csv").exists(), reason="SR_GEO_DATA is not set and ../shared/data is missing")
@pytest.mark.parametrize(("labels", "files"), [("medical/labels.csv", "medical/c*/*/*"), ("faces/labels.csv", "faces/*/*.jpg")])
def test_no_file_of_a_real_table_is_in_two_splits(labels: str, files: str) -> None:
    found = {split: set(list_files(source(labels=labels, files=[files], split=split), DATA)) for split in ("train", "test")}
    assert found["train"]
    assert found["test"]
    assert not found["train"] & found["test"]
    assert {path.parent.name for path in found["train"]} == {"train"}
