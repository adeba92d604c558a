"""Models of the user's own are found by name, checked, and never stand in for a shipped one."""

import json
from pathlib import Path

import pytest

from sr_geo.errors import ModelError
from sr_geo.models.catalog import entries, find_entry, for_bands, hidden_models, install_model, load_model, own_entries, verify
from sr_geo.models.own import own_folder
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
    assert {path.name for path in mine.iterdir()} == {"my-region-x4.onnx", "index.json"}
    assert "my-region-x4" not in entries()


def test_a_changed_file_is_refused(mine: Path, model: Path) -> None:
    del mine
    path = install_model(model).path
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=r"sha256 is .* if it is your own"):
        verify("my-region-x4")


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
