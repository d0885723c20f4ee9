"""A track's bins -> its file in a store, in the narrowest type that holds them."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .background import BackgroundSha256
from .flat_file import FlatFile
from .store import TRACK_DTYPES

_BLOCK = 1 << 17  # values looked at together, in a core's cache; a type that does not fit shows it soon
_LARGEST: dict[str, int] = {"uint8": 255, "uint16": 65_535, "float16": 65_504}


def write_track(path: Path, signal: Iterable[np.ndarray], *, bin_size: int, tolerance: float = 0.0) -> dict[str, Any]:
    """Write a track's bins in the first of uint8, uint16, float16 and float32 that holds every value.

    Integers and float32 are exact. float16 is taken where each value comes back within `tolerance` of itself: with 0,
    only where all come back exactly; from 2**-11 = 0.00049 on, wherever all lie between 6.1e-5 and 65,504 or are 0.

    Args:
        path: the file to make.
        signal: (n,) float32 of each chromosome, in the genome's order.
        bin_size: bp per bin.
        tolerance: largest relative error that float16 may make.

    Returns:
        `digest` of the float32 values given, `sum`, `max` and the share `above_zero`; `dtype`, `tolerance` and the
        largest relative `error` made.

    Raises:
        ValueError: a value is not finite.
    """
    total, largest, num_above, num_bins = 0.0, 0.0, 0, 0
    errors: dict[str, float] = dict.fromkeys(TRACK_DTYPES, 0.0)  # of the types that hold all so far
    with FlatFile(path, TRACK_DTYPES[0], fill=0, bin_size=bin_size) as file, ThreadPoolExecutor(1) as thread:
        digest = BackgroundSha256(thread)
        for bins in signal:
            bins = np.ascontiguousarray(bins, np.float32)
            if not np.isfinite(bins).all():
                place = int(np.flatnonzero(~np.isfinite(bins))[0])
                raise ValueError(
                    f"track {path.stem}: signal must be finite in float32, got {bins[place]} in bin {place} of a "
                    "chromosome: scale the track down"
                )
            digest.update(bins)
            for dtype in tuple(errors):
                errors[dtype] = max(errors[dtype], _largest_error(bins, dtype, tolerance))
                if errors[dtype] > tolerance:
                    del errors[dtype]
            if (narrowest := next(iter(errors))) != file.dtype:
                file.retype(narrowest)
            file.begin()
            for start in range(0, len(bins), _BLOCK):
                block = bins[start : start + _BLOCK]
                file.extend(block)
                largest = max(largest, float(block.max()))
                num_above += int(np.count_nonzero(block != 0))
            total += float(bins.sum(dtype=np.float64))
            num_bins += len(bins)
        dtype = str(file.dtype)
    stats = {"digest": digest.hexdigest()[:16], "sum": total, "max": largest, "above_zero": num_above / num_bins}
    return stats | {"dtype": dtype, "tolerance": tolerance, "error": errors[dtype]}


def _largest_error(values: np.ndarray, dtype: str, tolerance: float) -> float:
    """Return the largest relative error of storing (n,) float32 values; infinity once it is seen to be too large."""
    largest = 0.0
    for start in range(0, len(values) if dtype != "float32" else 0, _BLOCK):
        block = values[start : start + _BLOCK]
        if block.min() < (0 if dtype.startswith("uint") else -65_504) or block.max() > _LARGEST[dtype]:
            return np.inf
        stored = block.astype(dtype).astype(np.float32)
        if not np.array_equal(stored, block):
            if dtype != "float16":
                return np.inf
            wrong = stored != block
            largest = max(largest, float((np.abs(stored - block)[wrong] / np.abs(block[wrong])).max()))
            if largest > tolerance:
                return np.inf
    return largest
