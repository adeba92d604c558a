# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the translations of the plugin whole: `python qgis_plugin/translations.py`.

Reads every ``tr("…")`` of the plugin, brings the .ts files (Qt Linguist) up to date without losing a translation, compiles them with
Qt's ``lrelease`` where it is installed (Debian: qttools5-dev-tools), and says what is left to translate.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

PLUGIN = Path(__file__).resolve().parent / "sr_geo_plugin"
LANGUAGES = {"ru": "ru_RU", "kk": "kk_KZ"}
CONTEXT = "SRGeo"


@dataclass(frozen=True)
class Text:
    """A text for users in the source."""

    words: str
    place: str
    """File and line."""


def texts(plugin: Path = PLUGIN) -> Iterator[Text]:
    """Every text of the plugin, in the order of files and lines.

    Raises:
        ValueError: `tr` is called with something that is no plain string, which no tool could find.
    """
    for path in sorted(plugin.rglob("*.py")):
        if path.name == "translation.py":
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        for node in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
            if isinstance(node.func, ast.Name) and node.func.id == "tr":
                place = f"{path.relative_to(plugin).as_posix()}:{node.lineno}"
                if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant) or not isinstance(node.args[0].value, str):
                    raise ValueError(f"{place}: tr() takes one plain string; fill placeholders with .format() afterwards")
                yield Text(node.args[0].value, place)


def read(path: Path) -> dict[str, str]:
    """Finished translations of a .ts file, by source text."""
    if not path.exists():
        return {}
    found = {}
    for message in ElementTree.parse(path).iter("message"):
        source, translation = message.findtext("source") or "", message.find("translation")
        if translation is not None and translation.get("type") is None and translation.text:
            found[source] = translation.text
    return found


def write(path: Path, language: str, sources: list[str], known: dict[str, str]) -> list[str]:
    """Write a .ts file; texts that nobody uses any more are left out.

    Returns:
        What has no translation yet.
    """
    root = ElementTree.Element("TS", version="2.1", language=language, sourcelanguage="en")
    context = ElementTree.SubElement(root, "context")
    ElementTree.SubElement(context, "name").text = CONTEXT
    for source in sources:
        message = ElementTree.SubElement(context, "message")
        ElementTree.SubElement(message, "source").text = source
        translation = ElementTree.SubElement(message, "translation")
        if source in known:
            translation.text = known[source]
        else:
            translation.set("type", "unfinished")
    ElementTree.indent(root, "  ")
    body = ElementTree.tostring(root, encoding="unicode")
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n{body}\n', encoding="utf-8")
    return [source for source in sources if source not in known]


def placeholders(words: str) -> set[str]:
    """Names in braces."""
    return set(re.findall(r"{(\w*)}", words))


def main() -> int:
    """Bring everything up to date; 1 where something is left to do."""
    sources = list(dict.fromkeys(text.words for text in texts()))
    folder = PLUGIN / "i18n"
    folder.mkdir(exist_ok=True)
    left = 0
    for short, language in LANGUAGES.items():
        path = folder / f"sr_geo_{short}.ts"
        missing = write(path, language, sources, read(path))
        left += len(missing)
        for source in missing:
            print(f"{path.name}: to translate: {source}")
        lrelease = shutil.which("lrelease")
        if lrelease is None:
            print(f"{path.name}: lrelease is not installed, so {path.stem}.qm stays as it is")
            left += 1
        else:
            subprocess.run([lrelease, "-silent", str(path), "-qm", str(path.with_suffix(".qm"))], check=True)
    print(f"{len(sources)} texts, {left} left to do")
    return int(left > 0)


if __name__ == "__main__":
    sys.exit(main())
