import json

import pytest
from pydantic import ValidationError

from sr_geo.models.card import Card, Quality, TrainingData
from tests.onnx_models import card


def test_a_card_survives_json() -> None:
    full = card(
        training=(TrainingData(name="A", licence="public domain", share=0.5),),
        quality=(Quality(test_set="B", condition="sigma 1.6", metric="PSNR, dB", value=30.1),),
    )
    assert Card.model_validate_json(full.model_dump_json()) == full
    assert json.loads(full.model_dump_json())["schema_version"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"bands": ()},
        {"bands": ("red", "red")},
        {"sigma": (3.0, 1.0)},
        {"sigma": (-1.0, 1.0)},
        {"scale": 1},
        {"halo": -1},
        {"parameters": 0},
        {"name": "Upper Case"},
        {"name": "../escape"},
        {"domain": "weather"},
        {"schema_version": 2},
        {"unknown": 1},
        {"precision": "fp8"},
        {"training": (("A", "x", 2.0),)},
    ],
)
def test_cards_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        card(**change)


def test_a_card_does_not_change() -> None:
    with pytest.raises(ValidationError):
        card().halo = 3  # type: ignore[misc]
