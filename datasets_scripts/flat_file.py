"""A store's flat .npy files, written a chromosome at a time."""

from pathlib import Path
from types import TracebackType

import numpy as np

from .store_files import next_offset

_BLOCK = 1 << 24  # values converted at a time


class FlatFile:
    """A .npy file to which chromosomes are appended (`begin`, then `extend`), laid out as `store.flat_layout` says.

    The length is known at the end only, so the header is written again then; numpy leaves room for that. A file of that
    name is unlinked first, never written into: it may be another store's too (hard links).

    Args:
        path: the file to make.
        dtype: of the values in the file.
        fill: what lies between chromosomes.
        bin_size: bp per value.

    Attributes:
        dtype: of the values in the file.
    """

    def __init__(self, path: Path, dtype: str, *, fill: int, bin_size: int = 1) -> None:
        self.path, self.dtype, self._fill, self._bin_size = path, np.dtype(dtype), fill, bin_size
        self._length = 0
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        self._file = path.open("xb")
        self._header()

    def __enter__(self) -> "FlatFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._file:
            if kind is None:
                self._pad()
                self._header()

    def begin(self) -> None:
        """Begin the next chromosome."""
        self._pad()

    def extend(self, values: np.ndarray) -> None:
        """Append the next values of a chromosome, (n,)."""
        for start in range(0, len(values), _BLOCK):
            self._file.write(np.ascontiguousarray(values[start : start + _BLOCK], self.dtype).data)
        self._length += len(values)

    def retype(self, dtype: str) -> None:
        """Convert what is in the file to another type, which must hold it, and go on in that."""
        if self._length:
            self._header()
            self._file.flush()
            old = np.load(self.path, mmap_mode="r")
        else:
            old = np.empty(0, dtype)
        self._file.close()
        self.path.unlink()  # the map keeps the old one alive
        self._file, self.dtype, self._length = self.path.open("xb"), np.dtype(dtype), 0
        self._header()
        for start in range(0, len(old), _BLOCK):
            self._file.write(np.ascontiguousarray(old[start : start + _BLOCK], self.dtype).data)
        self._length = len(old)

    def _header(self) -> None:
        self._file.seek(0)
        shape = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._file, shape)
        self._file.seek(0, 2)

    def _pad(self) -> None:
        missing = next_offset(self._length * self._bin_size) // self._bin_size - self._length
        self._file.write(np.full(missing, self._fill, self.dtype).data)
        self._length += missing
