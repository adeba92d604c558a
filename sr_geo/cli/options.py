"""Options with a grammar of their own, and help in sections."""

from typing import Any, Literal, cast

import click


class BandsType(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """``r=3,g=2,b=1,nir=4`` as a mapping."""

    name = "ROLE=NUMBER,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, int]:  # noqa: ANN401 - as in click
        """Parse; click reports what fails."""
        if isinstance(value, dict):
            return value
        bands: dict[str, int] = {}
        for item in value.split(","):
            role, equals, number = item.partition("=")
            role = role.strip().lower()
            if not equals or not role or not number.strip().isdecimal() or int(number) < 1:
                self.fail(f"{item!r}: expected role=number with numbers from 1, for instance r=3,g=2,b=1,nir=4", param, ctx)
            if role in bands:
                self.fail(f"{role} is given twice; name each role once", param, ctx)
            bands[role] = int(number)
        return bands


class PsfType(click.ParamType):  # type: ignore[type-arg]  # as above
    """``auto`` or a positive number."""

    name = "auto|SIGMA"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Literal["auto"] | float:  # noqa: ANN401
        """Parse; click reports what fails."""
        if value == "auto" or isinstance(value, float):
            return cast("Literal['auto'] | float", value)
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r}: expected auto or a number of output pixels, usually 1 to 3.2", param, ctx)


class Sectioned(click.Command):
    """A command whose help lists the options in sections; `sections` says which option opens which."""

    sections: dict[str, str] = {}  # noqa: RUF012 - set once, by a subclass

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each section under its title."""
        rows: dict[str, list[tuple[str, str]]] = {}
        title = "Options"
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            title = self.sections.get(parameter.name or "", title)
            if record is not None and record[1]:  # newer releases of click list the arguments too
                rows.setdefault(title, []).append(record)
        for heading, records in rows.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=24)
