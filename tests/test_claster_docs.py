"""The commands of docs/claster.md exist."""

import re
from pathlib import Path

import typer
from chromhub.cli import app

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "claster.md").read_text()


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
