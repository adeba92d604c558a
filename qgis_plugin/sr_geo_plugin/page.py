# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Small web pages with tables, for results that Processing shows in its results viewer."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

_STYLE = (
    "body{font:14px/1.5 sans-serif;margin:2em;color:#222}h1{font-size:1.4em}h2{font-size:1.1em;margin-top:1.6em}"
    "table{border-collapse:collapse}td,th{padding:.25em .8em;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}"
)


def write_page(path: str | Path, title: str, parts: Sequence[tuple[str, Sequence[Sequence[str]]]], *, foot: str = "") -> None:
    """Write a page.

    Args:
        path: to write.
        title: of the page.
        parts: headings with their tables; the first row of each is its header.
        foot: a last paragraph.

    Raises:
        OSError: it cannot be written.
    """
    body = [f"<h1>{html.escape(title)}</h1>"]
    for heading, rows in parts:
        body.append(f"<h2>{html.escape(heading)}</h2><table>")
        for number, row in enumerate(rows):
            cells = "".join(_cell(text, header=number == 0) for text in row)
            body.append(f"<tr>{cells}</tr>")
        body.append("</table>")
    body.append(f"<p>{html.escape(foot)}</p>" if foot else "")
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    Path(path).write_text(f"<!DOCTYPE html><html><head>{head}</head><body>{''.join(body)}</body></html>", encoding="utf-8")


def _cell(text: str, *, header: bool) -> str:
    if header:
        return f"<th>{html.escape(text)}</th>"
    numeric = text.lstrip("+-−").replace(".", "", 1).isdigit()
    return f'<td class="n">{html.escape(text)}</td>' if numeric else f"<td>{html.escape(text)}</td>"
