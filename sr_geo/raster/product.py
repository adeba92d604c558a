"""What a satellite product holds: its files and metadata, in a folder or an archive, read without unpacking anything."""

import re
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from sr_geo.errors import InputError
from sr_geo.radiometry import Encoding

_LARGEST_METADATA = 32 * 2**20  # bytes; the largest real one, of Sentinel-2 level 2A, has 0.1 MB
_ARCHIVES = {".zip": "/vsizip/", ".tar": "/vsitar/"}
_PACKED = re.compile(r"/vsi(?:zip|tar)/\{?(.+?\.(?:zip|tar))\}?(?:/(.*))?", re.IGNORECASE)

# Sentinel-2 (the second form is that of products before December 2016) and Landsat.
METADATA = re.compile(r"MTD_MSIL(?:1C|2A)\.xml|S2[A-D]_(?:OPER|USER)_MTD_SAFL(?:1C|2A)_\w+\.xml|[^/]+_MTL\.txt")
"""Name of the file that describes a product."""


@dataclass(frozen=True, slots=True)
class ProductBand:
    """One band file of a product."""

    path: str
    """What GDAL opens; the band is the first and only one in it."""
    role: str
    name: str
    """The product's own name of the band: "B02", "SR_B4"."""
    encoding: Encoding
    """Stored value → reflectance (or the quantity that `unit` names)."""
    metres: float | None = None
    """Native pixel size where it is not that of the product's grid."""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """The bands asked for, in order; the first lies on the grid of the scene."""

    name: str
    sensor: str
    bands: tuple[ProductBand, ...]
    tags: dict[str, str] = field(default_factory=dict)
    metadata: str = ""
    """GDAL name of the file that describes it."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What product metadata says of one band file that is opened by itself."""

    encoding: Encoding
    unit: str
    """Of the decoded values; "" for reflectance."""
    source: str
    """GDAL name of the metadata file."""


@dataclass(frozen=True, slots=True)
class Members:
    """Files of a folder or an archive by name; `vsi` is what GDAL puts before a name."""

    path: Path
    vsi: str
    names: tuple[str, ...]
    """Relative to the folder or archive, with "/" between parts; none leads outside."""

    def gdal_path(self, name: str) -> str:
        """What GDAL opens for member `name`."""
        return f"{self.vsi}/{name}"

    def inside(self, top: str) -> "Members":
        """Members below folder `top` of this one."""
        names = tuple(name[len(top) + 1 :] for name in self.names if name.startswith(f"{top}/"))
        return Members(self.path, f"{self.vsi}/{top}", names) if top else self

    def without_other_metadata(self, name: str) -> "Members":
        """The same with `name` as the only product description at the top: products may share a folder."""
        kept = tuple(other for other in self.names if other == name or not METADATA.fullmatch(other))
        return Members(self.path, self.vsi, kept)

    def read_text(self, name: str) -> str:
        """Text of a small metadata file.

        Raises:
            InputError: if it is larger than 32 MB, not UTF-8 or unreadable.
        """
        try:
            data = self._read_bytes(name)
        except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, KeyError, NotImplementedError, RuntimeError) as error:
            raise InputError(f"{self.gdal_path(name)}: cannot be read ({error}): copy or download the product again") from error
        if len(data) > _LARGEST_METADATA:
            raise InputError(f"{self.gdal_path(name)}: larger than {_LARGEST_METADATA >> 20} MB, which no product metadata is")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.gdal_path(name)}: not UTF-8 text: copy or download the product again") from error

    def _read_bytes(self, name: str) -> bytes:
        """At most one byte more than allowed, so that a packed bomb never unfolds."""
        most = _LARGEST_METADATA + 1
        inner = self.gdal_path(name).split(str(self.path.as_posix()), 1)[1].lstrip("/")
        if self.vsi.startswith("/vsizip/"):
            with zipfile.ZipFile(self.path) as archive, archive.open(inner) as file:
                return file.read(most)
        if self.vsi.startswith("/vsitar/"):
            with tarfile.open(self.path, "r:") as tar:
                member = tar.extractfile(inner if inner in tar.getnames() else f"./{inner}")
                if member is None:
                    raise OSError("not a file")
                return member.read(most)
        with (self.path / inner).open("rb") as file:
            return file.read(most)


def list_members(path: Path) -> Members | None:
    """Files of a folder, zip or tar by name; None where `path` is none of these.

    Of a folder only its own files are listed and, whole, the product that it is or the products right below it.

    Raises:
        InputError: for a broken archive or an unreadable folder.
    """
    prefix = _ARCHIVES.get(path.suffix.lower())
    try:
        if path.is_dir():
            return Members(path, path.as_posix(), tuple(sorted(file.relative_to(path).as_posix() for file in _files_of(path))))
        if prefix is None or not path.is_file():
            return None
        if prefix == "/vsizip/":
            with zipfile.ZipFile(path) as archive:
                names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        else:
            with tarfile.open(path, "r:") as tar:
                names = [entry.name.removeprefix("./") for entry in tar if entry.isfile()]
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise InputError(f"{path}: not a readable archive or folder ({error}): copy or download it again") from error
    return Members(path, f"{prefix}{path.as_posix()}", tuple(sorted(name for name in names if _stays_inside(name))))


def _files_of(folder: Path) -> list[Path]:
    if _is_product(folder):
        return _walk(folder, depth=5)
    entries = list(folder.iterdir())
    files = [entry for entry in entries if entry.is_file()]
    return files + [file for entry in entries if entry.is_dir() and _is_product(entry) for file in _walk(entry, depth=5)]


def _is_product(folder: Path) -> bool:
    return folder.name.upper().endswith(".SAFE") or any(METADATA.fullmatch(entry.name) for entry in folder.iterdir())


def _walk(folder: Path, depth: int) -> list[Path]:
    found: list[Path] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, depth - 1) if depth > 0 else []
        else:
            found.append(entry)
    return found


def locate(path: str) -> Members | None:
    """Files of what may be a product: a folder, an archive, a folder in one (``/vsizip/a.zip/X.SAFE``), or a metadata file.

    Raises:
        InputError: for a broken archive or an unreadable folder.
    """
    if path.startswith("<"):
        return None  # a VRT given as text
    packed = _PACKED.fullmatch(path)
    if packed is None:
        given = Path(path)
        if not (given.is_file() and (given.name == "manifest.safe" or METADATA.fullmatch(given.name))):
            return list_members(given)
        members = list_members(given.parent)
        return members if members is None or given.name == "manifest.safe" else members.without_other_metadata(given.name)
    members = list_members(Path(packed.group(1)))
    inner = (packed.group(2) or "").strip("/")
    if members is None or not inner:
        return members
    top, _, last = inner.rpartition("/")
    if METADATA.fullmatch(last):
        return members.inside(top).without_other_metadata(last)
    members = members.inside(inner)
    return members if members.names else None


def locate_file(path: str) -> tuple[Members, str] | None:
    """The folder or archive that a band file of a product lies in, seen from its top, and the file's name in it.

    Args:
        path: of a file, or its GDAL name in an archive.

    Returns:
        Of a folder called ``….SAFE`` around the file, or else of the folder that it lies in: the files right there, and
        the file itself. Of an archive all below that folder. None for what is no such file.

    Raises:
        InputError: for a broken archive.
    """
    if path.startswith("<"):
        return None
    packed = _PACKED.fullmatch(path)
    if packed is None:
        file = Path(path).absolute()
        if not file.is_file():
            return None
        folder = next((parent for parent in file.parents if parent.suffix.upper() == ".SAFE"), file.parent)
        try:
            around = [entry.name for entry in folder.iterdir() if entry.is_file()]
        except OSError:
            return None  # a folder that may be passed but not listed: the file itself can be read
        inner = file.relative_to(folder).as_posix()
        return Members(folder, folder.as_posix(), tuple(sorted({*around, inner}))), inner
    members = list_members(Path(packed.group(1)))
    inner = (packed.group(2) or "").strip("/")
    if members is None or inner not in members.names:
        return None
    folders = inner.split("/")[:-1]
    safe = next((i for i, folder in enumerate(folders) if folder.upper().endswith(".SAFE")), len(folders) - 1)
    top = "/".join(folders[: safe + 1])
    return members.inside(top), inner[len(top) + 1 :] if top else inner


def _stays_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\\" not in name


def parse_xml(text: str, source: str) -> ElementTree.Element:
    """Root element of product metadata.

    Document type declarations are refused, so no entity, internal or external, is ever expanded.

    Raises:
        InputError: for anything but well-formed XML without a document type.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{source}: holds a document type declaration, which no product metadata has: it is not read")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{source}: not well-formed XML ({error}): copy or download the product again") from error


def element_text(root: ElementTree.Element, *tags: str) -> str | None:
    """Text of the first element of one of `tags` anywhere below `root`, tried in that order."""
    for tag in tags:
        element = root.find(f".//{tag}")
        if element is not None and element.text:
            return element.text.strip()
    return None


def number(text: str | None, what: str, source: str) -> float:
    """`text` as a number.

    Raises:
        InputError: where it is missing or none.
    """
    try:
        return float(text or "")
    except ValueError:
        raise InputError(f"{source}: {what} is {text or 'missing'}, expected a number: copy or download the product again") from None


def wanted_roles(defaults: Sequence[str], extra: Sequence[str]) -> tuple[str, ...]:
    """Default roles, then the extra ones that are not among them, each once."""
    return tuple(dict.fromkeys([*defaults, *extra]))
