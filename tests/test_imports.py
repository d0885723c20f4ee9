"""The street runs one way, and modeling/ can travel alone."""

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from transformers.dynamic_module_utils import get_relative_imports

ROOT = Path(__file__).parents[1]
# What each room may import from; later rooms see the earlier ones, never the other way.
STREET = {
    "datasets_scripts": set(),
    "modeling": set(),
    "inference": {"datasets_scripts", "modeling"},
    "finetune": {"datasets_scripts", "modeling", "inference"},
    "hub_models": {"datasets_scripts", "modeling", "inference", "finetune"},
    "cli": {"datasets_scripts", "modeling", "inference", "finetune", "hub_models"},
    "model_cards": set(),
}
TRAVELS_WITH = {"torch", "transformers", "huggingface_hub", "numpy"}
FILES = [pytest.param(path, id=f"{room}/{path.name}") for room in STREET for path in sorted((ROOT / room).glob("*.py"))]
MODELING = [param for param in FILES if "modeling/" in str(param.id)]


class Import(NamedTuple):
    """One imported module, `chromhub.inference.load`, and the names taken from it ([] for a plain import)."""

    module: str
    names: list[str]
    level: int  # leading dots


def imports(path: Path, source: str | None = None) -> Iterator[Import]:
    """Yield what a file imports, wherever in the file, relative imports made absolute."""
    for node in ast.walk(ast.parse(source if source is not None else path.read_text())):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, [], 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ["chromhub", path.parent.name][: 3 - node.level] if node.level else []
            yield Import(".".join([*package, *filter(None, [node.module])]), [a.name for a in node.names], node.level)


def wrong_edges(path: Path, source: str | None = None) -> list[str]:
    """Return the imports of a file that leave its room for one it may not see."""
    wrong = []
    for module, names, _ in imports(path, source):
        root, *rest = module.split(".")
        if root != "chromhub":
            continue
        # `from .. import __version__` takes no room; `from .. import inference` takes one.
        rooms = rest[:1] or [name for name in names if name != "__version__"] or (["chromhub"] if not names else [])
        wrong += [room for room in rooms if room != path.parent.name and room not in STREET[path.parent.name]]
    return wrong


@pytest.mark.parametrize("path", FILES)
def test_a_room_imports_only_rooms_before_it(path: Path) -> None:
    assert wrong_edges(path) == []


@pytest.mark.parametrize(
    "source",
    [
        "from ..hub_models.card import render_card",
        "from chromhub.cli import app",
        "import chromhub.finetune.train",
        "from .. import hub_models",
        "def later():\n    from ..finetune import recipe",
        "import chromhub",
    ],
)
def test_a_wrong_import_is_seen(source: str) -> None:
    assert wrong_edges(ROOT / "inference" / "load.py", source)
    assert not wrong_edges(
        ROOT / "inference" / "load.py", "from ..modeling import AtacConfig\nfrom .. import __version__"
    )


@pytest.mark.parametrize("path", MODELING)
def test_modeling_imports_only_what_is_there_without_chromhub(path: Path) -> None:
    siblings = {f"chromhub.modeling.{file.stem}" for file in path.parent.glob("*.py")}
    for module, names, level in imports(path):
        if level:
            # transformers copies code by a regular expression that understands `from .sibling import name` alone.
            assert (level, module in siblings, bool(names)) == (1, True, True), f"{'.' * level}{module}"
        else:
            assert module.split(".")[0] in TRAVELS_WITH | sys.stdlib_module_names, module


@pytest.mark.parametrize("path", MODELING)
def test_the_copier_sees_what_python_imports(path: Path) -> None:
    # A docstring line that begins `from .x import` would be copied too, or fail.
    siblings = {module.removeprefix("chromhub.modeling.") for module, _, level in imports(path) if level}
    assert set(get_relative_imports(path)) == siblings


@pytest.mark.parametrize("room", STREET)
def test_no_circle_within_a_room(room: str) -> None:
    prefix = f"chromhub.{room}"
    graph: dict[str, set[str]] = {}
    for path in sorted((ROOT / room).glob("*.py")):
        if path.name == "__init__.py":
            continue
        taken = set()
        for module, names, _ in imports(path):
            if module == prefix:  # from . import name
                taken |= set(names)
            elif module.startswith(prefix + "."):
                taken.add(module.removeprefix(prefix + ".").split(".")[0])
        graph[path.stem] = taken & {file.stem for file in path.parent.glob("*.py")}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_named_for_its_idea(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "common", "misc"}
    assert path.stem not in sys.stdlib_module_names
