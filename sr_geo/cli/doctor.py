"""`sr-geo doctor`."""

from dataclasses import asdict

import click

from sr_geo.cli.terminal import OUT, json_line

_COLOURS = {"ok": "green", "warn": "yellow", "missing": "red"}


@click.command(
    epilog="\b\nStates:\n"
    "  ok       works\n"
    "  warn     rasters can be enhanced; something optional is not there or in the way\n"
    "  missing  rasters cannot be enhanced; the exit code is 1"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def doctor(*, as_json: bool) -> None:
    """What works on this machine, what is missing, and its remedy.

    Opens the models, changes nothing and fetches nothing.
    """
    from sr_geo.doctor import diagnose

    checks = diagnose()
    if as_json:
        json_line({"checks": [asdict(check) for check in checks]})
    width = max(len(check.name) for check in checks)
    for check in () if as_json else checks:
        OUT.print(f"{check.state:<8}", style=_COLOURS[check.state], end=" ")
        OUT.print(f"{check.name:<{width}} {check.detail}")
        for remedy in check.remedy.splitlines():
            OUT.print(f"{'':<{9 + width}} → {remedy}")
    if any(check.state == "missing" for check in checks):
        click.get_current_context().exit(1)
