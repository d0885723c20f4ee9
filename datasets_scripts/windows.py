"""Tables of windows: where they lie, and which are left out.

A table has columns chrom, start, end (0-based half-open; start may be negative and end past the chromosome until
`drop_off_ends`). Every `drop_*` returns the table without some windows, and how many it left out.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .bed import sizes_of
from .store import GenomeStore

_COLUMNS = ["chrom", "start", "end"]
NUM_GC_BINS = 50  # of 2 % each
_CANDIDATES_PER_WINDOW = 20
_GATHER = 4096  # windows whose bases are looked at together


def whole_chroms(chrom_sizes: Mapping[str, int]) -> pd.DataFrame:
    """Return one interval a chromosome, from its first to its last base."""
    return pd.DataFrame({"chrom": list(chrom_sizes), "start": 0, "end": list(chrom_sizes.values())})


def tile_windows(chrom_sizes: Mapping[str, int], *, length: int, stride: int) -> pd.DataFrame:
    """Return windows at 0, stride, 2 stride, ... of every chromosome that end within it."""
    return tile_intervals(whole_chroms(chrom_sizes), length=length, stride=stride)


def tile_intervals(intervals: pd.DataFrame, *, length: int, stride: int, align: int = 1) -> pd.DataFrame:
    """Return windows that lie inside the intervals, `stride` apart.

    Args:
        intervals: columns chrom, start, end.
        length: bp of a window.
        stride: bp from one start to the next.
        align: the first window of an interval starts on the interval's first multiple of it.

    Raises:
        ValueError: `length` or `stride` is not positive.
    """
    if length <= 0 or stride <= 0:
        raise ValueError(f"`length` and `stride` must be positive, got {length} and {stride}")
    first = -(-intervals["start"].to_numpy(np.int64) // align) * align
    number = np.maximum(0, (intervals["end"].to_numpy(np.int64) - length - first) // stride + 1)
    step = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    chroms = intervals["chrom"].to_numpy(object)
    return _table(np.repeat(chroms, number), np.repeat(first, number) + step * stride, length)


def peak_windows(peaks: pd.DataFrame, *, length: int, merge_distance: int = 200, align: int = 1) -> pd.DataFrame:
    """Return windows centred on summits; summits chained within `merge_distance` become one at their integer mean.

    The rule of Grover et al. 2026, without the reference code's loss of each chromosome's last cluster.

    Args:
        peaks: columns chrom, summit.
        length: bp of a window; its start is the centre - length // 2.
        merge_distance: bp between neighbouring summits that still belong together.
        align: starts are moved down to a multiple of it.
    """
    tables = [_table(np.zeros(0, object), np.zeros(0, np.int64), length)]
    for chrom, rows in peaks.groupby("chrom", sort=False):
        summits = np.sort(rows["summit"].to_numpy(np.int64))
        first = np.flatnonzero(np.diff(summits, prepend=summits[0] - merge_distance - 1) > merge_distance)
        sizes = np.diff(np.append(first, len(summits)))
        centres = np.add.reduceat(summits, first) // sizes
        starts = (centres - length // 2) // align * align
        tables.append(_table(np.full(len(starts), chrom, object), starts, length))
    return pd.concat(tables, ignore_index=True)


def background_windows(
    store: GenomeStore, *, length: int, like: pd.DataFrame, count: int, seed: int, within: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Draw windows away from peaks whose GC content is distributed as that of other windows.

    Candidates tile the intervals without overlap, touch no peak and are at most 35 % N. Each 2-% bin of GC gets the
    share of `like` in it; a bin that runs out takes none from others, so fewer than `count` may come.

    Args:
        store: gives the bases and the peaks.
        length: bp of a window.
        like: windows whose GC is matched.
        count: windows wanted.
        seed: of the choice.
        within: intervals to draw from; the whole genome when None.

    Returns:
        At most `count` windows in the order of the genome.
    """
    within = whole_chroms(store.chrom_sizes) if within is None else within
    rng = np.random.default_rng(seed)
    candidates = tile_intervals(within, length=length, stride=length, align=store.bin_size)
    candidates, _ = drop_overlapping(candidates, store.peaks)
    candidates, _ = drop_covered(candidates, store.gaps, max_fraction=0.35)
    order = rng.permutation(len(candidates))[: count * _CANDIDATES_PER_WINDOW]
    wanted = np.bincount(gc_bins(store, like), minlength=NUM_GC_BINS)
    quota = _shares(wanted, count)
    found = gc_bins(store, candidates.iloc[order])
    chosen = np.concatenate([order[found == b][: quota[b]] for b in range(NUM_GC_BINS)])
    return candidates.iloc[np.sort(chosen)].reset_index(drop=True)


def drop_off_ends(windows: pd.DataFrame, chrom_sizes: Mapping[str, int]) -> tuple[pd.DataFrame, int]:
    """Leave out windows that hang off an end of their chromosome."""
    starts, ends = windows["start"].to_numpy(), windows["end"].to_numpy()
    return _keep(windows, (starts >= 0) & (ends <= sizes_of(windows, chrom_sizes)))


def drop_overlapping(windows: pd.DataFrame, intervals: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Leave out windows that share a base with an interval; touching one is no overlap."""
    return _keep(windows, covered_bp(windows, intervals) == 0)


def drop_covered(windows: pd.DataFrame, intervals: pd.DataFrame, *, max_fraction: float) -> tuple[pd.DataFrame, int]:
    """Leave out windows of which more than `max_fraction` lies in intervals; overlapping intervals count once."""
    length = (windows["end"] - windows["start"]).to_numpy()
    return _keep(windows, covered_bp(windows, intervals) <= max_fraction * length)


def covered_bp(windows: pd.DataFrame, intervals: pd.DataFrame) -> np.ndarray:
    """Return how many bases of each window lie in at least one interval, (n,) int64."""
    covered = np.zeros(len(windows), np.int64)
    chroms, starts, ends = (windows[column].to_numpy() for column in _COLUMNS)
    for chrom, rows in intervals.groupby("chrom", sort=False):
        here = np.flatnonzero(chroms == chrom)
        if len(here):
            first, last = _merged(rows["start"].to_numpy(np.int64), rows["end"].to_numpy(np.int64))
            covered[here] = _covered_before(ends[here], first, last) - _covered_before(starts[here], first, last)
    return covered


def _covered_before(positions: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return how many bases left of each position lie in sorted, disjoint intervals [first, last)."""
    before = np.concatenate([[0], np.cumsum(last - first)])
    i = np.searchsorted(first, positions, side="right")  # intervals that start at or before the position
    reached = np.where(i > 0, np.maximum(0, last[np.maximum(i - 1, 0)] - positions), 0)  # beyond the position
    return before[i] - reached


def _merged(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the union of intervals as sorted, disjoint ones."""
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    new = np.flatnonzero(np.append(True, starts[1:] > reach[:-1]))
    return starts[new], reach[np.append(new[1:], len(starts)) - 1]


def gc_bins(store: GenomeStore, windows: pd.DataFrame) -> np.ndarray:
    """Return the 2-% bin of each window's GC content among A C G T, (n,) int64."""
    bins = np.zeros(len(windows), np.int64)
    length = int((windows["end"] - windows["start"]).iloc[0]) if len(windows) else 0
    starts = store.flat_starts(windows)
    for i in range(0, len(windows), _GATHER):
        codes = store.gather_codes(starts[i : i + _GATHER], length)
        strong, known = ((codes == 1) | (codes == 2)).sum(axis=1), (codes < 4).sum(axis=1)
        bins[i : i + _GATHER] = np.minimum(strong * NUM_GC_BINS // np.maximum(known, 1), NUM_GC_BINS - 1)
    return bins


def _shares(weights: np.ndarray, count: int) -> np.ndarray:
    """Return integers that sum to `count` in proportion to the weights (largest remainders first)."""
    exact = weights * (count / max(1, weights.sum()))
    shares = np.floor(exact).astype(np.int64)
    rest = round(exact.sum()) - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:rest]] += 1
    return shares


def _table(chroms: np.ndarray, starts: np.ndarray, length: int) -> pd.DataFrame:
    """Return windows of one length."""
    return pd.DataFrame({"chrom": chroms.astype(str).astype(object), "start": starts, "end": starts + length})


def _keep(windows: pd.DataFrame, keep: np.ndarray) -> tuple[pd.DataFrame, int]:
    """Return the windows to keep and the number of others."""
    return windows.take(np.flatnonzero(keep)).reset_index(drop=True), int((~keep).sum())
