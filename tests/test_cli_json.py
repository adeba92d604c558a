"""What programs read: `--json` of the commands that list things."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sr_geo import doctor
from sr_geo.cli import cli
from sr_geo.doctor import Check
from tests.onnx_models import card, write_model


def test_models_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SR_GEO_MODELS", str(tmp_path))
    write_model(tmp_path / "tiny.onnx", card())
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    done = CliRunner().invoke(cli, ["models", "list", "--json"])
    assert done.exit_code == 0
    rows = {row["name"]: row for row in json.loads(done.stdout)["models"]}
    assert rows["satellite-rgbn-x4"]["bands"] == ["blue", "green", "red", "nir"]
    shipped = rows["satellite-rgbn-x4"]
    assert (shipped["from"], shipped["domain"], shipped["fault"]) == ("shipped", "satellite", "")
    assert rows["tiny"]["from"] == "yours"
    assert rows["tiny"]["path"] == str(tmp_path / "tiny.onnx")
    assert rows["broken"]["fault"]
    keys = ("name", "path", "from", "purpose", "domain", "bands", "parameters", "limits", "fault")
    assert {tuple(row) for row in rows.values()} == {keys}


def test_a_diagnosis_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("python", "ok", "3.12"), Check("gdal", "missing", "not installed", "pip install it")]
    monkeypatch.setattr(doctor, "diagnose", lambda: checks)
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    assert done.exit_code == 1, "as without --json, something is missing"
    found = json.loads(done.stdout)["checks"]
    assert found[1] == {"name": "gdal", "state": "missing", "detail": "not installed", "remedy": "pip install it"}
