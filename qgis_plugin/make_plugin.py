"""Packs the QGIS plugin: its files, the licence, and SR Geo itself as a wheel that Set up installs. Used by `make plugin`.

The e-mail address and the addresses on the web that the plugin site asks for are those of pyproject.toml.
"""

import argparse
import configparser
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from email.parser import HeaderParser
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLUGIN = HERE / "sr_geo_plugin"
LARGEST = 25_000_000
"""Bytes that the plugin site accepts."""
COMPILED = (".so", ".pyd", ".dll", ".dylib", ".exe", ".pyc")
LEFT_OUT = (".ts", ".pyc")
"""Sources of translations, and what Python leaves behind."""
ADDRESSES = {"homepage": "Homepage", "tracker": "Issues", "repository": "Repository"}
"""Keys of metadata.txt, and their names in pyproject.toml, [project.urls]; the plugin site asks for all three and for an e-mail address."""
MOMENT = (2026, 1, 1, 0, 0, 0)
"""Date of all files in the zip, so that the same tree gives the same zip."""


def main() -> None:
    """Write ``sr_geo_plugin-VERSION.zip``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE.parent / "dist", help="where to write; default: dist/")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as wheels:
        wheel = build_wheel(Path(wheels))
        known = addresses(wheel)
        path = pack(folder, wheel, known)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    if missing := [key for key in ("email", *ADDRESSES) if key not in known]:
        names = ", ".join(ADDRESSES[key] for key in missing if key in ADDRESSES)
        print(f"QGIS installs it from this file. To upload it to the plugin site, give {', '.join(missing)} in pyproject.toml", end="")
        print(f" (authors: email; [project.urls]: {names})" if names else " (authors: email)")


def plugin_version() -> str:
    """What metadata.txt says."""
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(PLUGIN / "metadata.txt", encoding="utf-8")
    return metadata["general"]["version"]


def build_wheel(folder: Path) -> Path:
    """SR Geo as a wheel of pure Python."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(HERE.parent)], check=True)
    (wheel,) = folder.glob("sr_geo-*.whl")
    if not wheel.name.endswith("-py3-none-any.whl") or f"-{plugin_version()}-" not in wheel.name:
        raise SystemExit(f"{wheel.name}: expected pure Python, of the version in metadata.txt ({plugin_version()})")
    return wheel


def addresses(wheel: Path) -> dict[str, str]:
    """What metadata.txt asks for and the wheel's own metadata says."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        about = HeaderParser().parsestr(archive.read(name).decode())
    urls = {key.strip(): url.strip() for key, _, url in (each.partition(",") for each in about.get_all("Project-URL", []))}
    known = {key: urls[name] for key, name in ADDRESSES.items() if name in urls}
    email = re.search(r"[^<\s]+@[^>\s,]+", about.get("Author-email", ""))
    return known if email is None else {"email": email.group(), **known}


def filled(metadata: str, known: Mapping[str, str]) -> str:
    """metadata.txt with the addresses where it has empty keys."""
    return re.sub(r"^(\w+)=$", lambda line: f"{line[1]}={known.get(line[1], '')}", metadata, flags=re.MULTILINE)


def pack(folder: Path, wheel: Path, known: Mapping[str, str]) -> Path:
    """Write the zip."""
    files = {f"sr_geo_plugin/{path.relative_to(PLUGIN).as_posix()}": path for path in PLUGIN.rglob("*") if wanted(path)}
    files["sr_geo_plugin/LICENSE"] = HERE / "LICENSE"
    files[f"sr_geo_plugin/wheels/{wheel.name}"] = wheel
    path = folder / f"sr_geo_plugin-{plugin_version()}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, file in sorted(files.items()):
            if name.endswith(COMPILED):
                raise SystemExit(f"{name}: the plugin site takes no compiled files")
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            content = file.read_bytes()
            archive.writestr(entry, filled(content.decode(), known) if name == "sr_geo_plugin/metadata.txt" else content)
    if path.stat().st_size > LARGEST:
        raise SystemExit(f"{path}: {path.stat().st_size} bytes, the plugin site takes {LARGEST}")
    return path


def wanted(path: Path) -> bool:
    """Whether a file of the plugin's folder belongs into the zip."""
    inside = path.relative_to(PLUGIN).parts
    return path.is_file() and path.suffix not in LEFT_OUT and "__pycache__" not in inside and inside[0] != "wheels" and path.name[0] != "."


if __name__ == "__main__":
    main()
