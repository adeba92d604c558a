"""Rules about the repository as a whole."""

import ast
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sr_geo
from tests.test_cli import check_command

HEAVY = ("rasterio", "onnxruntime", "geopandas", "pandas", "pyogrio", "torch", "scipy", "jinja2", "PIL")

# Written in pieces, so that this file does not match itself.
PRIVATE = re.compile(
    "|".join(
        [
            r"/" + r"work/",
            r"/" + r"farm/",
            r"/" + r"opt/(?:pypi|wheels)",
            r"(?<![\w.])/" + r"(?:home|Users)/\w+/",
            r"[A-Z]:\\" + r"Users\\",
            r"python" + r"hosted",
            r"registry\." + r"npmjs",
            r"deb\." + r"debian\.org",
        ]
    )
)
PACKAGE = Path(sr_geo.__file__).parent
MODULES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[Path]:
    """Files that git tracks, or would after `git add --all`."""
    command = ["git", "-C", str(repository), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    paths = {repository / name for name in listing.stdout.split("\0") if name}
    return sorted(path for path in paths if path.is_file())


def test_no_tracked_file_is_larger_than_10_mb(tracked: list[Path]) -> None:
    assert [path for path in tracked if path.stat().st_size > 10_000_000] == []


def test_no_text_names_a_machine_or_a_registry(tracked: list[Path]) -> None:
    found = []
    for path in tracked:
        content = path.read_bytes()
        if b"\0" in content[:8192]:
            continue
        for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
            if PRIVATE.search(line):
                found.append(f"{path}:{number}: {line.strip()[:100]}")
    assert found == []


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_every_module_says_what_it_is(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_only_the_command_line_prints(module: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    prints = [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
    assert "cli" in module.relative_to(PACKAGE).parts or prints == []


NOT_IMPORTED = {
    "fontpkg_barlow_condensed",  # read as files
    "fontpkg_barlow_semi_condensed",
    "fontpkg_overpass",
    "fontpkg_roboto_condensed",
    "fontpkg_saira_condensed",
    "tensorboard",  # by way of torch.utils.tensorboard
    "torchvision",  # by spandrel and timm
}
"""Packages that training needs without importing them by name."""


def third_party(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names: set[str] = set()
    for node in tree:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"sr_geo"}


def test_what_is_imported_is_required_and_the_other_way_round(repository: Path) -> None:
    tomllib = pytest.importorskip("tomllib", reason="part of Python from 3.11 on")
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def modules(requirements: list[str]) -> set[str]:
        names = {re.split(r"[^\w.-]", text, maxsplit=1)[0].lower() for text in requirements}
        return {{"pillow": "PIL", "pyyaml": "yaml", "dlib-bin": "dlib"}.get(name, name.replace("-", "_")) for name in names}

    extras = {name: modules(requirements) for name, requirements in project["optional-dependencies"].items()}
    light, train = modules(project["dependencies"]), extras["train"]
    used = {name: third_party(path) for name, path in MODULES.items()}
    used_light = set().union(*(names for name, names in used.items() if not name.startswith("train/")))
    used_train = set().union(*(names for name, names in used.items() if name.startswith("train/")))
    assert light <= used_light
    offered = set().union(*(names for name, names in extras.items() if name not in {"train", "dev"}))
    assert used_light - light <= offered, "what only some need is in an extra"
    assert train - NOT_IMPORTED <= used_train
    assert used_train - light <= set().union(*extras.values()), "what training can use is in an extra"


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, sr_geo; print(*(set(sys.modules) & set({HEAVY!r})))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.split() == []


def test_the_public_api_is_short() -> None:
    assert len(Path(sr_geo.__file__).read_text(encoding="utf-8").splitlines()) < 40


def test_every_public_name_can_be_had() -> None:
    assert [name for name in getattr(sr_geo, "__all__", ()) if not hasattr(sr_geo, name)] == []


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("CHANGELOG.md", r"^## \[?{version}\]?"), ("CITATION.cff", r"^version: ['\"]?{version}['\"]?$")],
)
def test_documents_know_the_version(repository: Path, name: str, pattern: str) -> None:
    expected = pattern.format(version=re.escape(sr_geo.__version__))
    assert re.search(expected, (repository / name).read_text(encoding="utf-8"), flags=re.MULTILINE)


PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/enhance.md",
    "docs/evaluate.md",
    "docs/identify.md",
    "docs/image.md",
    "docs/install.md",
    "docs/medical.md",
    "qgis_plugin/README.md",
    "sample_data/README.md",
)


def blocks(page: Path, language: str) -> list[str]:
    """The code on a page, fence by fence."""
    text = page.read_text(encoding="utf-8")
    return [textwrap.dedent(block) for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)]


@pytest.mark.parametrize("name", PAGES)
def test_commands_on_a_page_are_real(repository: Path, name: str) -> None:
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    for line in "".join(blocks(repository / name, "sh")).splitlines():
        if line.startswith("sr-geo "):
            check_command(line)
        elif line.startswith("make "):
            assert {word for word in line.split("#")[0].split()[1:] if "=" not in word} <= targets, line


def test_readme_shows_a_picture(repository: Path) -> None:
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", (repository / "README.md").read_text(encoding="utf-8"))
    path = repository / picture
    assert path.stat().st_size <= 600_000
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > 900


def test_readme_has_the_two_commands(repository: Path) -> None:
    first, *_ = blocks(repository / "README.md", "sh")
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]


def test_python_on_the_readme_runs(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(repository / "sample_data" / "rendered_farm.tif", tmp_path / "scene.tif")
    shutil.copy(repository / "sample_data" / "rendered_farm_parcels.geojson", tmp_path / "fields.gpkg")  # GDAL looks at the content
    monkeypatch.chdir(tmp_path)
    (example,) = blocks(repository / "README.md", "python")
    names: dict[str, Any] = {"bands": np.full((4, 12, 10), 0.2, np.float32), "print": lambda *words: None}
    exec(example, names)
    assert names["fine"].shape == (4, 48, 40)
    assert len(names["result"].rows) == 17
    assert (tmp_path / "scene_x4.tif").exists()


def test_links_between_documents_lead_somewhere(repository: Path, tracked: list[Path]) -> None:
    dead = []
    for page in (path for path in tracked if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
                dead.append(f"{page.relative_to(repository)} → {target}")
    assert dead == []


def anchors(page: str) -> set[str]:
    """What a heading of a page can be named by, as web pages of repositories do it."""
    plain = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", plain, re.MULTILINE)}


def test_links_to_headings_lead_to_one(repository: Path, tracked: list[Path]) -> None:
    dead = []
    for page in (path for path in tracked if path.suffix == ".md"):
        for name, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
            target = page.parent / name if name else page
            if target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8")):
                dead.append(f"{page.relative_to(repository)} → {name}#{anchor}")
    assert dead == []
