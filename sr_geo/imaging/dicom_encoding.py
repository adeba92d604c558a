"""Headers brought to Explicit VR Little Endian without decoding their text, so that what they say of a person stays as it is.

pydicom converts values that it decodes and encodes again; text in a character set that the header does not name would come
out changed, and byte arrays of big-endian files would come out swapped. Here raw values stay raw: only their type is named, and
only numbers are swapped.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import RawDataElement

_NUMBER_BYTES = {
    "US": 2, "SS": 2, "OW": 2, "AT": 2,
    "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4,
    "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8,
}  # fmt: skip


def make_explicit(dataset: "Dataset", *, signed: bool) -> None:
    """Change a dataset that was just read so that pydicom writes it as Explicit VR Little Endian, values untouched.

    Args:
        dataset: with its nested ones.
        signed: whether pixels have a sign, which decides between US and SS where the file does not say.
    """
    from pydicom.dataelem import RawDataElement

    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            vr = _representation(element, dataset, signed=signed)
            if vr != "SQ":
                dataset[tag] = _explicit(element, vr)
                continue
        if dataset[tag].VR == "SQ":
            for item in dataset[tag].value:
                make_explicit(item, signed=signed)
    dataset.set_original_encoding(is_implicit_vr=False, is_little_endian=True, character_encoding=dataset.original_character_set)


def _explicit(element: "RawDataElement", vr: str) -> "RawDataElement":
    value, size = element.value or b"", _NUMBER_BYTES.get(vr, 1)
    if not element.is_little_endian and size > 1:
        whole = len(value) - len(value) % size
        swapped = bytearray(value)
        for place in range(size):
            swapped[place:whole:size] = value[size - 1 - place : whole : size]
        value = bytes(swapped)
    return element._replace(VR=vr, value=value, is_implicit_VR=False, is_little_endian=True)


def _representation(element: "RawDataElement", dataset: "Dataset", *, signed: bool) -> str:
    """The value representation of a raw element, decided where the dictionary leaves a choice."""
    vr = element.VR or _looked_up(element, dataset)
    if " or " not in vr:
        return str(vr)
    if "SS" in vr and "OW" not in vr:
        return "SS" if signed else "US"
    return "OW" if "OW" in vr else str(vr).split(" or ", 1)[0]


def _looked_up(element: "RawDataElement", dataset: "Dataset") -> str:
    """The value representation that the dictionary gives; UN for what it does not know."""
    from pydicom.datadict import dictionary_VR, private_dictionary_VR
    from pydicom.tag import Tag

    tag = element.tag
    if tag.element == 0:
        return "UL"  # a group's length, which is not written again
    if tag.is_private_creator:
        return "LO"
    try:
        if not tag.is_private:
            return dictionary_VR(tag)
        owner = Tag(tag.group, tag.element >> 8)
        return private_dictionary_VR(tag, str(dataset[owner].value)) if owner in dataset else "UN"
    except KeyError:
        return "UN"
