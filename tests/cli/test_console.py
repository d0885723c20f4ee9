"""The last net: what no door foresaw still ends in one sentence, which names the file."""

from pathlib import Path

import pytest
import typer
from chromhub.cli.console import command, out, unexpected
from typer.testing import CliRunner


def fail(error: Exception, *given: object, held: Path | None = None) -> str:
    """Return the sentence of an error raised where `held` was being read."""
    kept = held
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - as the net does
        del error, held
        sentence = unexpected(caught, given)
    assert kept is None or kept.is_file()
    return sentence


def test_the_file_that_was_read_is_named(tmp_path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    sentence = fail(KeyError("results"), "run", held=tmp_path / "metrics.json")
    assert sentence.startswith(f"{tmp_path / 'metrics.json'} cannot be used (KeyError 'results'): it may be damaged")


def test_else_what_was_given_is_named(tmp_path) -> None:
    sentence = fail(RecursionError("too deep"), str(tmp_path), None, "", ["none"], 5)
    assert sentence.startswith(f"{tmp_path} cannot be used (RecursionError too deep)")
    assert fail(MemoryError()).startswith("what was given cannot be used (MemoryError)")


@pytest.mark.parametrize(
    ("error", "code"), [(KeyError("x"), 2), (ValueError("no"), 2), (EOFError(), 2), (typer.Exit(3), 3)]
)
def test_every_error_ends_the_command(error, code) -> None:
    app = typer.Typer()

    @command(app, "go")
    def go() -> None:
        raise error

    result = CliRunner().invoke(app, [])
    assert result.exit_code == code
    assert ("error: " in result.stderr) is (code == 2)


def test_names_are_no_markup(capsys) -> None:
    out.print("run[/b] [rep1] :x:")
    assert capsys.readouterr().out == "run[/b] [rep1] :x:\n"
