"""Base of every part of a recipe."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, and strict about keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
