"""README says what the results files and the command line say."""

import importlib.util
import re
from pathlib import Path

import pytest
import typer
from chromhub.cli import app

ROOT = Path(__file__).parent.parent
_spec = importlib.util.spec_from_file_location("render_readme", ROOT / "benchmarks" / "render_readme.py")
render_readme = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(render_readme)


@pytest.mark.parametrize("document", render_readme.DOCUMENTS, ids=lambda document: document.name)
def test_tables_are_what_the_results_say(document):
    text = document.read_text()
    assert render_readme.render(text) == text, "run python benchmarks/render_readme.py"


def test_every_table_has_its_place():
    text = "".join(document.read_text() for document in render_readme.DOCUMENTS)
    assert sorted(re.findall(r"<!-- begin: (\S+) -->", text)) == sorted(render_readme.TABLES)


def test_commands_and_flags_in_readme_exist():
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    root = typer.main.get_command(app)
    lines = [line.split() for line in re.findall(r"^    chromhub (.+)$", text, re.MULTILINE)]
    assert len(lines) >= 10
    for words in lines:
        command = root
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word for word in words if word.startswith("-") and not word[1:2].isdigit()}
        assert used <= known, f"{command.name}: {used - known}"
