"""Text is UTF-8 wherever it is opened: what the locale says (ASCII under C) is never asked."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("datasets_scripts", "modeling", "inference", "finetune", "hub_models", "cli", "model_cards", "src")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
_TEXT = {"read_text": 0, "write_text": 1}  # position of `encoding`
_BINARY = ("os", "pyBigWig", "pybigtools", "HfFileSystem()")  # what opens bytes
_OPENERS = {"open", "fdopen", "NamedTemporaryFile", "TemporaryFile", "TextIOWrapper"}


def opens_without_encoding(source: str) -> Iterator[ast.Call]:
    """Yield calls that open text and name no encoding; a class's own `open`, as `GenomeStore.open`, is none."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(key.arg in ("encoding", None) for key in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _TEXT:
            if len(node.args) <= _TEXT[name]:
                yield node
        elif name in _OPENERS:
            owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            of_class = owner in _BINARY or (owner.isidentifier() and owner[0].isupper())
            modes = [*node.args, *(key.value for key in node.keywords if key.arg == "mode")]
            texts = [arg.value for arg in modes if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            binary = any("b" in text and set(text) <= set("rwxab+") for text in texts)
            default_binary = "TemporaryFile" in name and not texts
            if not (of_class or binary or default_binary):
                yield node


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("path.read_text()", 1),
        ("path.read_text(encoding='utf-8')", 0),
        ("path.write_text('a')", 1),
        ("path.open()", 1),
        ("path.open('rb')", 0),
        ("open(name, 'w')", 1),
        ("open(name, mode='xb')", 0),
        ("path.open(newline='', **OPTIONS)", 0),
        ("GenomeStore.open(path)", 0),
    ],
)
def test_what_opens_text(source, number) -> None:
    assert len(list(opens_without_encoding(source))) == number


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_text_file_is_opened_with_its_encoding(path) -> None:
    found = [node.lineno for node in opens_without_encoding(path.read_text(encoding="utf-8"))]
    assert not found, f"{path.relative_to(ROOT)}, lines {found}: give encoding='utf-8'"
