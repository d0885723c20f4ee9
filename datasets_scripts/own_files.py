"""What may be replaced: a folder that holds nothing but files that we wrote, and that no input lies in.

A layout says what a command writes into its folder. A folder is one of ours if every file in it fits the layout and
one of its marks is there, which nobody else's folder has.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

# What a folder of data is known by; nothing else is written into one.
DATA_MARKS = ("store.json", "shards.json", "landscape.json")
_NUM_NAMED = 3  # files that an error names
_READ = 1 << 20  # bytes of a mark that are looked at
_HIDDEN = re.compile(r"\..+\.((partial|old)-[0-9a-f]{8}|lock)")  # what a killed process may leave: atomic.py's names


def check_own(path: Path, files: Collection[str], *, others: str, marks: Mapping[str, str] | None = None) -> None:
    """Refuse to replace a folder that is not ours; an empty one is nobody's.

    Args:
        path: the folder.
        files: what the command writes, paths below the folder or patterns of them such as `logos/*.png`; `*` stays
            within a name, and a last `**` takes all below.
        others: what any other file is called in the error.
        marks: files, one of which must be there and hold its text; None asks for none.

    Raises:
        FileExistsError: it holds other files, or no mark.
    """
    there = sorted(files_below(path))
    if found := [name for name in there if not any(fits(name, pattern) for pattern in files)]:
        more = f" and {len(found) - _NUM_NAMED} more" if len(found) > _NUM_NAMED else ""
        raise FileExistsError(
            f"{path} holds {others} ({', '.join(found[:_NUM_NAMED])}{more}), which --overwrite would delete; choose "
            "another folder, or move them away"
        )
    if there and marks is not None and not any(_has(path / name, text) for name, text in marks.items()):
        raise FileExistsError(
            f"{path} is not a folder that this command wrote (no {' or '.join(marks)} of ours), so --overwrite does "
            "not replace it: choose another name"
        )


def clear_own(path: Path, files: Collection[str]) -> None:
    """Delete what the command wrote, file by file, and the folders that are empty then; the folder itself stays."""
    for name in list(files_below(path)):
        if any(fits(name, pattern) for pattern in files) and not name.endswith(".lock"):  # which may be held
            (path / name).unlink(missing_ok=True)
    for folder, _, _ in os.walk(path, topdown=False):
        if Path(folder) != path and not any(Path(folder).iterdir()):
            Path(folder).rmdir()


def check_apart(output: str | Path, *inputs: str | Path | None) -> None:
    """Refuse an output that is an input, holds one, or lies in one.

    Args:
        output: file or folder to make.
        inputs: files and folders that are read; None, and what is no path here, such as a Hub id, is passed over.

    Raises:
        FileExistsError: it is.
    """
    made = Path(output).expanduser().resolve()
    for given in inputs:
        if given is None or not os.path.exists(read := Path(given).expanduser()):  # noqa: PTH110 - too long for a name
            continue
        there = read.resolve()
        if made == there:
            raise FileExistsError(f"{output} is what is read: choose another name for the output")
        if made in there.parents:
            raise FileExistsError(f"{output} holds {given}, which is read: choose another folder for the output")
        if there in made.parents:
            raise FileExistsError(f"{output} lies in {given}, which is read: choose a place outside it for the output")


def check_outside_data(output: str | Path) -> None:
    """Refuse an output inside a store, an export or a landscape folder, which hold their own files alone.

    Raises:
        FileExistsError: it lies in one.
    """
    for parent in Path(output).expanduser().resolve().parents:
        if mark := next((name for name in DATA_MARKS if (parent / name).is_file()), None):
            raise FileExistsError(f"{output} lies in the data folder {parent} (it holds {mark}): choose another")


def files_below(path: Path) -> Iterator[str]:
    """Yield the files below a folder, and the links, which are not followed, as paths from it."""
    for folder, folders, names in os.walk(path):
        here = Path(folder)
        for name in [*names, *(name for name in folders if (here / name).is_symlink())]:
            yield (here / name).relative_to(path).as_posix()


def fits(name: str, pattern: str) -> bool:
    """Tell whether a path fits a pattern, part by part."""
    parts, wanted = PurePosixPath(name).parts, PurePosixPath(pattern).parts
    if any(map(_HIDDEN.fullmatch, parts)):
        return True
    if wanted[-1] == "**":
        parts, wanted = parts[: len(wanted) - 1], wanted[:-1]
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _has(file: Path, text: str) -> bool:
    """Tell whether a file holds a text near its beginning."""
    try:
        with file.open("rb") as content:
            return text.encode() in content.read(_READ)
    except OSError:
        return False
