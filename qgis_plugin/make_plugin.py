"""Packs the QGIS plugin: its files, the licence, and SR Geo itself as a wheel that Set up installs. Used by `make plugin`."""

import argparse
import configparser
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLUGIN = HERE / "sr_geo_plugin"
LARGEST = 25_000_000
"""Bytes that the plugin site accepts."""
COMPILED = (".so", ".pyd", ".dll", ".dylib", ".exe", ".pyc")
LEFT_OUT = (".ts", ".pyc")
"""Sources of translations, and what Python leaves behind."""
MOMENT = (2026, 1, 1, 0, 0, 0)
"""Date of all files in the zip, so that the same tree gives the same zip."""


def main() -> None:
    """Write ``sr_geo_plugin-VERSION.zip``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE.parent / "dist", help="where to write; default: dist/")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as wheels:
        path = pack(folder, build_wheel(Path(wheels)))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


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


def pack(folder: Path, wheel: Path) -> Path:
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
            archive.writestr(entry, file.read_bytes())
    if path.stat().st_size > LARGEST:
        raise SystemExit(f"{path}: {path.stat().st_size} bytes, the plugin site takes {LARGEST}")
    return path


def wanted(path: Path) -> bool:
    """Whether a file of the plugin's folder belongs into the zip."""
    inside = path.relative_to(PLUGIN).parts
    return path.is_file() and path.suffix not in LEFT_OUT and "__pycache__" not in inside and inside[0] != "wheels" and path.name[0] != "."


if __name__ == "__main__":
    main()
