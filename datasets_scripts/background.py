"""Digests worked out in another thread: hashing lets go of Python's lock, so it takes no time of its own."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

_WORTH_A_THREAD = 1 << 16  # bytes; less is hashed before another thread has begun


class BackgroundSha256:
    """A SHA-256 that another thread works out; at most one piece waits for it.

    Args:
        pool: of one thread, which several digests may share.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool, self._digest = pool, hashlib.sha256()
        self._pending: Future[None] | None = None

    def update(self, values: np.ndarray) -> None:
        """Add the bytes of a contiguous array, which must not change afterwards."""
        self._wait()
        if values.nbytes < _WORTH_A_THREAD:
            self._digest.update(values.data)
        else:
            self._pending = self._pool.submit(self._digest.update, values.data)

    def hexdigest(self) -> str:
        """Return the digest of all that was added."""
        self._wait()
        return self._digest.hexdigest()

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None
