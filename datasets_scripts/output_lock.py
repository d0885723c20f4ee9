"""A lock on an output, so that two processes never make the same one, on this machine or in two containers.

The lock is the system's (flock): it ends with its process, however that ends. The file that carries it is deleted when
the work is done; one that a killed process left is taken over.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two processes that make one output at the same time go unnoticed
    fcntl = None


@contextmanager
def output_lock(file: Path, path: str | Path) -> Iterator[bool]:
    """Hold an output for this process while the block runs.

    Args:
        file: the lock file; its folder must exist.
        path: the output, for the error.

    Yields:
        Whether it is held; False where the system or the file system knows no locks.

    Raises:
        FileExistsError: another process holds it.
    """
    handle = _take(file, path)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            file.unlink(missing_ok=True)  # before the lock is let go of, so that nobody holds a file without a name
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_UN)  # also of children that have inherited it
            os.close(handle)


def check_unlocked(file: Path, path: str | Path) -> None:
    """Refuse an output that another process is making; change nothing.

    Raises:
        FileExistsError: it is.
    """
    if fcntl is None:
        return
    try:
        handle = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:  # there is none
        return
    try:
        _lock(handle, path)
    finally:
        os.close(handle)


def _take(file: Path, path: str | Path) -> int | None:
    """Return an open, locked handle of a file that has its name at that moment; None where there are no locks."""
    if fcntl is None:
        return None
    while True:
        handle = _open(file)
        try:
            held = _lock(handle, path)
            if held and not _is_named(handle, file):  # its holder ended and deleted it between the two calls
                os.close(handle)
                continue
        except BaseException:
            os.close(handle)
            raise
        if held:
            return handle
        os.close(handle)
        file.unlink(missing_ok=True)
        return None


def _open(file: Path) -> int:
    """Open a lock file; one that another user's process left may be opened for reading alone, which is enough."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:
        if not file.is_file():
            raise
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)


def _lock(handle: int, path: str | Path) -> bool:
    """Lock a file; False where the file system has no locks."""
    assert fcntl is not None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return False
        raise FileExistsError(f"another process is making {path} right now: wait for it, or stop it") from None
    return True


def _is_named(handle: int, file: Path) -> bool:
    """Tell whether a file still is what its name leads to."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
