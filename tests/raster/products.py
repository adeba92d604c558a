"""Small rasters and satellite products with the structure of real ones."""

import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

SIZE = 120
CORNER = Affine.translation(499980.0, 5900040.0)
S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
S2_METRES = dict(zip(S2_BANDS, (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20), strict=True))


def write_raster(
    path: Path, values: NDArray[Any], *, descriptions: Sequence[str] = (), tags: Mapping[str, str] | None = None, **profile: object
) -> Path:
    """Write ``(C, h, w)`` as a GeoTIFF, by default in UTM 32N with pixels of 10 m."""
    options = {
        "driver": "GTiff",
        "count": values.shape[0],
        "height": values.shape[1],
        "width": values.shape[2],
        "dtype": values.dtype.name,
        "crs": "EPSG:32632",
        "transform": CORNER @ Affine.scale(10, -10),
        **profile,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(path, "w", **options)
    with dataset:
        dataset.write(values)
        for number, text in enumerate(descriptions, 1):
            dataset.set_band_description(number, text)
        dataset.update_tags(**(tags or {}))
    return path


def stack_vrt(path: Path, sources: Sequence[str], *, size: int = SIZE) -> Path:
    """A VRT with a band for each of `sources` (relative to it), as gdalbuildvrt -separate makes it."""
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{number}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="{int(not source.startswith("/"))}">{source}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for number, source in enumerate(sources, 1)
    )
    path.write_text(
        f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>499980,10,0,5900040,0,-10</GeoTransform>{bands}</VRTDataset>"
    )
    return path


def pixels(metres: int, seed: int, size: int = SIZE) -> NDArray[np.uint16]:
    """A band of a `size` × 10 m square with pixels of `metres`; the first is nodata."""
    side = size * 10 // metres
    band = np.random.default_rng(seed).integers(1, 6000, (side, side), dtype=np.uint16)
    band[0, 0] = 0
    return band


def write_jp2(path: Path, band: NDArray[np.uint16], metres: int) -> None:
    """Lossless, as the real ones practically are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO", "GMLJP2": "YES"}
    write_raster(path, band[None], transform=CORNER @ Affine.scale(metres, -metres), **options)


def s2_metadata(level: str, *, baseline: str, offsets: Mapping[int, int] | None, images: Sequence[str], uri: str, spacecraft: str) -> str:
    """The product description of level "1C" or "2A", shortened to the elements that readers use."""
    if level == "1C":
        radiometry = '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
        tags = ("Radiometric_Offset_List", "RADIO_ADD_OFFSET")
    else:
        radiometry = (
            '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
            '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>'
        )
        tags = ("BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET")
    if offsets is not None:
        values = "".join(f'<{tags[1]} band_id="{i}">{value}</{tags[1]}>' for i, value in offsets.items())
        radiometry += f"<{tags[0]}>{values}</{tags[0]}>"
    spectral = "".join(
        f'<Spectral_Information bandId="{i}" physicalBand="B{name[1:].lstrip("0")}">'
        f"<RESOLUTION>{S2_METRES[name]}</RESOLUTION></Spectral_Information>"
        for i, name in enumerate(S2_BANDS)
    )
    files = "".join(f"<IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <n1:General_Info>
  <Product_Info>
   <PRODUCT_START_TIME>2023-06-25T06:16:31.024Z</PRODUCT_START_TIME>
   <PRODUCT_URI>{uri}</PRODUCT_URI>
   <PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL>
   <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
   <Datatake datatakeIdentifier="GS2_20230625T061631_041905_N{baseline}"><SPACECRAFT_NAME>{spacecraft}</SPACECRAFT_NAME></Datatake>
   <Product_Organisation><Granule_List><Granule imageFormat="JPEG2000">{files}</Granule></Granule_List></Product_Organisation>
  </Product_Info>
  <Product_Image_Characteristics>
   <Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
   {radiometry}
   <Spectral_Information_List>{spectral}</Spectral_Information_List>
  </Product_Image_Characteristics>
 </n1:General_Info>
</n1:Level-{level}_User_Product>
"""


def s2_images(level: str) -> dict[str, tuple[str, int]]:
    """IMAGE_FILE → (band, metres), as in a product of level "1C" or "2A"; the 60 m folder of 2A is left out but for B01."""
    granule = f"GRANULE/L{level}_T32UNE_A041905_20230625T062341/IMG_DATA"
    stem = "T32UNE_20230625T061631"
    if level == "1C":
        return {f"{granule}/{stem}_{band}": (band, S2_METRES[band]) for band in S2_BANDS}
    fine = {f"{granule}/R10m/{stem}_{band}_10m": (band, 10) for band in ("B02", "B03", "B04", "B08")}
    middle = {f"{granule}/R20m/{stem}_{band}_20m": (band, 20) for band in ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")}
    return {**fine, **middle, f"{granule}/R60m/{stem}_B01_60m": ("B01", 60)}


def make_safe(
    folder: Path,
    level: str = "2A",
    *,
    baseline: str = "05.09",
    offsets: Mapping[int, int] | None = None,
    satellite: str = "B",
    size: int = SIZE,
) -> Path:
    """A SAFE folder below `folder`; band `i` of `S2_BANDS` at `m` metres holds ``pixels(m, i)``."""
    name = f"S2{satellite}_MSIL{level}_20230625T061631_N{baseline.replace('.', '')}_R134_T32UNE_20230625T081502.SAFE"
    safe = folder / name
    images = s2_images(level)
    for image, (band, metres) in images.items():
        write_jp2(safe / f"{image}.jp2", pixels(metres, S2_BANDS.index(band), size), metres)
    text = s2_metadata(level, baseline=baseline, offsets=offsets, images=list(images), uri=name, spacecraft=f"Sentinel-2{satellite}")
    (safe / f"MTD_MSIL{level}.xml").write_text(text, encoding="utf-8")
    (safe / "manifest.safe").write_text("<xfdu/>", encoding="utf-8")
    return safe


def zip_folder(folder: Path, archive: Path) -> Path:
    """`folder` itself as the top of a zip, as products are downloaded."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                out.write(file, file.relative_to(folder.parent).as_posix())
    return archive


def make_landsat(folder: Path, *, spacecraft: str = "LANDSAT_8", level: int = 2, size: int = SIZE) -> Path:
    """A Collection 2 folder; band `b` holds ``pixels(10, b)``; every level-2 band has its own level-1 rescaling besides."""
    digit = spacecraft[-1]
    instrument = {"8": ("LC", "OLI_TIRS"), "9": ("LC", "OLI_TIRS"), "7": ("LE", "ETM"), "5": ("LT", "TM"), "4": ("LT", "TM")}[digit]
    processing = "L2SP" if level == 2 else "L1TP"
    product = f"{instrument[0]}0{digit}_{processing}_160023_20200518_20200820_02_T1"
    target = folder / product
    target.mkdir(parents=True)
    reflective = (1, 2, 3, 4, 5, 6, 7) if digit in "89" else (1, 2, 3, 4, 5, 7)
    thermal = "10" if digit in "89" else "6"
    files = {str(band): f"{product}_{'SR_' * (level == 2)}B{band}.TIF" for band in reflective}
    files[f"ST_B{thermal}" if level == 2 else thermal] = f"{product}_{'ST_' * (level == 2)}B{thermal}.TIF"
    for key, file in files.items():
        write_raster(target / file, pixels(10, int(key.removeprefix("ST_B")), size)[None], transform=CORNER @ Affine.scale(30, -30))
    lines = ["GROUP = LANDSAT_METADATA_FILE", "  GROUP = PRODUCT_CONTENTS", f'    LANDSAT_PRODUCT_ID = "{product}"']
    lines += [f'    PROCESSING_LEVEL = "{processing}"', "    COLLECTION_NUMBER = 02"]
    lines += [f'    FILE_NAME_BAND_{key} = "{file}"' for key, file in files.items()]
    lines += [
        "  END_GROUP = PRODUCT_CONTENTS",
        "  GROUP = IMAGE_ATTRIBUTES",
        f'    SPACECRAFT_ID = "{spacecraft}"',
        f'    SENSOR_ID = "{instrument[1]}"',
    ]
    lines += ["    DATE_ACQUIRED = 2020-05-18", "    SUN_ELEVATION = 38.56", "  END_GROUP = IMAGE_ATTRIBUTES"]
    if level == 2:
        lines += ["  GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"]
        lines += [
            f"    REFLECTANCE_{what}_BAND_{band} = {value}"
            for what, value in (("MULT", "2.75e-05"), ("ADD", "-0.2"))
            for band in reflective
        ]
        lines += ["  END_GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", "  GROUP = LEVEL2_SURFACE_TEMPERATURE_PARAMETERS"]
        lines += [f"    TEMPERATURE_MULT_BAND_ST_B{thermal} = 0.00341802", f"    TEMPERATURE_ADD_BAND_ST_B{thermal} = 149.0"]
        lines += ["  END_GROUP = LEVEL2_SURFACE_TEMPERATURE_PARAMETERS"]
    lines += ["  GROUP = LEVEL1_RADIOMETRIC_RESCALING"]
    lines += [
        f"    REFLECTANCE_{what}_BAND_{band} = {value}"
        for what, value in (("MULT", "2.0000E-05"), ("ADD", "-0.100000"))
        for band in reflective
    ]
    lines += [f"    RADIANCE_MULT_BAND_{thermal} = 3.3420E-04", f"    RADIANCE_ADD_BAND_{thermal} = 0.10000"]
    lines += ["  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING", "END_GROUP = LANDSAT_METADATA_FILE", "END"]
    (target / f"{product}_MTL.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target
