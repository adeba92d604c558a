# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""SR Geo in QGIS: enhanced rasters and field parcels. QGIS calls `classFactory`."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """The plugin; nothing is installed or started here."""
    from sr_geo_plugin.plugin import SrGeoPlugin

    return SrGeoPlugin(iface)
