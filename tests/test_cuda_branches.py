"""Code that runs on CUDA alone is run by no CI: each such branch has a test that says so in a comment.

A comment reads `# CUDA branch: FOLDER/FILE FUNCTION`, above the test that covers it: on a card, or on a machine that
only says that it has one.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = sorted(path.parent for path in ROOT.glob("*/__init__.py"))
_COMMENT = re.compile(r"^ *# CUDA branch: (\S+ \S+)$", re.MULTILINE)


def branches(node: ast.AST, function: str = "") -> Iterator[str]:
    """Yield the innermost function around each "cuda" and "cuda:N" of a program, as often as there is one."""
    if isinstance(node, ast.FunctionDef):
        function = node.name
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"cuda(:.*)?", node.value):
        yield function
    for child in ast.iter_child_nodes(node):
        yield from branches(child, function)


def test_a_branch_is_seen():
    source = "def f(device):\n    def g():\n        return device.type == 'cuda'\n    return f'cuda:{g()}'\n# 'cuda'\n"
    assert list(branches(ast.parse(source))) == ["g", "f"]


def test_every_branch_has_a_test_that_names_it():
    there = {
        f"{room.name}/{path.name} {function}"
        for room in ROOMS
        for path in sorted(room.glob("*.py"))
        for function in branches(ast.parse(path.read_text()))
    }
    named = {place for path in (ROOT / "tests").rglob("*.py") for place in _COMMENT.findall(path.read_text())}
    assert there == named
    assert len(there) >= 10
