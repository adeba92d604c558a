"""Bands of classes, bits, masks and probabilities, by name."""

import pytest

from sr_geo.raster.marks import name_says_marks, says_marks, words_of
from sr_geo.raster.roles import roles_of


@pytest.mark.parametrize(
    "text",
    [
        # Sentinel-2
        "SCL", "Scene classification map", "Scene Classification Map (SCL)", "QA10", "QA20", "QA60", "MSK_CLDPRB", "MSK_SNWPRB",
        "MSK_CLASSI_OPAQUE", "MSK_CLASSI_CIRRUS", "MSK_DETFOO_B02", "MSK_QUALIT_B02", "CLM", "CLP", "CLD", "SNW", "dataMask", "data_mask",
        # Landsat
        "QA_PIXEL", "QA_RADSAT", "SR_QA_AEROSOL", "ST_QA", "BQA", "pixel_qa", "radsat_qa", "sr_aerosol", "SR_CLOUD_QA", "Fmask", "CFmask",
        # others
        "udm1", "udm2", "udm2.1", "StateQA", "DetailedQA", "QC_500m", "pixel reliability",
        "sur_refl_qc_500m", "SurfReflect_QF1", "WQSF_lsb", "PIXELQA", "SRAEROSOLQA", "quality_flags", "status map",
        # words
        "mask", "Cloud Mask", "cloudmask", "class", "Classes", "classification", "quality", "Reflectance quality flag", "valid", "validity",
        "valid pixels", "saturation", "nodata", "land cover", "Land use", "crop type", "labels", "thematic", "solar azimuth",
        # masks of bands that have a role
        "QA_B04", "B04_mask", "red mask", "NIR quality",
    ],
)  # fmt: skip
def test_marks(text: str) -> None:
    assert says_marks(text)
    assert roles_of([text], sensor="sentinel-2") == [None]


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("classic blue", "blue"),
        ("B01", "coastal"),
        ("B01 coastal aerosol", "coastal"),
        ("Coastal aerosol", "coastal"),
        ("aerosol", "coastal"),
        ("cirrus", "cirrus"),
        ("Water vapour", "watervapour"),
        ("red, cloud-free", "red"),
        ("cloudless blue", "blue"),
        ("cloud-masked green", "green"),
        ("red, saturated pixels removed", "red"),
        ("best quality red", "red"),
        ("Surface reflectance, green, valid range 0-10000", "green"),
        ("NIR (clear)", "nir"),
        ("red 16 bit", "red"),
        ("red, date 2020-05-01", "red"),
        ("validated red", "red"),
        ("NDVI", None),
        ("elevation", None),
        ("glass", None),
        ("grass", None),
        ("aqua", None),
        ("", None),
    ],
)
def test_pictures(text: str, role: str | None) -> None:
    assert not says_marks(text)
    assert roles_of([text], sensor="sentinel-2") == [role]


@pytest.mark.parametrize(
    "text",
    ["clear", "cloud", "clouds", "snow", "cloud_shadow", "light haze", "confidence", "count", "day of year", "field_id", "state_1km"],
)
def test_likely_marks(text: str) -> None:
    assert not says_marks(text)
    assert says_marks(text, likely=True)


LANDSAT = "LC08_L2SP_160023_20200518_20200820_02_T1"


@pytest.mark.parametrize(
    "name",
    [
        "T32UNE_20230625T061631_SCL_20m.jp2", "MSK_CLDPRB_20m.jp2", "MSK_DETFOO_B02.jp2", f"{LANDSAT}_QA_PIXEL.TIF",
        f"{LANDSAT}_SR_QA_AEROSOL.TIF", f"{LANDSAT}_ST_QA.TIF", f"{LANDSAT}_BQA.TIF", "HLS.S30.T13SDV.2021122T174859.v2.0.Fmask.tif",
        "20200101_PSScene_3B_udm2_clip.tif", "cloud_mask_20m.tif", "fields-mask.tif", "mask.tif", "landcover.tif", "dataMask.tif",
        "labels_2.tif", "SENTINEL2A_20200101-105439-464_L2A_T31TCJ_C_V2-2_CLM_R1.tif", "SENTINEL2A_20200101_L2A_T31TCJ_C_V2-2_SAT_R2.tif",
    ],
)  # fmt: skip
def test_files_of_marks(name: str) -> None:
    assert name_says_marks(name)


@pytest.mark.parametrize(
    "name",
    [
        "scene.tif", "T32UNE_20230625T061631_B04_10m.jp2", f"{LANDSAT}_SR_B4.TIF", "B01_aerosol.tif", "masked.tif", "classic_blue.tif",
        "quality_check_red.tif", "first_class_farm.tif", "cloud_masked.tif", "S2_cloudfree.tif", "qa_run_3_nir.tif", "qatar.tif",
        "", "noname",
    ],
)  # fmt: skip
def test_files_of_pictures(name: str) -> None:
    assert not name_says_marks(name)


def test_words() -> None:
    assert words_of("dataMask") == words_of("Data_mask ") == "data mask"
    assert words_of("B8A (NIR)") == "b8a nir"
