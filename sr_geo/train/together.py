"""Several processes that train one network: launched by Fabric, they share gradients, a clock and every failure.

Each process computes its own loss and gradients, and these are averaged before the step: data-parallel training, as
PyTorch's wrapper does it, but in two lines that can be seen. The wrapper would start to exchange gradients in the
middle of `backward`, and a process that runs out of memory there would leave the others waiting for the rest.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn

from sr_geo.errors import OptionError, SrGeoError, TrainingError


def is_first() -> bool:
    """Whether this process is the one that reports, writes and exports; true where there is only one."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def choose_device(device: str, devices: int) -> str:
    """`cpu` or `cuda`; `auto` takes a GPU where PyTorch has one.

    Raises:
        OptionError: there is no such device, or there are not as many.
    """
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cuda" and not found:
        raise OptionError("--device cuda: PyTorch finds no GPU here; install PyTorch for CUDA (docs/install.md), or use --device cpu")
    if device == "cpu" or not found:
        return "cpu"
    if devices > found:
        raise OptionError(f"--devices {devices}: PyTorch finds {found} GPU(s) here; give at most {found}")
    return "cuda"


@contextmanager
def one_end(fabric: Fabric) -> Iterator[None]:
    """What is done inside fails in all processes if it fails in one, with the words of the one. All must come by here.

    Raises:
        SrGeoError: of this process, or a TrainingError with the words of another.
    """
    own: SrGeoError | None = None
    try:
        with careful():
            yield
    except SrGeoError as error:
        own = error
    told = _tell(fabric, own)
    if own is not None:
        raise own
    if told:
        raise TrainingError(f"another process: {told}")


def _tell(fabric: Fabric, own: SrGeoError | None) -> str:
    """Tell the other processes of a failure of this one; the words of the first that failed, empty where none did."""
    if fabric.world_size == 1:
        return ""
    try:
        with _connected():
            failed = torch.tensor([float(own is not None)], device=fabric.device)
            distributed.all_reduce(failed)
            if not failed.item():
                return ""
            words = [""] * fabric.world_size
            distributed.all_gather_object(words, "" if own is None else str(own))
            return next(told for told in words if told)
    except TrainingError:
        if own is not None:
            return str(own)  # its own failure explains more than the end of another
        raise


def average_gradients(fabric: Fabric, net: nn.Module, *others: Tensor) -> None:
    """The mean over all processes of the gradients of a network, and of `others`, put into each of them in place."""
    if fabric.world_size == 1:
        return
    mine = [*(value.grad for value in net.parameters() if value.grad is not None), *others]
    flat = torch.cat([tensor.reshape(-1) for tensor in mine])
    with _connected():
        distributed.all_reduce(flat)
    flat /= fabric.world_size
    for tensor, mean in zip(mine, torch.split(flat, [tensor.numel() for tensor in mine]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def latest(fabric: Fabric, seconds: float) -> float:
    """The largest of the clocks of all processes: rates and the end follow one clock."""
    if fabric.world_size == 1:
        return seconds
    clock = torch.tensor([seconds], dtype=torch.float64, device=fabric.device)
    with _connected():
        distributed.all_reduce(clock, distributed.ReduceOp.MAX)
    return float(clock.item())


def end_others(fabric: Fabric) -> None:
    """Stop the processes that this one has launched: where it fails alone they would wait for it."""
    for process in getattr(fabric.strategy.launcher, "procs", ()):
        if process.poll() is None:
            # A process inside an exchange on a GPU does not hear polite signals.
            process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))


@contextmanager
def _connected() -> Iterator[None]:
    """The end of another process said in one line.

    Raises:
        TrainingError: it came in the middle of an exchange.
    """
    try:
        yield
    except SrGeoError:
        raise
    except RuntimeError as error:
        raise TrainingError(
            "another process ended without a word, perhaps for lack of memory; the last good state is kept: lower loop.batch, then --resume"
        ) from error


@contextmanager
def careful() -> Iterator[None]:
    """Lack of memory said in one line, here or in a process that makes batches.

    Raises:
        TrainingError: there was.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError("out of GPU memory: lower loop.batch or loop.patch (--set loop.batch=4), then --resume") from error
    except (MemoryError, RuntimeError) as error:
        if "DataLoader worker" in str(error):  # PyTorch's words where one of them is no more
            raise TrainingError(
                "a process that makes batches was ended, perhaps for lack of memory; the last good state is kept: "
                "lower loop.workers (--set loop.workers=1), then --resume"
            ) from error
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):  # PyTorch's words on a CPU
            raise
        raise TrainingError("out of memory: lower loop.batch or loop.patch (--set loop.batch=2), then --resume") from error
