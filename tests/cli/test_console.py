"""What every command shares; of its last net, that what no door foresaw still ends in one sentence."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from chromhub.cli.console import check_finite, command, out, say, unexpected, warn
from typer.testing import CliRunner


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [0.5, math.nan]])
def test_numbers_must_be_finite(value) -> None:
    with pytest.raises(ValueError, match=r"--min-signal must be a finite number, got (nan|-?inf)"):
        check_finite({"name": "nan", "min_signal": value})


def test_a_command_refuses_nan() -> None:
    app = typer.Typer()

    @command(app)
    def scale(by: float = 1.0) -> None:
        typer.echo(f"by {by}")

    assert CliRunner().invoke(app, ["--by", "2"]).stdout == "by 2.0\n"
    result = CliRunner().invoke(app, ["--by", "nan"])
    assert (result.exit_code, result.stderr) == (2, "error: --by must be a finite number, got nan\n")


def test_a_place_is_no_picture(capsys) -> None:
    say("chr1:x: :smile:")
    warn(["run :x:", "run :x:"])
    out.print("chr1:x:")
    found = capsys.readouterr()
    assert found.err == "chr1:x: :smile:\nwarning: run :x:\n"
    assert found.out == "chr1:x:\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGPIPE")
def test_a_reader_that_has_gone_ends_a_command_quietly() -> None:
    code = (
        "import typer\nfrom chromhub.cli.console import command\napp = typer.Typer()\n"
        "@command(app)\ndef lines() -> None:\n    for i in range(100_000):\n        print(i, flush=True)\napp()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 141


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
