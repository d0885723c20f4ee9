"""What every command shares: the typer app, error sentences with exit code 2, progress bars, the device line.

Results go to standard output (a table, or JSON with `--json`); everything else goes to standard error.
"""

import errno
import functools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

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
# of each command that predicts from sequence
OneStrand = Annotated[
    bool,
    typer.Option(
        "--one-strand", help="Predict the given strand alone, in about half the time.  [default: both, averaged]"
    ),
]

# of each command that trains, or predicts what is compared with signal
Bf16 = Annotated[
    bool | None,
    typer.Option(
        "--bf16/--no-bf16",
        help="Compute in bfloat16, equal to about two digits, or in float32.  [default: bfloat16 on CUDA alone]",
    ),
]

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_REMEDIES = {
    errno.ENOTDIR: "a part of that path is a file, so give another",
    errno.EMFILE: "allow more of them, as by `ulimit -n 8192`",
}
_PARTIAL = re.compile(r"\.(.+)\.(?:partial|old)(?:-.+)?")  # datasets_scripts/atomic.py's names


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
                err.print("error: " + sentence(error), style="red", markup=False, soft_wrap=True)
                raise typer.Exit(2) from None

        return group.command(name)(wrapped)

    return register


def sentence(error: Exception) -> str:
    """Return an error as one sentence; where the system refuses a file it says what to do, as the system does not."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        return f"{text}: {_REMEDIES[error.errno]}"
    if not isinstance(error, OSError) or error.errno not in _REFUSED:
        return text
    name = error.filename if error.filename2 is None else error.filename2
    if name is None or isinstance(name, int):  # a library's own sentence
        return f"{text}: ask its owner for the right, or give another"
    path, why = Path(os.fsdecode(name)), (error.strerror or "refused").lower()
    if os.path.lexists(path) and error.filename2 is None and error.errno != errno.EROFS:
        return f"{path} may not be read ({why}): ask its owner for the right to, or give a copy of yours"
    target = next((p.with_name(_PARTIAL.sub(r"\1", p.name)) for p in path.parents if _PARTIAL.fullmatch(p.name)), path)
    target = target.with_name(_PARTIAL.sub(r"\1", target.name))
    folder = next((str(parent) for parent in target.parents if parent.is_dir()), ".")
    return (
        f"{target} may not be reached or written ({why}): ask for the right to the folder {folder}, or choose another"
    )


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
