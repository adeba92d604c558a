"""Models of the user's own are found by name, checked, and never stand in for a shipped one."""

import errno
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sr_geo.errors import ModelError
from sr_geo.models import own
from sr_geo.models.catalog import entries, find_entry, for_bands, hidden_models, install_model, load_model, own_entries
from sr_geo.models.own import own_folder
from sr_geo.raster.lock import take_lock
from tests.onnx_models import card, write_model


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of own models, which is not there yet."""
    monkeypatch.setenv("SR_GEO_MODELS", str(tmp_path / "mine"))
    return tmp_path / "mine"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "anything.onnx", card(name="my-region-x4"))


def test_what_is_installed_is_found_by_the_name_on_its_card(mine: Path, model: Path) -> None:
    assert own_entries() == {}
    entry = install_model(model)
    assert entry.path == mine / "my-region-x4.onnx"
    assert own_entries() == {"my-region-x4": entry}
    assert find_entry("my-region-x4") == entry
    assert entry.own
    assert entry.path.read_bytes() == model.read_bytes()
    assert load_model("my-region-x4", threads=1).sha256 == entry.sha256
    assert {path.name for path in mine.iterdir()} == {"my-region-x4.onnx", "index.json", "index.lock"}
    assert "my-region-x4" not in entries()


def test_a_changed_file_is_refused(mine: Path, model: Path) -> None:
    del mine
    path = install_model(model).path
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=r"sha256 is .* if it is your own"):
        load_model("my-region-x4")


def test_a_file_put_there_by_hand_is_found(mine: Path) -> None:
    mine.mkdir()
    write_model(mine / "from-a-friend.onnx", card(name="my-region-x4"))
    assert own_entries()["from-a-friend"].sha256 is None
    assert load_model("from-a-friend", threads=1).card.name == "my-region-x4"


def test_the_same_file_may_be_installed_again_and_another_one_may_not(mine: Path, model: Path, tmp_path: Path) -> None:
    first = install_model(model)
    write_model(model, card(name="my-region-x4", title="went on"))
    second = install_model(model)
    assert second.sha256 != first.sha256
    other = write_model(tmp_path / "other.onnx", card(name="my-region-x4", title="of somebody else"))
    with pytest.raises(ModelError, match=r"another model of that name is there; `sr-geo models install .* --overwrite`"):
        install_model(other)
    assert load_model("my-region-x4", threads=1).card.title == "went on"
    install_model(other, overwrite=True)
    assert load_model("my-region-x4", threads=1).card.title == "of somebody else"
    assert list(json.loads((mine / "index.json").read_text(encoding="utf-8"))) == ["my-region-x4"]
    install_model(mine / "my-region-x4.onnx")


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_stopped_install_leaves_a_model_that_works(
    mine: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    del mine
    install_model(model)
    other = write_model(tmp_path / "other.onnx", card(name="my-region-x4", title="another"))
    replace, calls = Path.replace, []

    def stopped(path: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == step:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            install_model(other, overwrite=True)
    assert load_model("my-region-x4", threads=1).card.title in {"A filter", "another"}
    entry = install_model(other, overwrite=True)
    assert own_entries() == {"my-region-x4": entry}
    assert load_model("my-region-x4", threads=1).card.title == "another"


def test_what_a_killed_install_left_is_no_model_and_goes_with_the_next(mine: Path, model: Path) -> None:
    mine.mkdir()
    (mine / ".my-region-x4.4711.onnx").write_bytes(b"half a mod")
    assert own_entries() == {}
    install_model(model)
    assert not list(mine.glob(".*"))


def test_a_full_disk_leaves_the_model_that_was_there(mine: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        del source, target
        raise OSError(errno.ENOSPC, "No space left on device")

    entry = install_model(model)
    other = write_model(tmp_path / "other.onnx", card(name="my-region-x4", title="another"))
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(ModelError, match=r"onnx: cannot be written \(the disk is full.*; set SR_GEO_MODELS to another folder"):
        install_model(other, overwrite=True)
    assert own_entries() == {"my-region-x4": entry}
    assert not list(mine.glob(".*"))


def test_installs_at_the_same_time_lose_nothing(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = own._read_index

    def slowly(folder: Path) -> dict[str, dict[str, str]]:
        found = read(folder)
        time.sleep(0.05)
        return found

    names = [f"region-{number}-x4" for number in range(4)]
    models = [write_model(tmp_path / f"{name}.onnx", card(name=name)) for name in names]
    monkeypatch.setattr(own, "_read_index", slowly)
    with ThreadPoolExecutor(len(models)) as pool:
        made = list(pool.map(install_model, models))
    assert own_entries() == dict(zip(names, made, strict=True))
    assert list(json.loads((mine / "index.json").read_text(encoding="utf-8"))) == names


def test_an_install_does_not_wait_for_ever(mine: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_PATIENCE", 0.1)
    mine.mkdir()
    with take_lock(mine / "index.lock"), pytest.raises(ModelError, match="another install is still running; run again"):
        install_model(model)
    install_model(model)


def test_what_earlier_versions_installed_is_checked_as_before(mine: Path, model: Path) -> None:
    sha256 = load_model(model, threads=1).sha256
    mine.mkdir()
    (mine / "my-region-x4.onnx").write_bytes(model.read_bytes())
    (mine / "index.json").write_text(json.dumps({"my-region-x4": {"sha256": sha256, "from": str(model)}}), encoding="utf-8")
    assert own_entries()["my-region-x4"].sha256 == sha256
    write_model(model, card(name="my-region-x4", title="went on"))
    install_model(model)
    assert load_model("my-region-x4", threads=1).card.title == "went on"


def test_a_shipped_name_cannot_be_taken(mine: Path, tmp_path: Path) -> None:
    name = next(iter(entries()))
    with pytest.raises(ModelError, match=f"{name} is the name of a shipped model"):
        install_model(write_model(tmp_path / "x.onnx", card(name=name)))
    mine.mkdir()
    write_model(mine / f"{name}.onnx", card(name=name, title="an impostor"))
    assert own_entries() == {}
    assert hidden_models() == [mine / f"{name}.onnx"]
    assert load_model(name, threads=1).card.title != "an impostor"


def test_the_default_model_is_never_ones_own(mine: Path, tmp_path: Path) -> None:
    del mine
    before = for_bands({"blue", "green", "red", "nir", "swir1"})
    install_model(write_model(tmp_path / "x.onnx", card(name="satellite-all-x4", bands=("blue", "green", "red", "nir", "swir1"))))
    assert for_bands({"blue", "green", "red", "nir", "swir1"}) == before


def test_a_damaged_index_says_so_and_leaves_shipped_models_alone(mine: Path) -> None:
    mine.mkdir()
    (mine / "index.json").write_text("[", encoding="utf-8")
    assert load_model(next(iter(entries())), threads=1)
    with pytest.raises(ModelError, match="not an index of models; delete it"):
        load_model("my-region-x4")


def test_a_folder_that_cannot_be_written(mine: Path, model: Path) -> None:
    mine.write_text("a file", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be written"):
        install_model(model)


def test_the_usual_folder_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SR_GEO_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert own_folder().parts[-2:] == ("sr-geo", "models")
