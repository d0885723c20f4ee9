"""An .npy file whose rows come batch by batch, by plain writes: a full disk is an error, where a map dies of SIGBUS."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np


class RowFile:
    """A float32 array on disk, filled from its first row to its last.

    Args:
        path: .npy to write.
        shape: of the whole array.

    Raises:
        OSError: the disk has no room for it.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape = path, shape
        self._file = path.open("wb")
        self._rows = 0
        header: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        size = self._file.tell() + 4 * int(np.prod(shape, dtype=np.int64))
        if hasattr(os, "posix_fallocate"):  # tells of a full disk before hours of work
            self._file.flush()
            try:
                os.posix_fallocate(self._file.fileno(), 0, size)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # it cannot be asked for
                    self._file.close()
                    raise

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if kind is None and self._rows != self.shape[0]:
            raise ValueError(f"{self.path} must get {self.shape[0]} rows, got {self._rows}")

    def extend(self, rows: np.ndarray) -> None:
        """Write the rows that come next, (n, ...) of any float type."""
        if rows.shape[1:] != self.shape[1:]:
            raise ValueError(f"rows of {self.path} must have the shape {self.shape[1:]}, got {rows.shape[1:]}")
        self._file.write(np.ascontiguousarray(rows, "<f4").tobytes())
        self._rows += len(rows)
