"""Names of files that a file lists: each must lie inside the folder of that list, whoever wrote it."""

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any


def listed_file(folder: Path, name: Any, *, listed_in: str | Path) -> Path:
    """Return the path of a file that a list names.

    Args:
        folder: where the list and its files lie.
        name: as the list has it, relative to `folder`, with `/` between its parts.
        listed_in: the list, for the error.

    Raises:
        ValueError: it is no name of a file inside the folder.
    """
    check_listed(name, listed_in=listed_in)
    return folder / name


def check_listed(name: Any, *, listed_in: str | Path) -> None:
    """Refuse a name that leads out of the folder of its list.

    Raises:
        ValueError: it is absolute, goes up, is empty or no text.
    """
    safe = (
        isinstance(name, str)
        and bool(PurePosixPath(name).parts)
        and "\0" not in name
        and "\\" not in name
        and not PurePosixPath(name).is_absolute()
        and not PureWindowsPath(name).drive
        and ".." not in PurePosixPath(name).parts
    )
    if not safe:
        shown = name if isinstance(name, str) and len(name) < 200 else f"a {type(name).__name__}"
        raise ValueError(
            f"{listed_in} names {shown!r}, which is no file inside its folder: it is damaged or not to be trusted; get "
            "it again from where it was made"
        )


def is_inside(folder: Path, path: Path) -> bool:
    """Tell whether a path, its links followed but for the last, lies below a folder, its links followed."""
    return folder.resolve() in [(path.parent.resolve() / path.name), *(path.parent.resolve() / path.name).parents][1:]
