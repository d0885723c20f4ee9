"""What every command shares: the typer app, error sentences with exit code 2, progress bars, the device line.

Results go to standard output (a table, or JSON with `--json`); everything else goes to standard error.
"""

import errno
import functools
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from huggingface_hub.errors import StrictDataclassError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .output_guard import check_arguments

app = typer.Typer(
    name="chromhub",
    help="Models of chromatin accessibility: build data, train, fine-tune, evaluate, predict, share.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# Names of runs, tracks and files are shown as they are: `[rep1]` is no markup and `:x:` no picture.
err = Console(stderr=True, highlight=False, markup=False, emoji=False)
out = Console(highlight=False, markup=False, emoji=False)
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
_PARTIAL = re.compile(r"\.(.+)\.(?:partial|old|lock)(?:-.+)?")  # datasets_scripts/atomic.py's names


def command(group: typer.Typer = app, name: str | None = None) -> Callable:
    """Register a function as a command whose bad input ends in one sentence and exit code 2.

    Bad input raises ValueError or OSError. Whatever else a damaged file makes of the code ends here too, with the
    file's name; set CHROMHUB_TRACEBACK=1 to see where. Ctrl-C ends with exit code 130; a reader that has gone, as of
    `| head`, ends it without a word. Options that are numbers must be finite.
    """

    def register(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            try:
                check_arguments(kwargs)
                check_finite(kwargs)
                return function(*args, **kwargs)
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
                raise typer.Exit(141) from None  # as the shell says it: 128 + SIGPIPE
            except KeyboardInterrupt:
                err.print("interrupted: nothing was left half-written", style="yellow")
                raise typer.Exit(130) from None
            except (typer.Exit, typer.Abort):
                raise
            except Exception as error:
                if os.environ.get("CHROMHUB_TRACEBACK") == "1":
                    raise
                expected = isinstance(error, (ValueError, OSError, StrictDataclassError))
                text = sentence(error) if expected else unexpected(error, kwargs.values())
                err.print("error: " + text, style="red", soft_wrap=True)
                raise typer.Exit(2) from None

        return group.command(name)(wrapped)

    return register


def check_finite(options: Mapping[str, Any]) -> None:
    """Refuse options that are NaN or infinite, which no minimum keeps out."""
    for name, value in options.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"--{name.replace('_', '-')} must be a finite number, got {number}")


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


def unexpected(error: Exception, given: Iterable[Any]) -> str:
    """Return an error that no door foresaw as one sentence, which names the file that was being read.

    Args:
        error: with its traceback.
        given: what the command was given; named where the code that failed held no path of a file.
    """
    files: list[Path] = []
    trace = error.__traceback__
    while trace is not None:  # from the command inwards: the last path is the nearest
        held = trace.tb_frame.f_locals.values()
        files += [value for value in held if isinstance(value, Path) and value.is_file()]
        trace = trace.tb_next
    paths = [str(path) for path in files[-1:]] or [str(item) for item in _flat(given) if _exists(item)]
    what = ", ".join(paths) or "what was given"
    why = " ".join(f"{type(error).__name__} {error}".split())[:300]
    return (
        f"{what} cannot be used ({why}): it may be damaged, so restore it or make it anew; if it is whole, this is a "
        "fault of chromhub, and CHROMHUB_TRACEBACK=1 shows where"
    )


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from value
        elif value:
            yield value


def _exists(value: Any) -> bool:
    try:
        return isinstance(value, (str, Path)) and Path(value).exists()
    except (OSError, ValueError):  # no name of a file
        return False


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


def warn(texts: Iterable[str]) -> None:
    """Print warnings to standard error, each once."""
    for text in dict.fromkeys(texts):
        err.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print `value` as JSON on standard output, the only thing there."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))
