"""Intervals on the flat axis of a store, and which positions lie in them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Runs:
    """Intervals that may overlap, ready to be asked about many positions at once.

    Attributes:
        firsts: (n,) int64 starts, ascending.
        lasts: (n,) int64, the largest end so far, so that overlapping intervals need no merging.
    """

    firsts: np.ndarray
    lasts: np.ndarray

    @classmethod
    def of(cls, starts: np.ndarray, ends: np.ndarray, *, unit: int = 1) -> "Runs":
        """Order intervals of bp; `unit` bp make a position, and one that is touched counts as inside."""
        order = np.argsort(starts, kind="stable")
        return cls(starts[order] // unit, -(-np.maximum.accumulate(ends[order]) // unit))

    def outside(self, positions: np.ndarray) -> np.ndarray:
        """Return 1 where positions lie in no interval and 0 where they lie in one, uint8 of the same shape."""
        if not len(self.firsts):
            return np.ones(positions.shape, np.uint8)
        before = np.searchsorted(self.firsts, positions, side="right") - 1  # the last that starts at or before
        return ((before < 0) | (positions >= self.lasts[before.clip(0)])).astype(np.uint8)

    def touched(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Return which of the windows [start, start + length) share a position with an interval, as indices."""
        before = np.searchsorted(self.firsts, starts + length) - 1  # the last that starts before the window's end
        return np.flatnonzero((before >= 0) & (self.lasts[before.clip(0)] > starts)) if len(self.firsts) else before[:0]
