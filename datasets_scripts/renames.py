"""Renames that lose nothing: swap two names in one step, take only a free name, and reach the disk first.

Linux has both in one system call, renameat2(2). Where that is missing, or the file system cannot, a swap takes two
renames; what a process killed between them left is put back by `heal`.
"""

import ctypes
import errno
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

_AT_FDCWD = -100  # linux/fcntl.h
_NOREPLACE, _EXCHANGE = 1, 2  # linux/fs.h
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def put_new(partial: Path, path: Path) -> None:
    """Rename `partial` to `path`, which must be free at that very moment.

    Raises:
        FileExistsError: it is not.
    """
    if not _renameat2(partial, path, _NOREPLACE):
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        partial.replace(path)
    sync_folder(path.parent)


def swap(partial: Path, path: Path, aside: Path, check: Callable[[Path], None]) -> Path:
    """Put the folder `partial` in the place of the folder `path`, and return where the old one lies now.

    Args:
        partial: the new folder.
        path: the old one.
        aside: a free name beside it, which the old one takes on the way where names cannot be swapped at once.
        check: looks at the old folder under a name that nobody else knows; what it raises puts the old one back.
    """
    if _renameat2(partial, path, _EXCHANGE):
        old = partial
        try:
            check(old)
        except BaseException:
            _renameat2(old, path, _EXCHANGE)
            raise
    else:
        old = aside
        path.replace(old)
        try:
            check(old)
            partial.replace(path)
        except BaseException:
            old.replace(path)
            raise
    sync_folder(path.parent)
    return old


def move(source: Path, target: Path, partial: Path) -> None:
    """Rename a file, or copy it where `target` lies on another file system, by way of `partial` beside it."""
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copy2(source, partial)
        sync(partial)
        partial.replace(target)
        source.unlink()


def sync(path: Path) -> None:
    """Bring a file, or a folder with all that is in it, to the disk, so that a power cut leaves it whole.

    Raises:
        OSError: the disk is full, or broken.
    """
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                sync_file(Path(folder) / name)
            sync_folder(Path(folder))
    else:
        sync_file(path)


def sync_file(path: Path) -> None:
    """Bring a file's content to the disk."""
    if not path.is_file():
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # a file shared with another store, which one may not read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EROFS):  # it cannot be asked for
            raise
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Bring a folder's names to the disk, where the system lets one ask for it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def _renameat2(source: Path, target: Path, flag: int) -> bool:
    """Rename with a flag; False where the system or the file system cannot."""
    if (call := _system_call()) is None:
        return False
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))


@cache
def _system_call() -> Callable[..., int] | None:
    """Return the C library's renameat2; None where it has none."""
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # macOS, an old C library, Windows
        return None
