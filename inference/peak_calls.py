"""Peaks of a signal by a cutoff, as `macs3 bdgpeakcall` calls them, and how well two sets of them agree.

A peak is a stretch of bins at or above the cutoff, over gaps of at most `max_gap` bp, of at least `min_length` bp. Its
summit is the middle of its highest stretch, of several the middle one (macs3-project/MACS@v3.0.4:MACS3/Signal/
BedGraph.py, `call_peaks`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

MIN_OVERLAP = 0.5


class Peak(NamedTuple):
    """A called peak; `summit` is in bp of the chromosome, `height` its signal there."""

    start: int
    end: int
    summit: int
    height: float


@dataclass(frozen=True)
class CallRule:
    """How peaks are called; the lengths are MACS's defaults.

    Attributes:
        cutoff: least signal, in its own unit.
        min_length: bp of a peak, at least.
        max_gap: bp between stretches that are joined, at most.
    """

    cutoff: float
    min_length: int = 200
    max_gap: int = 30

    def __post_init__(self) -> None:
        if not self.cutoff > 0:
            raise ValueError(f"the cutoff of peaks must be above 0, got {self.cutoff}")
        if self.min_length < 1 or self.max_gap < 0:
            raise ValueError(
                f"peaks must have at least 1 bp and gaps at least 0, got {self.min_length} and {self.max_gap}"
            )


class PeakCaller:
    """Calls the peaks of one chromosome from pieces of its signal, in ascending order.

    Args:
        rule: what a peak is.
        bin_size: bp per bin.
    """

    def __init__(self, rule: CallRule, *, bin_size: int) -> None:
        self.rule, self.bin_size = rule, bin_size
        self.peaks: list[Peak] = []
        self._open: list[tuple[int, int, float]] = []  # stretches (start, end, signal) of the peak that may go on

    def add(self, start: int, values: np.ndarray) -> None:
        """Read on.

        Args:
            start: bp of the first bin; not below the end of the piece before.
            values: (n,) signal; NaN is a gap.
        """
        values = np.asarray(values, np.float32)
        edges = np.flatnonzero(values[1:] != values[:-1]) + 1
        firsts, lasts = np.append(0, edges), np.append(edges, len(values))
        high = np.flatnonzero(values[firsts] >= self.rule.cutoff) if len(values) else []
        for i in high:
            self._extend(
                start + int(firsts[i]) * self.bin_size, start + int(lasts[i]) * self.bin_size, float(values[firsts[i]])
            )

    def finish(self) -> list[Peak]:
        """Return all peaks."""
        self._close()
        return self.peaks

    def _extend(self, start: int, end: int, value: float) -> None:
        if self._open and start - self._open[-1][1] > self.rule.max_gap:
            self._close()
        if self._open and self._open[-1][1:] == (start, value):  # a stretch that a piece's end cut in two
            start = self._open.pop()[0]
        self._open.append((start, end, value))

    def _close(self) -> None:
        stretches, self._open = self._open, []
        if not stretches or stretches[-1][1] - stretches[0][0] < self.rule.min_length:
            return
        height = max(value for _, _, value in stretches)
        summits = [(start + end) // 2 for start, end, value in stretches if value == height]
        summit = summits[(len(summits) + 1) // 2 - 1]
        self.peaks.append(Peak(stretches[0][0], stretches[-1][1], summit, height))


@dataclass
class Agreement:
    """Numbers of peaks, added up over chromosomes.

    Attributes:
        predicted: peaks of the predicted signal.
        true: peaks of the true signal.
        predicted_matched: of the former, those that match a true one.
        true_matched: of the latter, those that match a predicted one.
    """

    predicted: int = 0
    true: int = 0
    predicted_matched: int = 0
    true_matched: int = 0

    def merge(self, other: "Agreement") -> None:
        """Add another's numbers."""
        self.predicted += other.predicted
        self.true += other.true
        self.predicted_matched += other.predicted_matched
        self.true_matched += other.true_matched

    def summary(self) -> dict[str, Any]:
        """Return the numbers with precision, recall and F1; None where there is no peak to judge."""
        precision = self.predicted_matched / self.predicted if self.predicted else None
        recall = self.true_matched / self.true if self.true else None
        both = (precision or 0) + (recall or 0)
        f1 = 2 * (precision or 0) * (recall or 0) / both if both else 0.0 if self.predicted or self.true else None
        return {**vars(self), "precision": precision, "recall": recall, "f1": f1}


def agreement(predicted: Sequence[Peak], true: Sequence[Peak], *, min_overlap: float = MIN_OVERLAP) -> Agreement:
    """Match the peaks of one chromosome.

    Two peaks match where they share at least `min_overlap` of the shorter one's length. A peak may match several.

    Args:
        predicted: in ascending order, without overlaps.
        true: the same.
        min_overlap: in (0, 1].
    """
    matched: tuple[set[int], set[int]] = (set(), set())
    i = j = 0
    while i < len(predicted) and j < len(true):
        one, other = predicted[i], true[j]
        shared = min(one.end, other.end) - max(one.start, other.start)
        if shared > 0 and shared >= min_overlap * min(one.end - one.start, other.end - other.start):
            matched[0].add(i)
            matched[1].add(j)
        if one.end <= other.end:
            i += 1
        else:
            j += 1
    return Agreement(len(predicted), len(true), len(matched[0]), len(matched[1]))


class PeakComparison:
    """Calls peaks on predicted and on true signal side by side and compares them, chromosome by chromosome.

    Args:
        rule: what a peak is, on both sides.
        bin_size: bp per bin.
    """

    def __init__(self, rule: CallRule, *, bin_size: int) -> None:
        self.rule, self.bin_size = rule, bin_size
        self.chroms: dict[str, Agreement] = {}
        self._chrom: str | None = None
        self._callers: tuple[PeakCaller, PeakCaller]

    def add(self, chrom: str, starts: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> None:
        """Read on: one chromosome after the other, each in ascending order.

        Args:
            chrom: name.
            starts: (B,) bp of the first bin of each row.
            predicted: (B, bins) signal.
            true: the same, NaN where masked, which masks both.
        """
        if chrom != self._chrom:
            self._close()
            self._chrom = chrom
            self._callers = (
                PeakCaller(self.rule, bin_size=self.bin_size),
                PeakCaller(self.rule, bin_size=self.bin_size),
            )
        predicted = np.where(np.isnan(true), np.nan, predicted)
        for start, *rows in zip(starts.tolist(), predicted, true, strict=True):
            for caller, row in zip(self._callers, rows, strict=True):
                caller.add(start, row)

    def results(self) -> dict[str, Any]:
        """Return the rule and the numbers, `pooled` and of each of `chroms`."""
        self._close()
        pooled = Agreement()
        for found in self.chroms.values():
            pooled.merge(found)
        return {
            "rule": {**vars(self.rule), "min_overlap": MIN_OVERLAP},
            "pooled": pooled.summary(),
            "chroms": {chrom: found.summary() for chrom, found in self.chroms.items()},
        }

    def _close(self) -> None:
        if self._chrom is not None:
            self.chroms[self._chrom] = agreement(*(caller.finish() for caller in self._callers))
        self._chrom = None


def default_cutoff(true: np.ndarray, *, quantile: float = 0.98) -> float:
    """Return a cutoff for signal of any unit: the quantile of its bins, or where that is 0 the median of those above.

    Args:
        true: values of any shape, NaN where masked.
        quantile: 0.98 leaves a fiftieth of the bins, about the share of a genome that is open.

    Returns:
        Above 0; 1 where no bin is.
    """
    known = true[~np.isnan(true)]
    above = known[known > 0]
    if not len(above):
        return 1.0
    cutoff = float(np.quantile(known, quantile))
    return cutoff if cutoff > 0 else float(np.median(above))
