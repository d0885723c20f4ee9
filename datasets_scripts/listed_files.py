"""Names of files that a file lists: each must lie inside the folder of that list, whoever wrote it."""

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any


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
