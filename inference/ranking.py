"""How well scores rank: AUROC and AUPRC of positives above negatives, their curves, Spearman; exact with ties.

Both depend only on the order of the scores, so any strictly rising function of them gives the same numbers.
"""

import math

import numpy as np


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under the ROC curve: the chance that a positive scores above a negative, a tie counting half.

    By ranks (Mann & Whitney 1947): (sum of the positives' mid-ranks - P (P + 1) / 2) / (P N).

    Args:
        scores: (n,) of any real dtype.
        labels: (n,) of 0 and 1, or bool.

    Returns:
        A number in [0, 1]; NaN without a positive or without a negative.

    Raises:
        ValueError: the shapes differ, or a score is NaN.
    """
    above, both = _steps(scores, labels)
    positives, negatives = int(above.sum()), int((both - above).sum())
    if not positives or not negatives:
        return math.nan
    # from the highest score down: negatives of a step lie below all positives before it and level with its own
    before = np.cumsum(above) - above
    twice = int(((both - above) * (2 * before + above)).sum())
    return twice / (2 * positives * negatives)


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under the precision-recall curve as steps: the sum of (recall gained) x (precision there).

    Equal scores are one step. A random order gives the share of positives on average.

    Args:
        scores: (n,).
        labels: (n,) of 0 and 1, or bool.

    Returns:
        A number in (0, 1]; NaN without a positive or without a negative.

    Raises:
        ValueError: the shapes differ, or a score is NaN.
    """
    above, both = _steps(scores, labels)
    positives = int(above.sum())
    if not positives or positives == int(both.sum()):
        return math.nan
    return float((above / positives * (np.cumsum(above) / np.cumsum(both))).sum())


def roc_curve(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return false and true positive rates from (0, 0) to (1, 1), one point a distinct score.

    Args:
        scores: (n,).
        labels: (n,) of 0 and 1, with both.
    """
    above, both = _steps(scores, labels)
    false, true = np.cumsum(both - above), np.cumsum(above)
    return np.append(0, false / max(1, false[-1])), np.append(0, true / max(1, true[-1]))


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation: Pearson's of mid-ranks.

    Args:
        one: (n,) of any real dtype.
        other: (n,) likewise.

    Returns:
        A number in [-1, 1]; NaN where one side is constant.

    Raises:
        ValueError: the shapes differ, or a value is NaN.
    """
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"both sides must have one shape (n,), got {one.shape} and {other.shape}")
    if np.isnan(one).any() or np.isnan(other).any():
        raise ValueError("both sides must be numbers, got NaN")
    first, second = ranks(one), ranks(other)
    if not len(first) or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 1 of (n,) values, equal ones with the mean of their ranks, float64."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse.ravel()]


def _steps(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each distinct score from the highest down, the number of positives and of all; both int64."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.shape != labels.shape or scores.ndim != 1:
        raise ValueError(f"`scores` and `labels` must have one shape (n,), got {scores.shape} and {labels.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"`scores` must be numbers, got NaN in {int(np.isnan(scores).sum())} of {len(scores)}")
    order = np.argsort(scores, kind="stable")[::-1]
    ranked = scores[order]
    first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])[: len(ranked)])
    if not len(first):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    positive = (labels[order] > 0).astype(np.int64)
    return np.add.reduceat(positive, first), np.diff(np.append(first, len(ranked)))
