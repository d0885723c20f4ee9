"""What every command shares: the typer app, error sentences with exit code 2, progress bars, the device line.

Results go to standard output (a table, or JSON with `--json`); everything else goes to standard error.
"""

import functools
import json
import os
from collections.abc import Callable
from typing import Any

import typer
from huggingface_hub.errors import StrictDataclassError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

app = typer.Typer(
    name="chromhub",
    help="Models of chromatin accessibility: build data, train, fine-tune, evaluate, predict, share.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
err = Console(stderr=True, highlight=False)
out = Console(highlight=False)


def command(group: typer.Typer = app, name: str | None = None) -> Callable:
    """Register a function as a command whose bad input ends in one sentence and exit code 2.

    ValueError and OSError are what the rooms raise at their doors; set CHROMHUB_TRACEBACK=1 to see where.
    Ctrl-C ends with exit code 130.
    """

    def register(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except KeyboardInterrupt:
                err.print("[yellow]interrupted[/]: nothing was left half-written")
                raise typer.Exit(130) from None
            except (ValueError, OSError, StrictDataclassError) as error:
                if os.environ.get("CHROMHUB_TRACEBACK") == "1":
                    raise
                err.print("error: " + " ".join(str(error).split()), style="red", markup=False, soft_wrap=True)
                raise typer.Exit(2) from None

        return group.command(name)(wrapped)

    return register


def progress() -> Progress:
    """Return a progress display on standard error, gone when it ends; none where that is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,  # elsewhere it would leave an empty line
    )


def say(text: str) -> None:
    """Print one line of narration to standard error."""
    err.print(text, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print `value` as JSON on standard output, the only thing there."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))
