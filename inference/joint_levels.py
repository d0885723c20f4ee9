"""Ranks of any number of pairs in bounded memory: Spearman's rho, and the calibration of a prediction.

Values are counted in levels of 1/64 of an octave from 2^-14 on (about 1 %; less is 0), pairs by their two levels: what
has to be kept is bounded by the levels there are, not by the pairs. Within a level ranks are tied: rho differs from
that of the values by less than 0.001 where they span octaves, by more where all predictions are nearly one.
"""

import math
from typing import Any

import numpy as np

_SHIFT = 23 - 6  # of a float32's bits, of which 6 of the mantissa are kept
_SMALLEST = np.float32(2.0**-14)
_PENDING = 1 << 18  # pairs that wait to be counted
_BASE = int(_SMALLEST.view(np.uint32) >> _SHIFT) - 1
_BITS = 16


class JointLevels:
    """Counts of pairs of levels."""

    def __init__(self) -> None:
        self._keys, self._counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._waiting: list[np.ndarray] = []
        self._num_waiting = 0

    def update(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Add pairs: two arrays of one shape, in raw units; below 0 is 0."""
        keys = (levels(predicted).ravel() << _BITS) + levels(true).ravel()
        self._waiting.append(keys)
        self._num_waiting += len(keys)
        if self._num_waiting >= _PENDING:
            self._count()

    def merge(self, other: "JointLevels") -> None:
        """Add the pairs that another has seen; `other` stays as it is."""
        other._count()
        self._count()
        self._keys, self._counts = _joined([self._keys, other._keys], [self._counts, other._counts])

    def spearman(self) -> float:
        """Return Spearman's rho of the levels; NaN where a side has a single one."""
        x, y, counts = self._pairs()
        if not len(counts):
            return math.nan
        dx, dy = (_mid_ranks(side, counts) - (counts.sum() + 1) / 2 for side in (x, y))
        scale = math.sqrt(float(counts @ dx**2) * float(counts @ dy**2))
        return float(counts @ (dx * dy)) / scale if scale else math.nan

    def calibration(self, groups: int = 20) -> list[dict[str, Any]]:
        """Return the mean true signal of bins of alike predictions.

        Levels of the prediction are joined, from the lowest on, until each group holds its share of the bins; a level
        is never divided, so groups may be fewer.

        Args:
            groups: at most.

        Returns:
            For each group `n`, mean `predicted` and mean `true` signal, raw units.
        """
        x, y, counts = self._pairs()
        if not len(counts):
            return []
        below = np.cumsum(np.bincount(x, counts)) - np.bincount(x, counts)  # pairs of lower levels
        group = np.minimum(groups - 1, (below * groups / counts.sum()).astype(np.int64))[x]
        n = np.bincount(group, counts)
        sums = [np.bincount(group, counts * level_values(side)) for side in (x, y)]
        return [
            {"n": int(n[i]), "predicted": float(sums[0][i] / n[i]), "true": float(sums[1][i] / n[i])}
            for i in np.flatnonzero(n)
        ]

    def quantiles(self, at: tuple[float, ...] = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)) -> list[dict[str, float]]:
        """Return the quantiles of the predicted and of the true signal, raw units; alike where both are alike."""
        x, y, counts = self._pairs()
        if not len(counts):
            return []
        wanted = np.array(at) * counts.sum()
        found = [
            level_values(np.searchsorted(np.cumsum(np.bincount(side, counts)), wanted, side="left")) for side in (x, y)
        ]
        return [{"quantile": q, "predicted": float(p), "true": float(t)} for q, p, t in zip(at, *found, strict=True)]

    def _count(self) -> None:
        if self._waiting:
            keys, counts = np.unique(np.concatenate(self._waiting), return_counts=True)
            self._keys, self._counts = _joined([self._keys, keys], [self._counts, counts])
            self._waiting, self._num_waiting = [], 0

    def _pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._count()
        return self._keys >> _BITS, self._keys & ((1 << _BITS) - 1), self._counts


def levels(values: np.ndarray) -> np.ndarray:
    """Return the level of each value, 0 for all below 2^-14, int64."""
    bits = np.ascontiguousarray(values, np.float32)
    raised = (np.where(bits >= _SMALLEST, bits, 0).astype(np.float32).view(np.uint32) >> _SHIFT).astype(np.int64)
    return np.maximum(raised - _BASE, 0)


def level_values(level: np.ndarray) -> np.ndarray:
    """Return the middle value of each level, float64."""
    bits = ((np.maximum(level, 1) + _BASE).astype(np.uint32) << _SHIFT) + np.uint32(1 << (_SHIFT - 1))
    return np.where(level > 0, bits.astype(np.uint32).view(np.float32).astype(np.float64), 0.0)


def _mid_ranks(side: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mean rank of each pair's level of one side."""
    per_level = np.bincount(side, counts)
    return (np.cumsum(per_level) - (per_level - 1) / 2)[side]


def _joined(keys: list[np.ndarray], counts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of counts by key, in the order of the keys."""
    found, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    return found, np.bincount(inverse, np.concatenate(counts), minlength=len(found)).astype(np.int64)
