"""Put the figures of the tables into the cards of all shipped models, and leave everything else as it is.

    python training/renew_cards.py      after benchmark_satellite.py or benchmark_pictures.py has measured shipped models again

Nothing is replaced before all files are made, nor where an int8 twin loses more than ship.py allows.
"""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from benchmark_pictures import INT8, METHODS, fingerprint
from result_table import read_rows
from ship import ROOT, WEIGHTS, check_losses, of_pictures, of_satellites

from sr_geo.models.card import Card, Quality
from sr_geo.models.chart import TEST_SET
from sr_geo.models.session import open_model
from sr_geo.train.export import HELD_OUT, sha256_of, write

KEPT = {TEST_SET, HELD_OUT}
"""Test sets whose figures stand in no table."""


def measured(card: Card, path: Path) -> list[Quality]:
    """The figures of a shipped model in the tables."""
    results = ROOT / "training" / "results"
    if card.domain == "satellite":
        return of_satellites(read_rows(results / f"{card.name}.csv"))
    method = METHODS[card.leaning] + (INT8 if card.precision == "int8" else "")
    return of_pictures(read_rows(results / "pictures.csv"), card.domain, method, fingerprint(path))


def main() -> None:
    """Make all files anew, then put them in place."""
    index, told = {}, {}
    with TemporaryDirectory(dir=WEIGHTS.parent) as folder:
        for name in json.loads((WEIGHTS / "index.json").read_text(encoding="utf-8")):
            path, renewed = WEIGHTS / f"{name}.onnx", Path(folder) / f"{name}.onnx"
            card = open_model(path, device="cpu", threads=1).card
            kept = [figure for figure in card.quality if figure.test_set in KEPT]
            told[name] = measured(card, path)
            write(onnx.load(path), card.model_copy(update={"quality": (*told[name], *kept)}), renewed)
            index[name] = sha256_of(renewed)
        for name, figures in told.items():
            if name.endswith("-int8"):
                check_losses(name, told[name.removesuffix("-int8")], figures)
        for name in index:
            shutil.move(Path(folder) / f"{name}.onnx", WEIGHTS / f"{name}.onnx")
    (WEIGHTS / "index.json").write_text(json.dumps(dict(sorted(index.items())), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
