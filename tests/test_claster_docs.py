"""docs/claster.md says what the results file says, and its commands exist."""

import importlib.util
import json
import re
from pathlib import Path

import typer
from chromhub.cli import app

ROOT = Path(__file__).parent.parent
_spec = importlib.util.spec_from_file_location("claster_yeast", ROOT / "benchmarks" / "claster_yeast.py")
claster_yeast = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(claster_yeast)
TEXT = (ROOT / "docs" / "claster.md").read_text()


def test_the_table_is_what_the_results_say():
    results = json.loads((ROOT / "benchmarks" / "results" / "claster_yeast.json").read_text())
    assert claster_yeast.table(results) in TEXT, "run python benchmarks/claster_yeast.py"


def test_commands_and_flags_exist():
    root = typer.main.get_command(app)
    lines = re.findall(r"^    chromhub (.+)$", TEXT.replace("\\\n", " "), re.MULTILINE)
    assert len(lines) == 7
    for words in map(str.split, lines):
        command = root
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, command.name
