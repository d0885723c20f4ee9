"""Contact maps around transcription start sites, from .cool and .mcool files (Abdennur & Mirny 2020).

Such a file is HDF5 with three tables: chromosomes, bins with their balancing weights, and the counts of the upper
triangle, row by row. h5py reads what is needed of it; the package cooler is not.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from .chrom_names import shown

FLOOR = 1e-14  # stands for no contact and for bins without a weight, so that its logarithm is -14 (the source)


class CoolFile:
    """A contact map on disk.

    Args:
        path: a .cool file, or a .mcool file with the resolution as FILE::resolutions/1600 (or ::/13 in an old one).
        balanced: multiply counts by the weights of both bins.

    Raises:
        FileNotFoundError: no such file.
        ValueError: h5py is missing, the file is no contact map, or it was never balanced.
    """

    def __init__(self, path: str | Path, *, balanced: bool = True) -> None:
        if importlib.util.find_spec("h5py") is None:
            raise ValueError("contact maps need h5py: pip install 'chromhub[contacts]'")
        import h5py

        name, _, group = str(path).partition("::")
        self.path, self.name, self.balanced = Path(name), str(path), balanced
        if not self.path.is_file():
            raise FileNotFoundError(f"contact map {name} does not exist")
        try:
            self._file: Any = h5py.File(name, "r")
        except OSError as error:
            raise ValueError(f"{name} is no .cool or .mcool file, or is cut short ({error})") from error
        self._group: Any = self._open(group.strip("/"))
        names = [text.decode() for text in self._group["chroms/name"][:]]
        self.chrom_sizes = dict(zip(names, self._group["chroms/length"][:].tolist(), strict=True))
        self._first_bins = dict(zip(names, self._group["indexes/chrom_offset"][:-1].tolist(), strict=True))
        starts, ends = self._group["bins/start"][:2], self._group["bins/end"][:2]
        self.bin_size = int(ends[0] - starts[0])
        if self._group.attrs.get("bin-type", "fixed") not in ("fixed", b"fixed"):
            raise ValueError(f"{path} must have bins of one size")
        if balanced and "weight" not in self._group["bins"]:
            raise ValueError(f"{path} was never balanced: run `cooler balance` on it, or give --raw-contacts")

    def _open(self, group: str) -> Any:
        if group:
            if group not in self._file:
                raise ValueError(f"{self.path} has no group {group!r}; it has {shown(self._file)}")
            return self._file[group]
        if "pixels" in self._file:
            return self._file
        if "resolutions" in self._file:
            there = sorted(self._file["resolutions"], key=int)
            if len(there) == 1:
                return self._file["resolutions"][there[0]]
            raise ValueError(
                f"{self.path} holds several resolutions, {shown(there)}; give one as FILE::resolutions/{there[0]}"
            )
        raise ValueError(f"{self.path} is no contact map: it has no pixels, only {shown(self._file)}")

    def square(self, chrom: str, tss: int, num_bins: int) -> np.ndarray:
        """Return the contacts among the bins around a start site.

        Args:
            chrom: name in the file.
            tss: 0-based.
            num_bins: rows and columns; the window is `num_bins` - 1 bins long around `tss`, on whole bins.

        Returns:
            (num_bins, num_bins) float64, symmetric; NaN off the chromosome and where a bin has no weight.
        """
        first = (tss - (num_bins - 1) * self.bin_size // 2) // self.bin_size
        total = -(-self.chrom_sizes[chrom] // self.bin_size)
        low, high = max(0, first), min(total, first + num_bins)
        contacts = np.full((num_bins, num_bins), np.nan)
        if low >= high:
            return contacts
        offset = self._first_bins[chrom]
        span = slice(*self._group["indexes/bin1_offset"][[offset + low, offset + high]].tolist())
        rows, columns = (self._group[f"pixels/bin{i}_id"][span] - offset for i in (1, 2))
        counts, inside = self._group["pixels/count"][span], columns < high
        rows, columns = rows[inside] - low, columns[inside] - low
        there = np.zeros((high - low, high - low))
        there[rows, columns] = there[columns, rows] = counts[inside]
        if self.balanced:
            weights = self._group["bins/weight"][offset + low : offset + high]
            there *= weights[:, None] * weights
        contacts[low - first : high - first, low - first : high - first] = there
        return contacts


def log_contacts(contacts: np.ndarray) -> np.ndarray:
    """Return log10 of contacts (n, n); no contact and NaN become -14."""
    return np.log10(np.where(np.nan_to_num(contacts) > 0, contacts, FLOOR))


def rotate_and_crop(square: np.ndarray) -> np.ndarray:
    """Turn a symmetric map by 45 degrees, so that the diagonal is its last row, and cut what lies off the map.

    The same values as `scipy.ndimage.rotate(square, 45, reshape=False)`, cubic splines, of which the source keeps the
    rows that the map covers whole, and of those the upper half: 129 of 626 rows, the first for bins farthest apart.

    Args:
        square: (n, n) log10 of contacts.

    Returns:
        (rows, n) float64, `rotated_rows(n)` of them.
    """
    n = len(square)
    half = (n - 1) / 2
    top = int(np.ceil(half * (2 - np.sqrt(2))))
    y = np.arange(top, top + rotated_rows(n))[:, None] - half
    x = np.arange(n) - half
    turn = np.sqrt(0.5)
    return _spline_at(_spline_coefficients(square), turn * (y + x) + half, turn * (x - y) + half)


def rotated_rows(n: int) -> int:
    """Return how many rows `rotate_and_crop` leaves of an (n, n) map."""
    top = int(np.ceil((n - 1) / 2 * (2 - np.sqrt(2))))
    return (n - 2 * top + 1) // 2


def _spline_coefficients(values: np.ndarray) -> np.ndarray:
    """Return the coefficients of the cubic B-spline through `values` (n, n), mirrored at its ends (Unser 1999)."""
    pole = np.sqrt(3) - 2
    powers = pole ** np.arange(min(len(values), 40))  # below 1e-22 beyond
    for _ in range(2):
        lines = 6 * values.astype(np.float64)
        lines[0] = powers @ lines[: len(powers)]
        for i in range(1, len(lines)):
            lines[i] += pole * lines[i - 1]
        lines[-1] = pole / (pole**2 - 1) * (lines[-1] + pole * lines[-2])
        for i in range(len(lines) - 2, -1, -1):
            lines[i] = pole * (lines[i + 1] - lines[i])
        values = lines.T  # then along the other axis
    return values


def _spline_at(coefficients: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the spline's values at fractional positions, each of the shape of `rows`."""
    last = len(coefficients) - 1
    total = np.zeros(rows.shape)
    taps = []
    for positions in (rows, columns):
        base = np.floor(positions).astype(np.int64)
        t = positions - base
        weights = ((1 - t) ** 3 / 6, 2 / 3 - t**2 * (2 - t) / 2, 2 / 3 - (1 - t) ** 2 * (1 + t) / 2, t**3 / 6)
        index = [last - np.abs(last - np.abs(base + k - 1)) for k in range(4)]  # mirrored at both ends
        taps.append(list(zip(index, weights, strict=True)))
    for i, row_weight in taps[0]:
        for j, column_weight in taps[1]:
            total += row_weight * column_weight * coefficients[i, j]
    return total
