# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""A layer drawn as a picture, as the map would draw it."""

from __future__ import annotations

from qgis.core import QgsMapRendererSequentialJob, QgsMapSettings, QgsRasterLayer, QgsRectangle
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor, QImage

from sr_geo_plugin.panel.jobs import PREVIEW_SIDE

SCALE = 4
"""Pixels of the result for one of the input, along each side."""


def middle(layer: QgsRasterLayer, side: int = PREVIEW_SIDE) -> tuple[QgsRectangle, QSize]:
    """The part of a piece that a preview shows, and its size in pixels of the result.

    Args:
        layer: the piece, before.
        side: pixels of the input to show; all where there are fewer.
    """
    columns, rows = min(side, layer.width()), min(side, layer.height())
    half = (columns / 2 * layer.rasterUnitsPerPixelX(), rows / 2 * layer.rasterUnitsPerPixelY())
    centre = layer.extent().center()
    area = QgsRectangle(centre.x() - half[0], centre.y() - half[1], centre.x() + half[0], centre.y() + half[1])
    return area, QSize(SCALE * columns, SCALE * rows)


def draw(layer: QgsRasterLayer, area: QgsRectangle, size: QSize) -> QImage:
    """Draw a part of a layer in its own CRS.

    Args:
        layer: to draw, with its style.
        area: of the layer's CRS.
        size: of the picture, pixels.
    """
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setOutputSize(size)
    settings.setExtent(area)
    settings.setBackgroundColor(QColor(0, 0, 0, 0))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    return job.renderedImage()
