"""Fixtures for every part."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# `make test` runs these in an environment of their own.
collect_ignore = [] if find_spec("torch") else ["train"]


def pytest_report_header() -> str | None:
    return "tests/train: left out, PyTorch is not installed here" if collect_ignore else None


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of test imagery, which is not part of the repository."""
    named = os.environ.get("SR_GEO_DATA")
    root = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no test imagery: {root} is not a folder; set SR_GEO_DATA")
    return root
