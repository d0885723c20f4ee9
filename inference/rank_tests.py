"""Tests on ranks: Mann-Whitney U, Wilcoxon signed ranks.

Exact where the numbers are few and without ties, by the normal approximation with continuity and tie correction
elsewhere (Hollander, Wolfe & Chicken 2014, sections 3.1 and 4.1), as scipy does.
"""

import math

import numpy as np

from .ranking import ranks

_EXACT_UP_TO = 50  # values of a side


def mann_whitney(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return U of `x` (pairs in which x is larger, ties half) and the two-sided p-value; both sides need a value.

    Raises:
        ValueError: a side is empty.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    n, m = len(x), len(y)
    if not n or not m:
        raise ValueError(f"the Mann-Whitney test needs values on both sides, got {n} and {m}")
    together = np.concatenate([x, y])
    u = float(ranks(together)[:n].sum() - n * (n + 1) / 2)
    counts = np.unique(together, return_counts=True)[1]
    if counts.max() == 1 and max(n, m) <= _EXACT_UP_TO:
        ways = _rank_sum_ways(n, m)
        return u, _two_sided(ways, u)
    variance = n * m / 12 * ((n + m + 1) - float((counts**3 - counts).sum()) / ((n + m) * (n + m - 1)))
    return u, _normal_two_sided(u - n * m / 2, variance)


def wilcoxon(differences: np.ndarray) -> tuple[float, float]:
    """Return the sum of ranks of positive differences and the two-sided p-value; differences of 0 are left out.

    Returns:
        (0, 1) where no difference is left.
    """
    d = np.asarray(differences, np.float64)
    d = d[d != 0]
    if not len(d):
        return 0.0, 1.0
    sizes = ranks(np.abs(d))
    w, n = float(sizes[d > 0].sum()), len(d)
    counts = np.unique(np.abs(d), return_counts=True)[1]
    if counts.max() == 1 and n <= _EXACT_UP_TO:
        ways = np.ones(1)
        for rank in range(1, n + 1):
            ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))
        return w, _two_sided(ways, w)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((counts**3 - counts).sum()) / 48
    return w, _normal_two_sided(w - n * (n + 1) / 4, variance)


def _rank_sum_ways(n: int, m: int) -> np.ndarray:
    """Return in how many of the orders of n and m values U is 0, 1, ..., n * m (Mann & Whitney 1947, eq. 2)."""
    table = {(0, j): np.ones(1) for j in range(m + 1)} | {(i, 0): np.ones(1) for i in range(n + 1)}
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            # the largest value is one of x, above all j of y, or one of y
            table[i, j] = np.pad(table[i - 1, j], (j, 0)) + np.pad(table[i, j - 1], (0, i))
    return table[n, m]


def _two_sided(ways: np.ndarray, statistic: float) -> float:
    """Return twice the smaller tail of a symmetric distribution over 0, 1, ..., at most 1."""
    shares, at = ways / ways.sum(), round(statistic)
    return float(min(1.0, 2 * min(shares[: at + 1].sum(), shares[at:].sum())))


def _normal_two_sided(gap: float, variance: float) -> float:
    if variance <= 0:
        return 1.0
    z = max(0.0, abs(gap) - 0.5) / math.sqrt(variance)
    return min(1.0, math.erfc(z / math.sqrt(2)))
