"""bigWig blocks -> binned signal with numpy and zlib: what `BigWig.binned` gives, without values per bp.

The file format is that of Kent et al. 2010 (doi:10.1093/bioinformatics/btq351, supplementary tables 5 to 16): sections
of intervals in zlib blocks, found by an R tree. The intervals of a chromosome, with the gaps between them as intervals
of 0, part it without overlap. So a bin starts with the value of the one interval that covers its first bp (one
`np.repeat`), and changes only where an interval starts inside it.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

_MAGIC, _CHROM_MAGIC, _INDEX_MAGIC = 0x888FFC26, 0x78CA8C91, 0x2468ACE0
_BEDGRAPH, _VARIABLE_STEP, _FIXED_STEP = 1, 2, 3
_BATCH = 1 << 16  # bytes of blocks decoded at a time, so that what they become fits a core's cache
_SECTION = 24  # bytes of a section's header
_DAMAGES = (struct.error, zlib.error, EOFError, OverflowError, RecursionError, UnicodeDecodeError)
Intervals = tuple[np.ndarray, np.ndarray, np.ndarray]


class OverlappingIntervals(Exception):
    """The intervals of a file overlap or are out of order, which the format forbids and this decoder cannot read."""


def decode_bins(
    path: str | Path,
    chrom: str,
    *,
    size: int,
    bin_size: int,
    summary: Literal["max", "mean", "sum"],
    allow_negative: bool = False,
) -> np.ndarray:
    """Return a chromosome's signal in bins; bases that are missing or NaN count as 0.

    Args:
        path: a bigWig.
        chrom: name in the file.
        size: bp of the chromosome; beyond the file's own end the signal is 0.
        bin_size: bp per bin.
        summary: of the bases of a bin.
        allow_negative: take values below 0 as they are.

    Returns:
        (ceil(size / bin_size),) float32; maxima are exact, sums and means are those of float64 rounded once.

    Raises:
        OverlappingIntervals: take another reader.
        ValueError: an unknown chromosome, a negative (unless allowed) or infinite value, or a damaged file.
    """
    num_bins = -(-size // bin_size)
    bins = np.zeros(num_bins, np.float32 if summary == "max" else np.float64)
    add = _add_maxima if summary == "max" else _add_sums
    position, before = 0, np.float32(0)  # where the parts laid so far end, and the last one's value
    for starts, ends, values in _checked(path, chrom, size, allow_negative):
        edges, parts = _fill_gaps(position, starts, ends, values)
        add(bins, edges, parts, before, bin_size)
        position, before = int(edges[-1]), parts[-1]
    if position < num_bins * bin_size:
        add(bins, np.array([position, num_bins * bin_size]), np.zeros(1, np.float32), before, bin_size)
    if summary == "mean":
        bins /= bin_size
    return bins.astype(np.float32, copy=False)


def missing_runs(path: str | Path, chrom: str, *, size: int, min_length: int) -> np.ndarray:
    """Return where a chromosome has no value, or NaN, for at least `min_length` bp on end.

    Returns:
        (n, 2) int64 starts and ends, ascending.

    Raises:
        OverlappingIntervals: take another reader.
        ValueError: an unknown chromosome, or a damaged file.
    """
    runs, position = [], 0
    for starts, ends, values in _intervals(path, chrom, size):
        known = ~np.isnan(values)
        if known.any():
            gap_starts, gap_ends = np.append(position, ends[known][:-1]), starts[known]
            long = gap_ends - gap_starts >= min_length
            runs.append(np.stack([gap_starts[long], gap_ends[long]], axis=1))
            position = int(ends[known][-1])
    if size - position >= max(min_length, 1):
        runs.append(np.array([[position, size]]))
    return np.concatenate(runs) if runs else np.empty((0, 2), np.int64)


def _fill_gaps(
    position: int, starts: np.ndarray, ends: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return edges and values of parts that lie end to end from `position` on: each interval after its gap of 0.

    Where there is no gap its part is empty and of the interval's value, which changes neither maxima nor sums.
    """
    edges = np.empty(2 * len(starts) + 1, np.int64)
    edges[0], edges[1::2], edges[2::2] = position, starts, ends
    is_gap = starts > edges[:-1:2]
    if not is_gap.any():
        return edges[::2], values
    parts = np.repeat(values, 2)
    parts[::2][is_gap] = 0
    return edges, parts


def _lay(bins: np.ndarray, edges: np.ndarray, values: np.ndarray, bin_size: int) -> None:
    """Set each bin whose first bp the parts cover to the value there."""
    first_bins = -(-edges // bin_size)
    first, num_bins = int(first_bins[0]), int(first_bins[-1] - first_bins[0])
    if num_bins > 16 * len(values):
        bins[first : first + num_bins] = np.repeat(values, np.diff(first_bins))
        return
    # Where parts are short, counting those that have begun by a bin takes half as long as `np.repeat`.
    begun = np.bincount(first_bins[1:-1] - first, minlength=num_bins)[:num_bins]
    np.take(values, np.cumsum(begun), out=bins[first : first + num_bins], mode="clip")  # or it would buffer


def _add_maxima(bins: np.ndarray, edges: np.ndarray, values: np.ndarray, before: np.float32, bin_size: int) -> None:
    """Raise the bins to the values of parts that follow what was added before."""
    _lay(bins, edges, values, bin_size)
    np.maximum.at(bins, edges[:-1] // bin_size, values)


def _add_sums(bins: np.ndarray, edges: np.ndarray, values: np.ndarray, before: np.float32, bin_size: int) -> None:
    """Add parts that follow what was added before: a bin is its first value throughout, plus each change inside it."""
    starts, exact = edges[:-1], values.astype(np.float64)
    _lay(bins, edges, exact * bin_size, bin_size)
    steps = np.diff(exact, prepend=np.float64(before))
    np.add.at(bins, starts // bin_size, steps * (-starts % bin_size))  # 0 on a bin's first bp


def _checked(path: str | Path, chrom: str, size: int, allow_negative: bool) -> Iterator[Intervals]:
    """Yield the intervals, NaN being 0; infinite and negative values are refused with the place of the first."""
    for starts, ends, values in _intervals(path, chrom, size):
        if values.min() >= 0 and values.max() < np.inf:  # as in nearly all files; NaN is neither
            yield starts, ends, values
            continue
        if np.isinf(values).any():
            first = int(np.flatnonzero(np.isinf(values))[0])
            raise ValueError(f"{path} at {chrom}:{starts[first]}: signal must be finite, got {values[first]}")
        if not allow_negative and (values < 0).any():
            first = int(np.flatnonzero(values < 0)[0])
            raise ValueError(
                f"{path} at {chrom}:{starts[first]}: signal must not be negative, got {values[first]:g}: "
                "give coverage, counts or p-values, not a log ratio or a difference"
            )
        yield starts, ends, np.nan_to_num(values, nan=0.0)


def _intervals(path: str | Path, chrom: str, size: int) -> Iterator[Intervals]:
    """Yield starts, ends (int64) and values (float32) of a chromosome in order, cut at its end; a batch at a time."""
    path = Path(path)
    stat = path.stat()
    try:
        file = _opened(path, stat.st_size, stat.st_mtime_ns)
        if chrom not in file.chroms:
            raise ValueError(f"{path} has no chromosome {chrom!r}: it has {', '.join(list(file.chroms)[:8])}")
        number, own_size = file.chroms[chrom]
        end, position = min(size, own_size), 0
        for starts, ends, values in file.intervals(number):
            if starts[0] < position or (starts[1:] < ends[:-1]).any() or (ends <= starts).any():
                raise OverlappingIntervals(f"{path}, {chrom}: intervals overlap or are out of order")
            position = int(ends[-1])
            if position > end:
                inside = starts < end
                starts, ends, values = starts[inside], np.minimum(ends[inside], end), values[inside]
            if len(starts):
                yield starts, ends, values
    except _DAMAGES as error:
        raise ValueError(f"{path} is truncated or damaged ({error}): copy or download it again") from error


class _Blocks:
    """The header, the chromosomes and the index of a bigWig; its blocks are read anew at every call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            head = _read(file, 0, 64)
            self.order = "<" if head[:4] == struct.pack("<I", _MAGIC) else ">"
            if head[:4] != struct.pack(self.order + "I", _MAGIC):
                raise ValueError(f"{path} is not a bigWig file: it starts with {head[:4]!r}")
            chrom_tree, self._index = struct.unpack_from(f"{self.order}Q8xQ", head, 8)
            self._is_packed = struct.unpack_from(self.order + "I", head, 52)[0] > 0
            magic, _, key_size, value_size = struct.unpack(self.order + "4I", _read(file, chrom_tree, 16))
            if magic != _CHROM_MAGIC or value_size != 8 or key_size >= 1 << 16:
                raise EOFError("no chromosome list where the header says")
            self._chrom_item = np.dtype(
                [("name", f"S{key_size}"), ("id", self.order + "u4"), ("size", self.order + "u4")]
            )
            self.chroms: dict[str, tuple[int, int]] = {}  # name -> number in the index, bp
            self._read_chroms(file, chrom_tree + 32)
            if struct.unpack(self.order + "I", _read(file, self._index, 4))[0] != _INDEX_MAGIC:
                raise EOFError("no index where the header says")

    def intervals(self, chrom: int) -> Iterator[Intervals]:
        """Yield a chromosome's intervals in the order of the file; none of them is empty-handed."""
        with self.path.open("rb") as file:
            blocks = np.array(sorted(self._find(file, self._index + 48, chrom)), np.int64).reshape(-1, 2)
            batch_of_block = (np.cumsum(blocks[:, 1]) - blocks[:, 1]) // _BATCH
            for batch in np.split(blocks, np.flatnonzero(np.diff(batch_of_block)) + 1) if len(blocks) else ():
                yield from self._decode(self._unpacked(file, batch), chrom)

    def _unpacked(self, file: BinaryIO, blocks: np.ndarray) -> list[memoryview]:
        """Return the content of blocks that follow one another, from their (n, 2) offsets and sizes."""
        first = int(blocks[0, 0])
        content = memoryview(_read(file, first, int(blocks[-1].sum()) - first))
        pieces = [content[start : start + size] for start, size in (blocks - [first, 0]).tolist()]
        return [memoryview(zlib.decompress(piece)) for piece in pieces] if self._is_packed else pieces

    def _decode(self, sections: list[memoryview], chrom: int) -> Iterator[Intervals]:
        """Yield the intervals of runs of sections of one type."""
        headers = np.frombuffer(
            b"".join(section[:_SECTION] for section in sections),
            [(name, self.order + "u4") for name in ("chrom", "start", "end", "step", "span")]
            + [("type", "u1"), ("pad", "u1"), ("count", self.order + "u2")],
        )
        if (headers["chrom"] != chrom).any():
            raise EOFError("a block of another chromosome than its index says")
        kinds = headers["type"]
        edges = np.flatnonzero(np.diff(kinds, prepend=0, append=0))
        for first, last in pairwise(edges.tolist()):
            run, counts = headers[first:last], headers["count"][first:last].astype(np.int64)
            item = self._item(int(kinds[first]))
            pieces = sections[first:last]
            if any(len(piece) < _SECTION + int(n) * item.itemsize for piece, n in zip(pieces, counts, strict=True)):
                raise EOFError("a block is shorter than it says")
            items = np.frombuffer(
                b"".join(p[_SECTION : _SECTION + int(n) * item.itemsize] for p, n in zip(pieces, counts, strict=True)),
                item,
            )
            if not len(items):
                continue
            if kinds[first] == _FIXED_STEP:
                rank = np.arange(len(items)) - np.repeat(np.cumsum(counts) - counts, counts)
                starts = np.repeat(run["start"].astype(np.int64), counts) + rank * np.repeat(
                    run["step"].astype(np.int64), counts
                )
            else:
                starts = items["start"].astype(np.int64)
            if kinds[first] == _BEDGRAPH:
                ends = items["end"].astype(np.int64)
            else:
                ends = starts + np.repeat(run["span"].astype(np.int64), counts)
            yield starts, ends, items["value"].astype(np.float32)

    def _item(self, kind: int) -> np.dtype:
        names = {_BEDGRAPH: ("start", "end"), _VARIABLE_STEP: ("start",), _FIXED_STEP: ()}.get(kind)
        if names is None:
            raise EOFError(f"a section of unknown type {kind}")
        return np.dtype([*((name, self.order + "u4") for name in names), ("value", self.order + "f4")])

    def _read_chroms(self, file: BinaryIO, offset: int) -> None:
        """Walk the tree of chromosomes."""
        is_leaf, _, count = struct.unpack(self.order + "BBH", _read(file, offset, 4))
        if is_leaf:
            for item in np.frombuffer(_read(file, offset + 4, count * self._chrom_item.itemsize), self._chrom_item):
                self.chroms[item["name"].decode()] = int(item["id"]), int(item["size"])
            return
        key_size = self._chrom_item["name"].itemsize
        nodes = np.frombuffer(
            _read(file, offset + 4, count * (key_size + 8)), [("name", f"S{key_size}"), ("child", self.order + "u8")]
        )
        for child in nodes["child"]:
            self._read_chroms(file, int(child))

    def _find(self, file: BinaryIO, offset: int, chrom: int) -> Iterator[tuple[int, int]]:
        """Walk the index; yield offset and bytes of the blocks of a chromosome."""
        is_leaf, _, count = struct.unpack(self.order + "BBH", _read(file, offset, 4))
        places = ((name, self.order + "u4") for name in ("first", "first_bp", "last", "last_bp"))
        sizes = [("size", self.order + "u8")] * bool(is_leaf)
        kind = np.dtype([*places, ("at", self.order + "u8"), *sizes])
        nodes = np.frombuffer(_read(file, offset + 4, count * kind.itemsize), kind)
        nodes = nodes[(nodes["first"] <= chrom) & (nodes["last"] >= chrom)]
        if is_leaf:
            yield from zip(nodes["at"].tolist(), nodes["size"].tolist(), strict=True)
            return
        for child in nodes["at"].tolist():
            yield from self._find(file, child, chrom)


@lru_cache(maxsize=8)
def _opened(path: Path, size: int, mtime: int) -> _Blocks:
    """Return the header and index of a file; a changed file is read again."""
    return _Blocks(path)


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    """Return bytes that must be there."""
    if offset + size > os.fstat(file.fileno()).st_size:
        raise EOFError(f"{size} bytes at {offset} run past its end")
    file.seek(offset)
    return file.read(size)
