"""`sr-geo models …`."""

from dataclasses import asdict
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import click
from rich.table import Table

from sr_geo.cli.terminal import ERR, OUT, json_line, one_line, print_table
from sr_geo.errors import ModelError


@click.group(
    epilog="\b\nExamples:\n  sr-geo models list\n  sr-geo models info satellite-rgbn-x4\n"
    "  sr-geo models install runs/my-region-x4/my-region-x4.onnx"
)
def models() -> None:
    """Shipped models and your own: data, quality, limits."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def list_(*, as_json: bool) -> None:
    """Name, bands, size and purpose of every model.

    Below them: larger ones, with the command that makes each.
    One that cannot be used says why; the exit code is then 1 if it is a shipped one.
    """
    from sr_geo.models.catalog import entries, hidden_models, load_model, own_entries
    from sr_geo.models.heavier import heavier

    rows: list[dict[str, object]] = []
    table = Table(box=None, header_style="bold")
    broken = False
    for title in ("model", "bands", "parameters", "file", "from", "what for"):
        table.add_column(title, no_wrap=title == "model", overflow="fold")
    for name, entry in {**entries(), **own_entries()}.items():
        whose = "yours" if entry.own else "shipped"
        size = f"{entry.path.stat().st_size / 1e6:.1f} MB" if entry.path.exists() else "missing"
        common = {"name": name, "path": str(entry.path), "from": whose}
        try:
            card = load_model(name, device="cpu", threads=1).card
        except ModelError as error:
            broken |= not entry.own
            table.add_row(name, "", "", size, whose, f"cannot be used: {one_line(error)}")
            rows.append({**common, "purpose": "", "domain": None, "bands": [], "parameters": None, "limits": "", "fault": one_line(error)})
        else:
            table.add_row(name, ", ".join(card.bands), f"{card.parameters / 1e6:.2f} M", size, whose, card.title)
            known = {"purpose": card.title, "domain": card.domain, "bands": card.bands, "parameters": card.parameters}
            rows.append({**common, **known, "limits": card.limits, "fault": ""})
    if as_json:
        json_line({"models": rows, "heavier": [asdict(one) for one in heavier()]})
    else:
        print_table(table)
        OUT.print("\nLarger ones, each made by a command (with the extra `train`):")
        for one in heavier():
            OUT.print(f"  {one.name}: {one.title}; {one.parameters / 1e6:.1f} M parameters", soft_wrap=True)
            OUT.print(f"      from the {one.source} (sha256 {one.sha256[:16]}…, {one.licence})", soft_wrap=True)
            OUT.print(f"      {one.command}", soft_wrap=True)
    for path in hidden_models():
        ERR.print(f"warning: {path}: has the name of a shipped model and is not used; rename it")
    if broken and not as_json:
        click.get_current_context().exit(1)


@models.command(epilog="\b\nExamples:\n  sr-geo models info satellite-rgbn-x4\n  sr-geo models info my-region.onnx")
@click.argument("model", metavar="NAME|FILE")
def info(model: str) -> None:
    """The card: data, licences, measured quality, limits."""
    from sr_geo.models.catalog import load_model

    upscaler = load_model(model, device="cpu", threads=1)
    card = upscaler.card
    OUT.print(f"{card.name}: {card.title}", style="bold")
    blur = "takes none" if card.sigma is None else f"{card.sigma[0]} to {card.sigma[1]} output pixels"
    for label, text in (
        ("sha256", upscaler.sha256),
        ("bands", ", ".join(card.bands)),
        ("scale", f"×{card.scale}"),
        ("network", f"{card.family}, {card.parameters} parameters, {card.precision}"),
        ("halo", f"{card.halo} input pixels ({'all that it sees' if card.exact_halo else 'it sees further: not for rasters'})"),
        ("blur", blur),
        ("leaning", card.caution.removeprefix("leans ") or "to fidelity"),
        ("licence", card.licence),
        ("limits", card.limits),
        ("trained by", f"commit {card.commit or 'not known'}; `sr-geo models export-card` has the recipe"),
    ):
        OUT.print(f"  {label:<10} {text}")
    for leg in card.legs:
        OUT.print(f"  trained    {leg.steps} steps in {leg.minutes:g} minutes, from {leg.start or 'fresh weights'}")
    for data in card.training:
        OUT.print(f"  trained on {data.share:.0%} {data.name} ({data.licence})")
    for test_set, figures in groupby(card.quality, attrgetter("test_set")):
        OUT.print(f"  measured on {test_set}")
        for condition, ours in groupby(figures, attrgetter("condition")):
            OUT.print(f"    {condition}: {'; '.join(f'{figure.metric} {figure.value:g}' for figure in ours)}")


@models.command("verify")
@click.argument("name", required=False)
def verify_(name: str | None) -> None:
    """Check that models do what their cards say: all, or NAME.

    The file must hash to what it should, and the network must gain over bicubic interpolation what its card says, on a test
    chart that is computed. It takes about half a second a model. NAME may be one of your own models, too, or a file.
    """
    from sr_geo.models.catalog import entries, find_entry, load_model
    from sr_geo.models.chart import check

    wrong: list[str] = []
    for model in [name] if name else list(entries()):
        try:
            upscaler = load_model(model, device="cpu", threads=1)
            checked = check(upscaler)
        except ModelError as error:
            if name:
                raise
            wrong.append(model)
            ERR.print(f"error: {one_line(error)}")
            continue
        entry = find_entry(model)
        known = "no record to check it by" if entry is None or entry.sha256 is None else "is right"
        against = "its card has no such figure" if checked.stated is None else f"its card says {checked.stated:+.3f}"
        OUT.print(f"{model}: sha256 {upscaler.sha256[:16]}… {known}; {checked.gain:+.3f} dB over bicubic on the test chart, {against}")
    if wrong:
        raise ModelError(f"{len(wrong)} of {len(entries())} models are not as they should be: {', '.join(wrong)}")


@models.command("install", epilog="\b\nExample:\n  sr-geo models install runs/my-region-x4/my-region-x4.onnx")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.onnx")
@click.option("--overwrite", is_flag=True, help="Replace another model of that name.")
def install_(file: Path, *, overwrite: bool) -> None:
    """Put a model among your own, to be used by its name.

    The folder is that of the environment variable SR_GEO_MODELS, or one that your system keeps for such data. Its sha256 is
    recorded there and checked whenever the model is opened.
    """
    from sr_geo.models.catalog import install_model

    entry = install_model(file, overwrite=overwrite)
    OUT.print(f"{entry.path}: use it by --model {entry.name}")


@models.command()
@click.argument("model", metavar="NAME|FILE")
def export_card(model: str) -> None:
    """The card as JSON, on standard output."""
    from sr_geo.models.catalog import load_model

    click.echo(load_model(model, device="cpu", threads=1).card.model_dump_json(indent=2))
