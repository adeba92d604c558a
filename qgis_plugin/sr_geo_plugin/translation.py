# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Words for people, in the language of QGIS. Every text that a user may see goes through `tr` as one literal string.

Placeholders are those of `str.format`, filled after translation: ``tr("{name} has no CRS").format(name=layer)``.
"""

from __future__ import annotations

CONTEXT = "SRGeo"
"""Of all texts in the .ts files."""


def tr(text: str) -> str:
    """The text in the language of QGIS; as it stands where there is no translation, or no QGIS."""
    try:
        from qgis.PyQt.QtCore import QCoreApplication
    except ImportError:  # tests of the parts that do not need QGIS
        return text
    return QCoreApplication.translate(CONTEXT, text)
