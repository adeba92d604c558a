# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters that the algorithms which enhance share, and how they become words of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
    QgsRasterLayer,
    QgsRectangle,
)

from sr_geo_plugin import settings
from sr_geo_plugin.algorithms.base import SrGeoAlgorithm, advanced, failures, full, given, helped
from sr_geo_plugin.layers import RasterSource, raster_source
from sr_geo_plugin.panel.styling import Style
from sr_geo_plugin.polygons import polygons_file
from sr_geo_plugin.translation import tr

OTHER_BANDS = ("guided", "cubic", "drop")
CONSISTENCY = ("psf", "mean", "off")
DEVICES = ("auto", "cpu", "cuda")
PARCELS_AS = ("masked", "box")
AUTOMATIC = "auto"
"""Instead of a model's name: the one that uses most bands of the input."""
BANDS = {"BLUE": "blue", "GREEN": "green", "RED": "red", "NIR": "nir"}


class SameStyle(QgsProcessingLayerPostProcessorInterface):
    """Draws a result as its input was drawn when the run began.

    Args:
        style: of the input.
        name: for the layer.
    """

    alive: list[SameStyle] = []  # noqa: RUF012 - QGIS keeps no reference of its own

    def __init__(self, style: Style, name: str) -> None:
        super().__init__()
        self.style, self.name = style, name
        self.alive.append(self)

    def postProcessLayer(self, layer: Any, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> None:
        if isinstance(layer, QgsRasterLayer):
            self.style.apply(layer)
            layer.setName(self.name)
        if self in self.alive:
            self.alive.remove(self)


class ImagingAlgorithm(SrGeoAlgorithm):
    """An algorithm that enhances a raster layer."""

    layer: QgsRasterLayer
    style: Style

    def add_raster(self) -> None:
        """The parameter INPUT."""
        self.addParameter(QgsProcessingParameterRasterLayer("INPUT", tr("Raster to enhance")))

    def add_parcels(self) -> None:
        """The parameters of parcels."""
        self.addParameter(QgsProcessingParameterFeatureSource("PARCELS", tr("Field parcels"), [QgsProcessing.SourceType.TypeVectorPolygon]))
        buffer = QgsProcessingParameterNumber(
            "BUFFER", tr("Metres to grow every parcel"), QgsProcessingParameterNumber.Type.Double, 0.0, False, -1000.0, 10_000.0
        )
        self.addParameter(helped(buffer, tr("On the ground, whatever the CRS. Below 0 the parcels shrink, which leaves out their edges.")))

    def add_model(self) -> None:
        """Model and bands."""
        names = [AUTOMATIC, *settings.known_models()]
        model = QgsProcessingParameterEnum("MODEL", tr("Model"), names, False, AUTOMATIC, False, True)
        self.addParameter(helped(model, tr("auto takes the shipped model that uses most bands of the raster.")))
        file = QgsProcessingParameterFile("MODEL_FILE", tr("Model from a file instead"), extension="onnx", optional=True)
        self.addParameter(advanced(file))
        for name, label in (
            ("BLUE", tr("Blue band")),
            ("GREEN", tr("Green band")),
            ("RED", tr("Red band")),
            ("NIR", tr("Near infrared band")),
        ):
            band = QgsProcessingParameterBand(name, label, None, "INPUT", True)
            self.addParameter(helped(advanced(band), tr("Only where the file does not say which band is which: then name all of them.")))

    def add_options(self, *, kept: bool = True) -> None:
        """How to enhance.

        Args:
            kept: the enhanced raster is an output.
        """
        ways = [tr("take over detail of the others"), tr("interpolate"), tr("leave out")]
        self.addParameter(advanced(QgsProcessingParameterEnum("OTHER_BANDS", tr("Bands that the model does not know"), ways, False, 0)))
        ties = [tr("through the sensor's blur"), tr("by plain 4 × 4 means"), tr("not at all")]
        self.addParameter(advanced(QgsProcessingParameterEnum("CONSISTENCY", tr("Tie the result to the measured values"), ties, False, 0)))
        blur = QgsProcessingParameterNumber(
            "PSF", tr("Blur of the sensor, in pixels of the result"), QgsProcessingParameterNumber.Type.Double, None, True, 0.01, 19.9
        )
        self.addParameter(
            helped(advanced(blur), tr("Usually 1 to 3.2. Left empty, it is measured on the edges in the scene, band by band."))
        )
        where = [tr("automatic"), tr("processor"), tr("NVIDIA graphics card")]
        self.addParameter(advanced(QgsProcessingParameterEnum("DEVICE", tr("Compute on"), where, False, 0)))
        whole = QgsProcessingParameterNumber.Type.Integer
        threads = QgsProcessingParameterNumber("THREADS", tr("Processor threads"), whole, None, True, 1, 256)
        self.addParameter(helped(advanced(threads), tr("Left empty: all processors.")))
        tile = QgsProcessingParameterNumber("TILE", tr("Side of a tile, in pixels of the raster"), whole, None, True, 16, 1024)
        self.addParameter(helped(advanced(tile), tr("A smaller one needs less memory; the result is the same.")))
        if kept:
            self.addParameter(advanced(QgsProcessingParameterBoolean("COG", tr("Write a Cloud Optimized GeoTIFF"), False)))

    def add_extent(self) -> None:
        """The part of the raster."""
        extent = QgsProcessingParameterExtent("EXTENT", tr("Extent"), None, True)
        self.addParameter(helped(extent, tr("Left empty: all of the raster, or all parcels.")))

    def add_outputs(self, *, table: bool, optional: bool = False) -> None:
        """The enhanced raster and what belongs to it."""
        self.addParameter(QgsProcessingParameterRasterDestination("OUTPUT", tr("Enhanced raster"), None, optional, True))
        detail = QgsProcessingParameterRasterDestination("DETAIL_MAP", tr("Map of added detail"), None, True, False)
        self.addParameter(helped(detail, tr("Per pixel, how much was added beyond what the sensor measured.")))
        if table:
            self.add_table(shown=False)
        self.add_report(shown=False)

    def add_table(self, *, shown: bool) -> None:
        """Statistics of the parcels."""
        kind = QgsProcessing.SourceType.TypeVectorPolygon
        words = tr("Area, mean of each band and NDVI before and after, and added detail, with the outlines of the parcels.")
        self.addParameter(helped(QgsProcessingParameterVectorDestination("TABLE", tr("Parcel statistics"), kind, None, True, shown), words))

    def add_report(self, *, shown: bool) -> None:
        """The page."""
        page = QgsProcessingParameterFileDestination("REPORT", tr("Report"), tr("Web page (*.html)"), None, True, shown)
        self.addParameter(helped(page, tr("Before and after with a slider, spectra, and a table of the parcels.")))

    # Running

    def prepareAlgorithm(self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> bool:
        """In the thread of the window: take what the run needs of the layer."""
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        if layer is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, "INPUT"))
        self.style = Style.of(layer)
        self.layer = layer.clone()
        self.layer.setName(layer.name())
        return True

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """In a background thread, mostly: the work."""
        try:
            return self.work(parameters, context, feedback)
        finally:
            del self.layer, self.style  # this object may live on after QGIS has ended, which layers must not

    def work(self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        """Enhance, and give back the outputs that were asked for."""
        raise NotImplementedError

    def source(
        self, folder: Path, extent: QgsRectangle | None, parameters: dict[str, Any], context: QgsProcessingContext, feedback: Any
    ) -> tuple[RasterSource, list[str]]:
        """The raster as the worker gets it, and the words that say which band is which."""
        with failures():
            source = raster_source(self.layer, folder, extent=extent, feedback=feedback)
        roles = {role: self.parameterAsInt(parameters, name, context) for name, role in BANDS.items() if given(parameters, name)}
        chosen = RasterSource(source.path, roles or source.bands, source.copied)
        return chosen, chosen.options

    def extent(self, parameters: dict[str, Any], context: QgsProcessingContext) -> QgsRectangle | None:
        """The extent in the raster's CRS; None where none was given."""
        if not given(parameters, "EXTENT"):
            return None
        extent = self.parameterAsExtent(parameters, "EXTENT", context, self.layer.crs())
        return None if extent.isNull() else extent

    def parcels(
        self, folder: Path, extent: QgsRectangle | None, parameters: dict[str, Any], context: QgsProcessingContext, feedback: Any
    ) -> Path:
        """The parcels as the worker gets them."""
        source = self.parameterAsSource(parameters, "PARCELS", context)
        if source is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, "PARCELS"))
        needed = self.layer.crs().isValid()
        with failures():
            return polygons_file(
                source, folder, within=extent, within_crs=self.layer.crs(), context=context, feedback=feedback, need_crs=needed
            )

    def options(self, parameters: dict[str, Any], context: QgsProcessingContext) -> list[str]:
        """Words of the command line for model and options."""
        words = []
        model = full(self.parameterAsFile(parameters, "MODEL_FILE", context)) or self.parameterAsEnumString(parameters, "MODEL", context)
        if model and model != AUTOMATIC:
            words += ["--model", model]
        for name, option, choices in (
            ("OTHER_BANDS", "--other-bands", OTHER_BANDS),
            ("CONSISTENCY", "--consistency", CONSISTENCY),
            ("DEVICE", "--device", DEVICES),
        ):
            choice = self.parameterAsEnum(parameters, name, context)
            words += [option, choices[choice]] if choice else []
        if given(parameters, "PSF"):
            words += ["--psf", f"{self.parameterAsDouble(parameters, 'PSF', context):g}"]
        for name, option in (("THREADS", "--threads"), ("TILE", "--tile")):
            if given(parameters, name):
                words += [option, str(self.parameterAsInt(parameters, name, context))]
        return [*words, "--cog"] if self.parameterAsBool(parameters, "COG", context) else words

    def parcel_words(self, path: Path, parameters: dict[str, Any], context: QgsProcessingContext) -> list[str]:
        """Words of the command line for parcels."""
        words = ["--parcels", str(path)]
        buffer = self.parameterAsDouble(parameters, "BUFFER", context)
        return [*words, "--buffer-m", f"{buffer:g}"] if buffer else words

    def destination(self, parameters: dict[str, Any], name: str, context: QgsProcessingContext, kind: str) -> str:
        """Where an output is to be written; empty where it is not wanted.

        Args:
            parameters: of the run.
            name: of the parameter.
            context: of the run.
            kind: ``layer`` or ``file``.
        """
        if not given(parameters, name):
            return ""
        if kind == "layer":
            return str(self.parameterAsOutputLayer(parameters, name, context) or "")
        return str(self.parameterAsFileOutput(parameters, name, context) or "")

    def style_result(self, output: str, context: QgsProcessingContext) -> None:
        """Have the result drawn as the input, where QGIS will load it."""
        if output and context.willLoadLayerOnCompletion(output):
            processor = SameStyle(self.style, tr("{layer} ×4").format(layer=self.layer.name()))
            context.layerToLoadOnCompletionDetails(output).setPostProcessor(processor)
