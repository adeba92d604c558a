"""What a run changes as it goes, and how it is kept on disk: numbers only, in safetensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from sr_geo.errors import TrainingError
from sr_geo.train.losses import Objective
from sr_geo.train.nets import Generator

Averages = dict[str, Tensor]


@dataclass(slots=True)
class State:
    """A run at some step."""

    net: Generator
    average: Averages
    """Exponential moving average of the weights: what is validated and exported."""
    optimisers: tuple[Optimizer, ...]
    objective: Objective
    discriminator: nn.Module | None = None
    discriminator_optimiser: Optimizer | None = None
    step: int = 0
    seconds: float = 0.0

    def follow(self, decay: float) -> None:
        """Let the average follow the weights; quicker in the first steps, when it still holds the initial ones."""
        decay = min(decay, (1.0 + self.step) / (10.0 + self.step))
        weights = self.net.state_dict()
        with torch.no_grad():
            torch._foreach_lerp_([self.average[name] for name in weights], list(weights.values()), 1.0 - decay)  # one call and not hundreds

    @torch.no_grad()
    def averaged(self, lr: Tensor, sigma: Tensor) -> Tensor:
        """What the averaged weights make of a batch."""
        result: Tensor = functional_call(self.net, self.average, (lr, sigma))
        return result

    @property
    def everything(self) -> tuple[Optimizer, ...]:
        """All optimisers, in the order in which they are kept."""
        return (*self.optimisers, self.discriminator_optimiser) if self.discriminator_optimiser is not None else self.optimisers

    def save(self, run: Path) -> None:
        """Write the state, ``weights`` (the average) and ``discriminator`` as ``….safetensors``, each whole or not at all.

        Raises:
            TrainingError: there is no room, or the folder is gone.
        """
        tensors = {f"net/{name}": value for name, value in self.net.state_dict().items()}
        tensors |= {f"average/{name}": value for name, value in self.average.items()}
        tensors |= {f"objective/{name}": value for name, value in self.objective.run_state().items()}
        for which, optimiser in enumerate(self.everything):
            for index, values in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser/{which}/{index}/{name}": value for name, value in values.items()}
        files: dict[str, Mapping[str, Tensor]] = {"weights": self.average}
        if self.discriminator is not None:
            files["discriminator"] = self.discriminator.state_dict()
            tensors |= {f"discriminator/{name}": value for name, value in files["discriminator"].items()}
        files["state"] = tensors  # last: a run that has it has the others
        header = {"step": str(self.step), "seconds": f"{self.seconds:.3f}"}
        for name, content in files.items():
            plain = {key: value.detach().cpu().contiguous() for key, value in content.items()}
            try:
                save_file(plain, run / f"{name}.tmp", metadata=header)
                (run / f"{name}.tmp").replace(run / f"{name}.safetensors")
            except (OSError, SafetensorError) as error:
                reason = " ".join(str(error).split())
                raise TrainingError(f"{run}: the state cannot be written ({reason}); make room, then --resume") from error

    def restore(self, run: Path) -> None:
        """Take over what `save` wrote.

        Raises:
            TrainingError: it belongs to another recipe, or is damaged.
        """
        path = run / "state.safetensors"
        try:
            with safe_open(path, "pt") as file:
                header = file.metadata()
            tensors = load_file(path)
        except SafetensorError as error:
            raise TrainingError(f"{path}: damaged ({error}); start another run from its weights (init: {run}, --run DIR)") from error

        def part(prefix: str) -> dict[str, Tensor]:
            return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

        try:
            self.net.load_state_dict(part("net/"))
            for name, value in part("average/").items():
                self.average[name].copy_(value)
            if self.discriminator is not None:
                self.discriminator.load_state_dict(part("discriminator/"))
        except (RuntimeError, KeyError) as error:
            raise TrainingError(f"{path}: belongs to another network; resume with the recipe of the run, or name another folder") from error
        self.objective.load_run_state(part("objective/"))
        for which, optimiser in enumerate(self.everything):
            content = optimiser.state_dict()
            kept: dict[int, dict[str, Tensor]] = {}
            for key, value in part(f"optimiser/{which}/").items():
                index, name = key.split("/")
                kept.setdefault(int(index), {})[name] = value
            content["state"] = kept
            optimiser.load_state_dict(content)
        self.step, self.seconds = int(header["step"]), float(header["seconds"])
