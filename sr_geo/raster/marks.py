"""Which bands hold marks instead of a picture: classes, bits, masks, qualities. Pure text, no I/O.

Marks must not be mixed: half way between "water" and "snow" lies no class, and a network sees edges in codes. Cloud and snow
probabilities count as marks, too. They could be interpolated, but nothing finer is known about them, detail of the
picture has no place in them, and a threshold must choose the same pixels before and after.
"""

import re

_CERTAIN = re.compile(
    r"\b(?:[a-z]*masks?\d*|msk|[a-z]*qa\d*|qc|qf\d*|wqsf|status|qual(?:it|ity)?|scl|class(?:es|if\w*)?|categor\w+|thematic|labels?"
    r"|segment(?:s|ation)|land ?cover|land ?use|lulc|crop ?(?:types?|map)|cdl|flags?|bit ?fields?|valid(?:ity)?|invalid|no ?data|satur\w+"
    r"|radsat|reliability|udm\d*|detfoo|cl[dmp]|snw|(?:cld|snw)prb|sr aerosol|azimuth|[sv]aa)\b"
)
# Words that a band of the picture may have in its description, too.
_LIKELY = re.compile(
    r"\b(?:clear|cloud(?:s|y)?|shadows?|snow|ice|haze|confidence|unusable|counts?|observations|dates?|doy|day of year|julian|timestamp"
    r"|state|ids?)\b"
)
# What says how a picture was made, not that it is marks.
_PICTURE = re.compile(
    r"\b(?:(?:cloud|snow|shadow|haze|saturated)s? ?(?:pixels )?(?:free|less|removed|masked|corrected|filtered)|cloudless"
    r"|(?:best|good|high|highest) quality|valid (?:range|min\w*|max\w*))\b"
)
# Layers of products, wherever in a file name they stand.
_LAYER = re.compile(
    r"(?:^|[^a-z0-9])(?:scl|s[rt]_qa|qa_?(?:pixel|radsat|aerosol)|(?:pixel|radsat|sr_cloud)_?qa|bqa|qa\d\d|sr_aerosol|msk_[a-z]+"
    r"|c?fmask|udm2?|datamask|clm|clp|cldprb|snwprb|(?:edg|sat|mg2|dfp|iab)_r[12])(?![a-z0-9])",
    re.IGNORECASE,
)
_LAST = re.compile(_CERTAIN.pattern + r"(?: \d+ ?m?| clip\w*)*$")

STAC_ROLES = frozenset(
    ("cloud", "cloud-shadow", "snow-ice", "land-water", "water-mask", "data-mask", "saturation", "quality", "qa", "mask", "classification")
)
"""Roles of a STAC asset that holds marks."""


def words_of(text: str) -> str:
    """Lower-case words with single blanks between: "dataMask" and "Data_mask" are "data mask"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return re.sub(r"[^a-z0-9]+", " ", words.lower()).strip()


def says_marks(text: str, *, likely: bool = False) -> bool:
    """Whether a description, band name or asset key says that the band holds marks.

    Args:
        text: such as "QA60", "Scene classification map", "dataMask".
        likely: also by words that say so only where nothing speaks for a picture: "cloud", "snow", "count".
    """
    words = _PICTURE.sub(" ", words_of(text))
    return _CERTAIN.search(words) is not None or (likely and _LIKELY.search(words) is not None)


def name_says_marks(name: str) -> bool:
    """Whether a file name does, of a raster of one band; general words count at its end only ("quality_check_red" is red)."""
    stem = name.rpartition(".")[0] or name
    return _LAYER.search(stem) is not None or _LAST.search(_PICTURE.sub(" ", words_of(stem))) is not None
