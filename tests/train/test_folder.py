"""What the folder of a run says of the code that trained it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sr_geo.train.folder import commit_of

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def repository(folder: Path) -> str:
    """A repository with one package in it; its commit."""
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("a = 1\n", encoding="utf-8")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "package"), (*who, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@needs_git
def test_the_commit_says_whether_the_code_was_changed_since(tmp_path: Path) -> None:
    head = repository(tmp_path)
    assert commit_of(tmp_path / "package") == head
    (tmp_path / "notes.txt").write_text("not the code", encoding="utf-8")
    assert commit_of(tmp_path / "package") == head
    (tmp_path / "package" / "__init__.py").write_text("a = 2\n", encoding="utf-8")
    assert commit_of(tmp_path / "package") == f"{head}, changed since"


@needs_git
def test_an_environment_in_somebodys_repository_has_no_commit_of_ours(tmp_path: Path) -> None:
    repository(tmp_path)
    installed = tmp_path / "venv" / "sr_geo"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("", encoding="utf-8")
    assert commit_of(installed) == ""


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert commit_of(tmp_path) == ""
