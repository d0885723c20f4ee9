"""Outputs that appear under their name only when they are whole.

Everything is written beside its place, as `.NAME.partial-PID`, and renamed at the end. An error, a full disk or Ctrl-C
removes the partial file or folder and leaves what stood there before. A folder that takes long to fill may be a
`resumable_folder`: what a killed run leaves in `.NAME.partial` is taken up by the next.
"""

import errno
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two builds of one folder at the same time go unnoticed
    fcntl = None

_LOCK = ".lock"


def check_output(path: str | Path, overwrite: bool = False) -> Path:
    """Return `path`, which must be free unless `overwrite`.

    Raises:
        FileExistsError: something of that name exists.
    """
    path = Path(path)
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"{path} already exists: choose another name or give --overwrite to replace it")
    return path


def check_own_folder(path: str | Path, overwrite: bool, files: Collection[str], *, others: str = "other files") -> Path:
    """Return a folder to make, which may be replaced only if it holds nothing but what the command itself writes.

    Args:
        path: the folder.
        overwrite: replace an existing one.
        files: names that the command writes, or patterns such as `decay_*.png`.
        others: what any other file is called in the error.

    Raises:
        FileExistsError: it exists and `overwrite` is not given, or it holds other files.
    """
    path = check_output(path, overwrite)
    there = sorted(file.name for file in path.iterdir()) if path.is_dir() else []
    if found := [name for name in there if not any(fnmatch(name, pattern) for pattern in files)]:
        raise FileExistsError(
            f"{path} holds {others} ({', '.join(found[:3])}), which --overwrite would delete; choose another folder"
        )
    return path


@contextmanager
def finished_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a path to write to; it becomes `path` when the block ends well and is deleted when it does not.

    Raises:
        FileExistsError: `path` exists and `overwrite` is not given, or it is a folder.
    """
    path = check_output(path, overwrite)
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder, but a file is to be written there: choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path, "partial")
    try:
        with _naming(path):
            yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def finished_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes `path` when the block ends well and is deleted when it does not.

    With `overwrite`, the old folder stays in place until the new one is whole.

    Raises:
        FileExistsError: `path` exists and `overwrite` is not given, or it is a file.
    """
    path = check_output(path, overwrite)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file, but a folder is to be written there: choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path, "partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed process of the same number
    partial.mkdir()
    try:
        with _naming(path):
            yield partial
        _put_in_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def resumable_folder(path: str | Path, overwrite: bool = False, *, worth_keeping: Callable[[], bool]) -> Iterator[Path]:
    """Yield `.NAME.partial`, with what an earlier run left in it; it becomes `path` when the block ends well.

    Args:
        path: the folder to make.
        overwrite: replace an existing one, which stays in place until the new one is whole.
        worth_keeping: asked after an error or Ctrl-C; the partial folder is deleted unless it is.

    Raises:
        FileExistsError: `path` exists and `overwrite` is not given, it is a file, or another process is filling it.
    """
    path = check_output(path, overwrite)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file, but a folder is to be written there: choose another name")
    partial = partial_of(path)
    partial.mkdir(parents=True, exist_ok=True)
    with _locked(partial, path):
        try:
            with _naming(path):
                yield partial
        except BaseException:
            if not worth_keeping():
                shutil.rmtree(partial, ignore_errors=True)
            raise
        (partial / _LOCK).unlink(missing_ok=True)
        _put_in_place(partial, path)


def partial_of(path: str | Path) -> Path:
    """Return where `resumable_folder` fills a folder."""
    path = Path(path).resolve()
    return path.with_name(f".{path.name}.partial")


@contextmanager
def _locked(partial: Path, path: Path) -> Iterator[None]:
    """Hold a partial folder for this process, until it ends at the latest."""
    if fcntl is None:
        yield
        return
    with (partial / _LOCK).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FileExistsError(f"another process is making {path} right now: wait for it, or stop it") from None
        yield


def _put_in_place(partial: Path, path: Path) -> None:
    """Rename a folder that is whole; the one it replaces is deleted after that."""
    old = _beside(path, "old")
    if path.is_dir():
        path.replace(old)
    try:
        partial.replace(path)
    except BaseException:
        if old.is_dir():
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say what was being written when the disk ran full, which the system's own error does not."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OSError(
            error.errno, f"{error.strerror} while writing {path}: free some space and run it again"
        ) from error


def _beside(path: Path, role: str) -> Path:
    """Return the hidden sibling of `path` that this process uses for `role`."""
    return path.resolve().with_name(f".{path.resolve().name}.{role}-{os.getpid()}")
