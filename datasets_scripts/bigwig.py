"""bigWig <-> binned signal."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from .atomic import finished_file
from .bigwig_blocks import OverlappingIntervals, decode_bins
from .bigwig_library import Library, Run, open_bigwig, write_runs

Summary = Literal["max", "mean", "sum"]
SUMMARIES: tuple[Summary, ...] = ("max", "mean", "sum")
_CHUNK = 1 << 20  # bp read at a time; a multiple of every bin size
_MAGIC = 0x888FFC26


def bin_signal(values: np.ndarray, *, bin_size: int, summary: Summary) -> np.ndarray:
    """Summarise a per-base signal in bins; bases that the last bin lacks count as 0.

    Args:
        values: (L,) signal per bp.
        bin_size: bp per bin.
        summary: "max", "mean" or "sum" of the `bin_size` values.

    Returns:
        (ceil(L / bin_size),) float32.
    """
    num_bins = -(-len(values) // bin_size)
    if len(values) % bin_size:
        values = np.concatenate([values, np.zeros(num_bins * bin_size - len(values), values.dtype)])
    rows = values.reshape(num_bins, bin_size)
    if summary == "max":
        return rows.max(axis=1).astype(np.float32)
    total = rows.sum(axis=1, dtype=np.float64)
    return (total if summary == "sum" else total / bin_size).astype(np.float32)


class BigWig:
    """A bigWig file on disk; it is opened anew for every call, so a copy may be sent to another process.

    Args:
        path: the file.
        library: pyBigWig or pybigtools. None decodes the blocks itself (bigwig_blocks.py), and takes the one that is
            installed, pyBigWig first, where they overlap.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a bigWig, or one that is cut short.
    """

    def __init__(self, path: str | Path, *, library: Library | None = None) -> None:
        self.path = Path(path)
        self.library: Library | None = library
        if not self.path.is_file():
            raise FileNotFoundError(f"bigWig file {self.path} does not exist")
        self._check_whole()

    @cached_property
    def chrom_sizes(self) -> dict[str, int]:
        """Size in bp of each chromosome."""
        with open_bigwig(self.path, self.library) as file:
            return file.chroms()

    def binned(
        self, chrom: str, *, size: int, bin_size: int, summary: Summary, allow_negative: bool = False
    ) -> np.ndarray:
        """Return a chromosome's signal in bins; bases that are missing or NaN count as 0.

        Args:
            chrom: name in this file.
            size: bp of the chromosome; beyond the file's own end the signal is 0.
            bin_size: bp per bin, a power of two up to 4096.
            summary: of the bases of a bin.
            allow_negative: take values below 0 as they are.

        Returns:
            (ceil(size / bin_size),) float32.

        Raises:
            ValueError: an unknown chromosome, a negative (unless allowed) or infinite value, or a damaged file.
        """
        if chrom not in self.chrom_sizes:
            raise ValueError(f"{self.path} has no chromosome {chrom!r}: it has {', '.join(list(self.chrom_sizes)[:8])}")
        if self.library is None:
            with suppress(OverlappingIntervals):  # the library reads even those
                return decode_bins(
                    self.path, chrom, size=size, bin_size=bin_size, summary=summary, allow_negative=allow_negative
                )
        bins = np.zeros(-(-size // bin_size), np.float32)
        end = min(size, self.chrom_sizes[chrom])
        with open_bigwig(self.path, self.library) as file:
            for start in range(0, end, _CHUNK):
                values = file.values(chrom, start, min(start + _CHUNK, end))
                np.nan_to_num(values, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)
                self._check_values(values, f"{chrom}:", start, allow_negative)
                part = bin_signal(values, bin_size=bin_size, summary=summary)
                bins[start // bin_size : start // bin_size + len(part)] = part
        return bins

    def _check_values(self, values: np.ndarray, chrom: str, start: int, allow_negative: bool) -> None:
        """Refuse infinite and negative values, with the place of the first."""
        if not np.isfinite(values).all():
            place = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ValueError(f"{self.path} at {chrom}{start + place}: signal must be finite, got {values[place]}")
        if not allow_negative and (values < 0).any():
            place = int(np.flatnonzero(values < 0)[0])
            raise ValueError(
                f"{self.path} at {chrom}{start + place}: signal must not be negative, got {values[place]:g}: "
                "give coverage, counts or p-values, not a log ratio or a difference"
            )

    def _check_whole(self) -> None:
        """Follow the header to the indexes, which must lie inside the file (Kent 2010, supplementary tables 5 to 7)."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            head = file.read(64)
            order = "<" if head[:4] == struct.pack("<I", _MAGIC) else ">"
            if head[:4] != struct.pack(order + "I", _MAGIC):
                raise ValueError(f"{self.path} is not a bigWig file: it starts with {head[:4]!r}")
            if len(head) == 64:
                num_zooms, chrom_tree, _, index = struct.unpack(order + "HQQQ", head[6:32])
                zooms = file.read(24 * num_zooms)
                offsets = [chrom_tree, index]
                if len(zooms) == 24 * num_zooms:
                    offsets += [struct.unpack_from(order + "Q", zooms, 24 * i + 16)[0] for i in range(num_zooms)]
                    if max(offsets) + 48 <= size:  # an index starts with 48 bytes
                        return
        raise ValueError(
            f"{self.path} is truncated: it ends at byte {size}, before its index: copy or download it again"
        )


def write_bigwig(
    path: str | Path,
    chrom_sizes: Mapping[str, int],
    chunks: Iterable[tuple[str, int, np.ndarray]],
    *,
    bin_size: int,
    overwrite: bool = False,
) -> None:
    """Write binned signal as a bigWig of fixed steps; bins that are NaN are left out as gaps.

    A chromosome's last bin is cut at its end. The file appears under its name when it is complete.

    Args:
        path: the file to make.
        chrom_sizes: bp of each chromosome, in the order of the header.
        chunks: chromosome, first bp (a multiple of `bin_size`) and (n,) values, one per bin; ordered as the header and
            by position, without overlap.
        bin_size: bp per bin.
        overwrite: replace an existing file.

    Raises:
        FileExistsError: the file exists and `overwrite` is not given.
        ValueError: a chunk of an unknown chromosome, out of order, off the end, or with an infinite value.
        OSError: the disk is full.
    """
    with finished_file(path, overwrite) as partial:
        try:
            write_runs(partial, chrom_sizes, _runs(chrom_sizes, chunks, bin_size))
        except RuntimeError as error:
            raise OSError(f"{path} could not be written ({error}): is the disk full?") from error


def _runs(
    chrom_sizes: Mapping[str, int], chunks: Iterable[tuple[str, int, np.ndarray]], bin_size: int
) -> Iterator[Run]:
    """Yield each run of values that are not NaN; a last bin past the chromosome's end becomes a run of its own."""
    rank = {chrom: i for i, chrom in enumerate(chrom_sizes)}
    last = (0, 0)
    for chrom, start, chunk in chunks:
        values = np.asarray(chunk, dtype=np.float32)
        last = _check_chunk(rank, chrom_sizes, chrom, start, values, bin_size, last)
        size = chrom_sizes[chrom]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], ~np.isnan(values), [False]]).astype(np.int8)))
        for first, stop in edges.reshape(-1, 2):
            cut = start + int(stop) * bin_size > size
            whole = values[first : stop - 1] if cut else values[first:stop]
            if len(whole):
                yield chrom, start + int(first) * bin_size, whole, bin_size
            if cut:
                begin = start + int(stop - 1) * bin_size
                yield chrom, begin, values[stop - 1 : stop], size - begin


def _check_chunk(
    rank: Mapping[str, int],
    chrom_sizes: Mapping[str, int],
    chrom: str,
    start: int,
    values: np.ndarray,
    bin_size: int,
    last: tuple[int, int],
) -> tuple[int, int]:
    """Return (rank of the chromosome, end) of a chunk that may follow one that ended at `last`."""
    end = start + len(values) * bin_size
    if chrom not in rank:
        raise ValueError(
            f"chunk of {chrom!r}: the chromosome must be in the header, which has {', '.join(list(rank)[:8])}"
        )
    if start % bin_size or start < 0 or end >= chrom_sizes[chrom] + bin_size:
        raise ValueError(
            f"chunk {chrom}:{start}-{end} must lie on the {bin_size}-bp grid and in {chrom_sizes[chrom]} bp"
        )
    if (rank[chrom], start) < last:
        raise ValueError(f"chunk {chrom}:{start}-{end} must come after the one before, in the order of the header")
    if np.isinf(values).any():
        raise ValueError(f"chunk {chrom}:{start}-{end} must be finite or NaN, got an infinite value")
    return rank[chrom], end
