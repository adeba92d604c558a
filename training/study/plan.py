"""The plan of the study, read and checked, and each run of it as a recipe."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sr_geo.train.recipe import Recipe, load_recipe

HERE = Path(__file__).resolve().parent
BASES = HERE.parent / "recipes" / "base"
LIMITS = "Of a comparison of losses; not for use."


@dataclass(frozen=True, slots=True)
class Run:
    """One training."""

    domain: str
    name: str
    """In the plan: ``start``, ``esrgan`` …"""
    seed: int

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"{self.domain}-{self.name}-{self.seed}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What plan.yaml says; see there."""

    content: dict[str, Any]
    title: str
    """``full`` or ``reduced``."""
    shortened: int | None = None
    """Steps of every run, for a trial."""
    fewer: int | None = None
    """Pairs of every bank, for a trial."""

    @property
    def domains(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.content["domains"])

    def runs(self, domains: tuple[str, ...]) -> list[Run]:
        """All runs in the order in which they are due: seed by seed, and in each, stage by stage."""
        return [Run(domain, name, seed) for seed in self.content["seeds"] for name in self.content["runs"] for domain in domains]

    def parent(self, run: Run) -> Run | None:
        """The run that it starts from."""
        name = self.content["runs"][run.name].get("from")
        return None if name is None else Run(run.domain, name, run.seed)

    def steps(self, run: Run) -> int:
        """Of the run."""
        return self.shortened or int(self.content["runs"][run.name]["steps"])

    def pairs(self, domain: str) -> int:
        """Training pairs of the domain's bank."""
        return self.fewer or int(self.content["domains"][domain]["pairs"])

    def recipe(self, run: Run, runs: Path) -> Recipe:
        """The run as a recipe, which stands on one of training/recipes/base; what it starts from lies in `runs`."""
        entry, domain = self.content["runs"][run.name], self.content["domains"][run.domain]
        losses: dict[str, Any] = {}
        if entry["system"] != "rrdbnet":
            losses = {"adversarial": {"discriminator": self.content["discriminator"]}}
            if "kind" in entry:
                losses["adversarial"]["kind"] = entry["kind"]
        parent = self.parent(run)
        # Stage 3: the same seed for all, so that they differ by their losses and not by their samples.
        drawn = 0 if parent is None else 1 if parent.name == "start" else 2
        content = {
            "name": run.folder,
            "title": f"study, {run.domain}, {run.name}",
            "domain": "medical" if domain["bands"] == ["gray"] else "photo",
            "limits": LIMITS,
            "model": {**self.content["generator"], "bands": domain["bands"], "scale": 4},
            "sources": domain["sources"],
            "validation": domain["sources"],
            "degradation": domain["degradation"],
            "losses": losses,
            "loop": {**self.content["loop"], "iterations": self.steps(run), "seed": 10 * run.seed + drawn},
        }
        if parent is not None:
            content["init"] = str(runs / parent.folder)
        return self._faster(load_recipe(BASES / f"{entry['system']}.yaml", tuple(_settings(content))))

    def _faster(self, recipe: Recipe) -> Recipe:
        """The recipe with its learning rates times ``faster``, where the plan has it."""
        factor = float(self.content.get("faster", 1.0))
        adversarial = recipe.losses.adversarial
        if adversarial is not None:
            adversarial = adversarial.model_copy(update={"learning_rate": adversarial.learning_rate * factor})
        losses = recipe.losses.model_copy(update={"adversarial": adversarial})
        loop = recipe.loop.model_copy(update={"learning_rate": recipe.loop.learning_rate * factor})
        return recipe.model_copy(update={"losses": losses, "loop": loop})


def _settings(content: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """``key.key=value`` for all that is no mapping, as `load_recipe` takes it: what a base says beside it stays."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{above}{key}.")
        else:
            yield f"{above}{key}={yaml.safe_dump(value, default_flow_style=True, allow_unicode=True)}"


def read_plan(*, reduced: bool = False, steps: int | None = None, pairs: int | None = None) -> Plan:
    """plan.yaml; `reduced` for processor cores, `steps` shortens every run and `pairs` every bank, for a trial."""
    content = yaml.safe_load((HERE / "plan.yaml").read_text(encoding="utf-8"))
    less = content.pop("reduced")
    if reduced:
        for name, count in less.pop("steps").items():
            content["runs"][name]["steps"] = count
        content |= less
    return Plan(content, "reduced" if reduced else "full", steps, pairs)
