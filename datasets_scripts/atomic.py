"""Outputs that appear under their name only when they are whole.

Everything is written beside its place, as `.NAME.partial-RANDOM`, brought to the disk, and renamed at the end. An
error, a full disk or Ctrl-C removes the partial file or folder and leaves what stood there before. What a killed
process left is removed by the next that makes the same output. A folder that takes long to fill may be a
`resumable_folder`: what a killed run leaves in `.NAME.partial` is taken up by the next.

An output that is a link is written through it. While a folder is made, its lock `.NAME.lock` keeps others from making
it too.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .output_lock import output_lock
from .own_files import check_apart, check_outside_data, check_own, files_below
from .renames import put_new, swap, sync

_LONGEST = 200  # bytes of a hidden name, of 255 that most file systems take
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded|os error 28", re.IGNORECASE)
_NEARLY_FULL = 1 << 16  # bytes


def check_output(
    path: str | Path, overwrite: bool = False, *, inputs: Collection[str | Path | None] = (), may_lie_in: bool = False
) -> Path:
    """Return `path`, which must be free unless `overwrite`, and where something can be written.

    Args:
        path: of the file or folder to make.
        overwrite: something may be there already.
        inputs: what is read, which must be no output.
        may_lie_in: the output may lie in a folder that is read, as an evaluation in its run.

    Raises:
        FileExistsError: something of that name exists, or it is an input, holds one or lies in one.
        OSError: nothing can be written there.
        ValueError: the name is too long.
    """
    path = Path(path)
    heal(path)
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"{path} already exists: choose another name or give --overwrite to replace it")
    for given in inputs:
        if given is not None and not (may_lie_in and Path(given).expanduser().resolve() in path.resolve().parents):
            check_apart(path, given)
    check_place(path)
    return path


def check_own_folder(
    path: str | Path,
    overwrite: bool,
    files: Collection[str],
    *,
    others: str = "other files",
    marks: Mapping[str, str] | None = None,
    inputs: Collection[str | Path | None] = (),
    may_lie_in: bool = False,
) -> Path:
    """Return a folder to make, which may be replaced only if it holds nothing but what the command itself writes.

    Args:
        path: the folder.
        overwrite: replace an existing one.
        files: what the command writes, paths below the folder or patterns of them; see `check_own`.
        others: what any other file is called in the error.
        marks: files, one of which must be there and hold its text, where the names alone are anybody's.
        inputs: what is read.
        may_lie_in: the output may lie in a folder that is read.

    Raises:
        FileExistsError: it exists and `overwrite` is not given, it holds other files, or it is, holds or lies in an
            input.
    """
    path = check_output(path, overwrite)
    if path.is_dir():
        check_own(path, files, others=others, marks=marks)
    check_outside_data(path)
    return check_output(path, overwrite, inputs=inputs, may_lie_in=may_lie_in)


def check_place(path: Path) -> None:
    """Refuse a path where nothing can be written, before any work begins.

    Raises:
        OSError: its folder may not be written to, a part of it is a file, or links run in a circle.
        ValueError: a name is too long for the file system.
    """
    target = _behind_links(path)
    missing = [target]
    while not os.path.lexists(missing[-1].parent):
        missing.append(missing[-1].parent)
    folder = missing[-1].parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    if too_long := [name for part in missing if len(os.fsencode(name := part.name)) > longest]:
        raise ValueError(
            f"the name {too_long[0][:24]}... has {len(os.fsencode(too_long[0]))} bytes, and the file system takes "
            f"{longest}: choose a shorter one"
        )
    effective = os.access in os.supports_effective_ids
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        # under a name that is not there, so that the error is of writing and not of reading
        named = missing[-1] if len(missing) > 1 else hidden_name(target, "partial")
        code = errno.EROFS if os.access(folder, os.X_OK) and _is_read_only(folder) else errno.EACCES
        raise OSError(code, os.strerror(code), str(named))


@contextmanager
def finished_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a path to write to; it becomes `path` when the block ends well and is deleted when it does not.

    Raises:
        FileExistsError: `path` exists and `overwrite` is not given, or it is a folder.
    """
    path = check_output(path, overwrite)
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder, but a file is to be written there: choose another name")
    target = _behind_links(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _fresh(target, "partial")
    try:
        with naming_full_disk(path):
            yield partial
            sync(partial)
        if overwrite:
            partial.replace(target)
        else:
            _put_new(partial, target, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def finished_folder(path: str | Path, overwrite: bool = False, *, is_held: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes `path` when the block ends well and is deleted when it does not.

    With `overwrite`, the old folder stays in place until the new one is whole. A file that somebody puts into it
    meanwhile stays, and so does a folder that somebody makes under a name that was free: then what was made here keeps
    another name, which the error tells.

    Args:
        path: the folder to make.
        overwrite: replace an existing one.
        is_held: the caller holds the output's lock.

    Raises:
        FileExistsError: `path` exists and `overwrite` is not given, it is a file, or another process is making it.
    """
    path = check_output(path, overwrite)
    target = _behind_links(path)
    with making(path, overwrite, is_held=is_held):
        before = _folder_before(path)
        partial = _fresh(target, "partial")
        partial.mkdir()
        try:
            with naming_full_disk(path):
                yield partial
                sync(partial)
            _put_in_place(partial, target, path, before)
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
    with making(path, overwrite):
        before = _folder_before(path)
        partial = partial_of(path)
        if partial.is_symlink():
            raise FileExistsError(f"{partial} is a link, where chromhub's own unfinished folder would lie: delete it")
        partial.mkdir(exist_ok=True)
        try:
            with naming_full_disk(path):
                yield partial
                sync(partial)
        except BaseException:
            if not worth_keeping():
                shutil.rmtree(partial, ignore_errors=True)
            raise
        # under another name, so that the old folder, which takes its name for a moment, is never taken up as unfinished
        whole = partial.rename(_fresh(_behind_links(path), "partial"))
        _put_in_place(whole, _behind_links(path), path, before)


@contextmanager
def making(path: str | Path, overwrite: bool = False, *, is_held: bool = False) -> Iterator[None]:
    """Hold the lock of an output while the block runs, and clear away what killed processes left of it.

    Args:
        path: the output.
        overwrite: it may be there.
        is_held: the caller holds the lock already, so that nothing is to be done.

    Raises:
        FileExistsError: another process is making it, or has just made it.
    """
    if is_held:
        yield
        return
    target = _behind_links(Path(path))
    new = [parent for parent in target.parents if not parent.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with output_lock(hidden_name(target, "lock"), path) as held:
            check_output(path, overwrite)  # made since it was looked at first
            if held:
                _clear_leftovers(target)
            yield
    except BaseException:
        with suppress(OSError):  # something lies in them
            for parent in new:
                parent.rmdir()
        raise


def partial_of(path: str | Path) -> Path:
    """Return where `resumable_folder` fills a folder."""
    return hidden_name(_behind_links(Path(path)), "partial")


def hidden_name(path: Path, role: str) -> Path:
    """Return the hidden sibling of a path for a role, short enough for the file system whatever the path's name."""
    name = path.name
    if len(os.fsencode(name)) + len(role) > _LONGEST:
        name = f"{name[:40]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
    return path.with_name(f".{name}.{role}")


def heal(path: str | Path) -> None:
    """Give a folder its name back that a process lost when it was killed between the two renames of a replacement."""
    with suppress(OSError):  # of a folder that one may not read or write to; FileExistsError: it is being made
        target = _behind_links(Path(path))
        if os.path.lexists(target) or not target.parent.is_dir():
            return
        if not (olds := _leftovers(target, "old")):
            return
        with output_lock(hidden_name(target, "lock"), path):
            if not os.path.lexists(target):
                put_new(max(olds, key=lambda old: old.stat().st_mtime), target)


@contextmanager
def naming_full_disk(path: str | Path) -> Iterator[None]:
    """Say what was being written when the disk ran full, which neither the system's nor a library's error does.

    Raises:
        OSError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL and not _NO_SPACE.search(str(error)):
            raise
        code = error.errno or errno.ENOSPC
        raise OSError(code, _full(path, error.strerror or os.strerror(code))) from error
    except Exception as error:  # torch and safetensors have errors of their own, which may not even say why
        silent = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
        if not _NO_SPACE.search(str(error)) and not (silent and _is_full(Path(path))):
            raise
        raise OSError(errno.ENOSPC, _full(path, os.strerror(errno.ENOSPC))) from error


def _full(path: str | Path, why: str) -> str:
    return f"{why} while writing {path}: free some space and run it again"


def _is_full(path: Path) -> bool:
    """Tell whether the file system of a path has no room left."""
    there = next((parent for parent in path.absolute().parents if parent.is_dir()), None)
    return there is not None and shutil.disk_usage(there).free < _NEARLY_FULL


def _is_read_only(folder: Path) -> bool:
    """Tell whether a folder lies on a file system that nobody may write to."""
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _behind_links(path: Path) -> Path:
    """Return where a path leads.

    Raises:
        OSError: links run in a circle.
    """
    try:
        return path.resolve()
    except RuntimeError:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from None


def _folder_before(path: Path) -> frozenset[str] | None:
    """Return the files of the folder that is to be replaced; None where there is none.

    Raises:
        FileExistsError: it is a file.
    """
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file, but a folder is to be written there: choose another name")
    return frozenset(files_below(path)) if path.is_dir() else None


def _put_in_place(partial: Path, target: Path, path: Path, before: frozenset[str] | None) -> None:
    """Rename a folder that is whole; the one it replaces is deleted after that.

    Args:
        partial: the new folder.
        target: its place.
        path: as the user named that.
        before: the files of the folder that may be replaced; None where the place was free.

    Raises:
        FileExistsError: somebody has made a folder there, or put a file into it.
    """
    if before is None or not os.path.lexists(target):
        _put_new(partial, target, path)
        return

    def check(old: Path) -> None:
        if new := sorted(set(files_below(old)) - before):
            raise FileExistsError(f"{new[0]} was put into {path} meanwhile")

    try:
        old = swap(partial, target, _fresh(target, "old"), check)
    except FileExistsError as error:
        raise FileExistsError(f"{error}, which stays; what was made here lies in {_keep(partial, path)}") from None
    shutil.rmtree(old, ignore_errors=True)


def _put_new(partial: Path, target: Path, path: Path) -> None:
    """Rename what is whole to a name that must still be free."""
    try:
        put_new(partial, target)
    except FileExistsError:
        raise FileExistsError(
            f"somebody made {path} meanwhile, which stays; what was made here lies in {_keep(partial, path)}"
        ) from None


def _keep(partial: Path, path: Path) -> Path:
    """Give what is whole and has no place a visible name beside it."""
    kept = path.with_name(f"{path.name[:_LONGEST]}.finished-{secrets.token_hex(4)}")
    partial.rename(_behind_links(path).with_name(kept.name))
    return kept


def _fresh(target: Path, role: str) -> Path:
    """Return a hidden sibling of `target` that nobody else has."""
    return hidden_name(target, f"{role}-{secrets.token_hex(4)}")


def _leftovers(target: Path, role: str) -> list[Path]:
    """Return what processes made beside `target` for a role, under random names."""
    name = hidden_name(target, role).name
    return [path for path in target.parent.iterdir() if re.fullmatch(re.escape(name) + "-[0-9a-f]{8}", path.name)]


def _clear_leftovers(target: Path) -> None:
    """Delete what killed processes left beside `target`; whoever makes it holds its lock, so nobody else is at it."""
    with suppress(OSError):
        for path in [*_leftovers(target, "partial"), *(_leftovers(target, "old") if target.exists() else ())]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
