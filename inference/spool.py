"""Binned tracks on their way to files that want them in another order."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np


class Spool:
    """Chunks of several tracks in temporary files, written in any order and read back sorted.

    Args:
        beside: the files lie in a hidden folder beside this path, and are gone when the block ends.
        num_tracks: tracks.
    """

    def __init__(self, beside: Path, *, num_tracks: int) -> None:
        self._folder = tempfile.TemporaryDirectory(dir=beside.parent, prefix=f".{beside.name}.partial-")
        self._files = [(Path(self._folder.name) / str(track)).open("w+b") for track in range(num_tracks)]
        self._pieces: list[tuple[str, int, int, int]] = []  # chrom, start in bp, first value in the file, values
        self._end = 0
        self.num_values = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()
        self._folder.cleanup()

    @property
    def chroms(self) -> list[str]:
        """Chromosomes with values, sorted."""
        return sorted({chrom for chrom, *_ in self._pieces})

    def add(self, chrom: str, start: int, values: np.ndarray) -> None:
        """Add (T, n) float32 values, NaN for gaps, that begin at `start` bp."""
        for file, row in zip(self._files, values, strict=True):
            file.write(row.astype(np.float32).tobytes())
        self._pieces.append((chrom, start, self._end, values.shape[1]))
        self._end += values.shape[1]
        self.num_values += int(np.count_nonzero(~np.isnan(values[0])))

    def chunks(self, track: int) -> Iterator[tuple[str, int, np.ndarray]]:
        """Yield the chunks of a track, sorted by chromosome and position."""
        file = self._files[track]
        for chrom, start, first, num_values in sorted(self._pieces):
            file.seek(4 * first)
            yield chrom, start, np.frombuffer(file.read(4 * num_values), np.float32)
