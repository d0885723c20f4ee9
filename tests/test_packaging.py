"""pyproject.toml tells the truth: every room is installed, every import is declared."""

import ast
import re
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[ \[<>=!~;]", name)[0]).lower()


def test_every_room_is_a_package_of_chromhub() -> None:
    setuptools = PROJECT["tool"]["setuptools"]
    assert sorted(setuptools["packages"]) == sorted(["chromhub", *(f"chromhub.{room}" for room in ROOMS)])
    expected = {"chromhub": "src/chromhub"} | {f"chromhub.{room}": room for room in ROOMS}
    assert setuptools["package-dir"] == expected


def test_every_import_is_declared() -> None:
    declared = {normal(requirement) for requirement in PROJECT["project"]["dependencies"]}
    for extra in ("interpret", "bam", "contacts", "convert", "jaspar"):
        declared |= {normal(requirement) for requirement in PROJECT["project"]["optional-dependencies"][extra]}
    distributions = metadata.packages_distributions()
    undeclared = {}
    for room in ROOMS:
        for path in (ROOT / room).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.level == 0:
                    names = [node.module or ""]
                for name in {name.split(".")[0] for name in names} - sys.stdlib_module_names:
                    if not declared & {normal(distribution) for distribution in distributions.get(name, [name])}:
                        undeclared.setdefault(name, set()).add(f"{room}/{path.name}")
    assert undeclared == {}


def test_every_extra_that_a_message_names_is_there() -> None:
    named = {
        (extra, f"{room}/{path.name}")
        for room in ROOMS
        for path in (ROOT / room).glob("*.py")
        for extras in re.findall(r"chromhub\[([\w,]+)\]", path.read_text())
        for extra in extras.split(",")
    }
    assert {"bam", "contacts", "convert", "interpret"} <= {extra for extra, _ in named}
    known = PROJECT["project"]["optional-dependencies"]
    assert [place for place in sorted(named) if place[0] not in known] == []


def test_data_files_are_found_through_the_package() -> None:
    assert resources.files("chromhub.model_cards").joinpath("card.md.jinja").is_file()
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    shipped = {path.suffix for room in ROOMS for path in (ROOT / room).iterdir() if path.is_file()} - {".py"}
    assert shipped <= {Path(pattern).suffix for pattern in patterns}, "a data file of a room is not in package-data"
