"""What every generator is: a network from a low-resolution picture to one finer by a whole factor."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


class Generator(nn.Module, ABC):
    """Base of the networks that enlarge.

    Args:
        bands: number of bands in and out.
        scale: integer upscaling factor.
    """

    takes_sigma: bool = False
    """Whether `forward` needs the blur of the sensor; where not, it ignores what it is given."""
    commutes: bool = False
    """Whether ``net(a·x + b) = a·net(x) + b`` for any gain ``a > 0`` and any offset ``b`` per band, away from the border."""

    band_inputs: tuple[str, ...] = ()
    """Names of parameters with a column, of the second axis, for each band."""
    band_outputs: tuple[str, ...] = ()
    """Names of parameters with rows, of the first axis, for each band; those of a band together."""

    def __init__(self, bands: int, *, scale: int) -> None:
        super().__init__()
        if bands < 1:
            raise ValueError(f"bands={bands}: a network needs at least one")
        self.bands = bands
        self.scale = scale

    def deepened(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of a network of this kind with fewer blocks as weights of this one, which then does exactly the same.

        Where a kind has no blocks that can do nothing, or there is none to add, they come back as they are.
        """
        return weights

    @property
    @abstractmethod
    def halo(self) -> int:
        """Input pixels around a window that can influence its output: the whole receptive field, and no pixel more."""

    @abstractmethod
    def forward(self, lr: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Upscale.

        Args:
            lr: ``(N, bands, h, w)``, float. Outside of it the network sees zeros; whoever minds gives `halo` pixels more.
            sigma: ``(N, bands)``, standard deviation of the sensor's Gaussian blur in output pixels. May be left out
                unless `takes_sigma`.

        Returns:
            ``(N, bands, scale·h, scale·w)`` in the unit of `lr`.
        """
