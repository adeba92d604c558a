"""`sr-geo export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sr_geo.cli.terminal import OUT
from sr_geo.cli.train import need_training

if TYPE_CHECKING:
    from sr_geo.models.card import Precision


@click.command(
    epilog="\b\nExamples:\n"
    "  sr-geo export runs/my-region my-region.onnx\n"
    "  sr-geo export runs/my-region small.onnx --precision fp16\n"
    "  sr-geo export runs/photo-x4 fast.onnx --precision int8 --data imagery/\n"
    "  sr-geo export realsr-df2k realsr.onnx"
)
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.argument("output", type=click.Path(path_type=Path), metavar="OUT.onnx")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="Of the numbers inside: fp16 halves the file; int8 is faster on CPUs and needs --data.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    envvar="SR_GEO_DATA",
    show_envvar=True,
    help="For int8: root of the imagery of the run; for a network of others, a folder of pictures.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUT.onnx if it exists.")
def export(checkpoint: str, output: Path, *, precision: "Precision", data: Path | None, overwrite: bool) -> None:
    """Write a run or a published ESRGAN as ONNX with a card.

    CHECKPOINT is the folder of a training run; a .pth, .safetensors or ncnn file with an ESRGAN; or the name of a
    packaged one: realsr-df2k, realesrgan-x4plus, realesrgan-x4plus-anime. What is written is checked against PyTorch,
    and int8 against what it costs; a model that is not exact enough is not written.
    """
    need_training()
    from sr_geo.raster.target import check_target
    from sr_geo.train.checkpoint import export_checkpoint

    check_target(output, overwrite=overwrite)
    done = export_checkpoint(checkpoint, output, precision=precision, data=data)
    lost = "" if done.psnr_lost is None else f", costs {done.psnr_lost:.3f} dB of PSNR on held-out imagery"
    OUT.print(f"{output}: differs from PyTorch by at most {done.difference:.1e}{lost}")
