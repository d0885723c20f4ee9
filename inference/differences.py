"""What tells tracks apart: the correlation of predicted with true differences between two tracks.

A model can follow what all tracks share and still know nothing of what is specific to one. The difference of two tracks
takes out what they share: Pearson's r, over places, of (predicted a - predicted b) with (true a - true b).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

_LEAST = 1e-9  # share of the tracks' own variance below which a difference is constant but for rounding


class DifferenceMoments:
    """Second moments of T predicted and T true tracks, from which the correlation of every difference follows.

    Memory is (2 T)^2 however many places are added.

    Args:
        num_tracks: T.
    """

    def __init__(self, num_tracks: int) -> None:
        self.n = 0
        self._num_tracks = num_tracks
        self._sum = np.zeros(2 * num_tracks)
        self._products = np.zeros((2 * num_tracks, 2 * num_tracks))
        self._origin: np.ndarray | None = None  # near the mean, so that a large offset costs no digits

    def add(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Add places.

        Args:
            predicted: (n, T) in the scale that is compared.
            true: (n, T); a place with a NaN in any track does not count.
        """
        known = ~np.isnan(true).any(1)
        rows = np.column_stack([predicted[known], true[known]]).astype(np.float64)
        if not len(rows):
            return
        origin = rows.mean(0) if self._origin is None else self._origin
        self._origin = origin
        rows -= origin
        self.n += len(rows)
        self._sum += rows.sum(0)
        self._products += rows.T @ rows

    def pairs(self) -> np.ndarray:
        """Return r of each pair of tracks, (T, T) symmetric; NaN on the diagonal and where a difference is constant."""
        count = self._num_tracks
        if not self.n:
            return np.full((count, count), np.nan)
        mean = self._sum / self.n
        covariance = self._products / self.n - np.outer(mean, mean)
        both = _of_differences(covariance[:count, count:])
        variances = []
        for block in (covariance[:count, :count], covariance[count:, count:]):
            own = np.diag(block)
            variance = _of_differences(block)
            variances.append(np.where(variance > _LEAST * (own[:, None] + own), variance, np.nan))
        return np.clip(both / np.sqrt(variances[0] * variances[1]), -1, 1)

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """Return `n`, the `mean` over pairs, and for each of `tracks` that over its pairs; None where none has one."""
        pairs = self.pairs()
        return {
            "n": self.n,
            "mean": _mean(pairs[np.triu_indices(len(names), 1)]),
            "tracks": {name: _mean(row) for name, row in zip(names, pairs, strict=True)},
        }


def _of_differences(block: np.ndarray) -> np.ndarray:
    """Turn cov(x_i, y_j) (T, T) into cov(x_a - x_b, y_a - y_b), (T, T)."""
    own = np.diag(block)
    return own[:, None] + own - block - block.T


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
