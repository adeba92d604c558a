"""Any convolutional network of timm as a perceptual network; a tap is the name of one of its modules."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import activation as torch_activations

from sr_geo.errors import MissingPartError, OptionError
from sr_geo.train.perceptual.backbone import Backbone, Preprocessing


class _Enough(Exception):  # noqa: N818 - ends a forward pass at the deepest tap; no error
    pass


class TimmBackbone(Backbone):
    """A network of timm, cut before its activations.

    A tap's map is the output of the module of that name, or, where an activation made that output (a residual block that
    ends in a ReLU, a batch norm with its activation inside), what went *into* the activation.

    Args:
        architecture: name in timm, with or without the tag of weights: `resnetv2_101.a1h_in1k`.

    Raises:
        MissingPartError: timm is not installed.
        OptionError: timm knows no such network.
    """

    def __init__(self, architecture: str) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise MissingPartError(f'network timm:{architecture} needs timm; run: python -m pip install "timm>=1.0"') from error
        try:
            self.network: nn.Module = timm.create_model(architecture, pretrained=False)
        except RuntimeError as error:
            raise OptionError(f"timm:{architecture}: {error}; timm.list_models() lists what there is") from error
        self.name = f"timm:{architecture}"
        self.configuration: dict[str, Any] = dict(self.network.pretrained_cfg)  # type: ignore[arg-type]
        self.preprocessing = Preprocessing(tuple(self.configuration["mean"]), tuple(self.configuration["std"]))
        activations = activation_types()
        self._activations = [module for module in self.network.modules() if isinstance(module, activations)]
        for module in self.network.modules():
            if hasattr(module, "inplace"):
                module.inplace = False  # type: ignore[assignment]

    @property
    def taps(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.network.named_modules() if name)

    @property
    def stage_taps(self) -> tuple[str, ...]:
        """The ends of the network's stages at strides 4, 8 and 16."""
        features: Sequence[dict[str, Any]] = self.network.feature_info  # type: ignore[assignment]
        return tuple(str(stage["module"]) for stage in features if stage["reduction"] in {4, 8, 16})

    def extract(self, x: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        return {tap: before for tap, (before, _) in self._run(x, taps).items()}

    def activate(self, tap: str, features: Tensor) -> Tensor:
        # Which activation follows depends on the network's own code, so that only a run could tell.
        raise OptionError(f"{self.name}: taps of timm's networks are taken before the activation only")

    def _run(self, x: Tensor, taps: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
        found: dict[str, tuple[Tensor, Tensor]] = {}
        latest: list[tuple[Tensor, Tensor]] = []  # what the latest activation took and gave

        def note(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            latest[:] = [(given[0], output)]

        def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
            def hook(module: nn.Module, given: Any, output: Tensor) -> None:  # noqa: ANN401 - whatever the module takes
                made_by_activation = bool(latest) and latest[0][1] is output
                found[name] = (latest[0][0] if made_by_activation else output, output)
                if len(found) == len(set(taps)):
                    raise _Enough

            return hook

        hooks = [module.register_forward_hook(note) for module in self._activations]
        hooks += [self.network.get_submodule(tap).register_forward_hook(keep(tap)) for tap in taps]
        try:
            self.network(x)
        except _Enough:
            pass
        finally:
            for hook in hooks:
                hook.remove()
        missing = [tap for tap in taps if tap not in found]
        if missing:
            raise OptionError(f"{self.name}: module(s) {', '.join(missing)} did not run; choose others, e.g. {', '.join(self.stage_taps)}")
        return found


def activation_types() -> tuple[type[nn.Module], ...]:
    """Classes of activations, of PyTorch and of timm, besides the attention that PyTorch files under them."""
    from timm.layers import activations as timm_activations

    found = [
        value
        for module in (torch_activations, timm_activations)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, nn.Module) and value not in {nn.Module, nn.MultiheadAttention}
    ]
    return tuple(found)
