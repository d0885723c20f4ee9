"""What every command shares."""

import math
import subprocess
import sys

import pytest
import typer
from chromhub.cli.console import check_finite, command, out, say, warn
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
