"""One look at every command's arguments: no output may be an input, or a folder that an input lies in."""

import os.path
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..datasets_scripts.own_files import check_apart

_OUTPUTS = ("output", "to_folder", "figure", "figures")


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of a command that would replace an input, or a folder that holds one.

    Args:
        arguments: of the command, by name.

    Raises:
        FileExistsError: it is.
    """
    if not arguments.get("overwrite"):  # then nothing that exists is replaced
        return
    outputs = [value for name in _OUTPUTS if isinstance(value := arguments.get(name), Path)]
    for output in filter(_is_there, outputs):
        made = output.resolve()
        for name, value in arguments.items():
            for given in _paths(value) if name not in _OUTPUTS else ():
                there = given.resolve()
                if made in there.parents or (made == there and not made.is_dir()):  # of a folder its command says more
                    check_apart(output, given)


def _paths(value: Any) -> Iterator[Path]:
    """Yield the files and folders that an argument names, as PATH or NAME=PATH, alone or in a list."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _paths(item)
    elif isinstance(value, (str, Path)):
        for text in {str(value), str(value).partition("=")[2]}:
            if text and "\0" not in text and not text.startswith("~") and _is_there(Path(text)):
                yield Path(text)


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - of a text too long for a name, Path.exists raises
