"""A linear model of k-mer counts, trained in seconds: the floor that a network has to beat.

Features are log(1 + count) of each k-mer, a k-mer and its reverse complement as one, standardised over the training
windows: 2,080 numbers a window for k = 6. A ridge regression maps them to the targets, its penalty chosen on other
windows. Training data is read once and kept as its second moments, so memory does not grow with the windows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

K = 6
PENALTIES = tuple(10.0**power for power in range(-4, 4))  # of standardised features, a training window


@cache
def canonical_kmers(k: int = K) -> np.ndarray:
    """Return the feature of each k-mer, (4^k,) int64; a k-mer and its reverse complement share one.

    A k-mer is numbered in base 4 by its codes, the first base highest.
    """
    every = np.arange(4**k)
    complement = sum((3 - (every >> (2 * i)) % 4) << (2 * (k - 1 - i)) for i in range(k))
    return np.unique(np.minimum(every, complement), return_inverse=True)[1].astype(np.int64).ravel()


def kmer_counts(codes: np.ndarray, *, k: int = K) -> np.ndarray:
    """Count the k-mers of windows, both strands pooled.

    Args:
        codes: (B, L) base codes; a k-mer with an N is not counted.
        k: bases.

    Returns:
        (B, F) float32, F = 2,080 for k = 6.

    Raises:
        ValueError: windows shorter than `k`.
    """
    if codes.ndim != 2 or codes.shape[1] < k:
        raise ValueError(f"windows must be (B, L) with L of at least {k}, got {codes.shape}")
    canonical = canonical_kmers(k)
    length = codes.shape[1] - k + 1
    index = np.zeros((len(codes), length), np.int32)
    for i in range(k):
        index = index * 4 + codes[:, i : i + length]  # of known bases, each below 4
    width = int(canonical.max()) + 1
    if codes.max() < 4:
        flat = canonical[index] + (np.arange(len(codes)) * width)[:, None]
        return np.bincount(flat.ravel(), minlength=len(codes) * width).reshape(-1, width).astype(np.float32)
    known = np.lib.stride_tricks.sliding_window_view(codes < 4, k, axis=1).all(-1)
    rows = np.repeat(np.arange(len(codes)), known.sum(1))
    flat = rows * width + canonical[index[known]]
    return np.bincount(flat, minlength=len(codes) * width).reshape(-1, width).astype(np.float32)


def kmer_features(codes: np.ndarray, *, k: int = K) -> np.ndarray:
    """Return log(1 + count) of the k-mers of windows, (B, F) float32."""
    return np.log1p(kmer_counts(codes, k=k))


@dataclass(frozen=True)
class KmerRidge:
    """Ridge regressions of several targets on the k-mers of a window.

    Attributes:
        weights: (F, T) float64, of features that are not standardised.
        intercepts: (T,) float64.
        penalties: (T,) float64, the chosen one of each target.
        k: bases.
    """

    weights: np.ndarray
    intercepts: np.ndarray
    penalties: np.ndarray
    k: int = K

    def predict(self, codes: np.ndarray) -> np.ndarray:
        """Predict the targets of (B, L) base codes, (B, T) float64."""
        return kmer_features(codes, k=self.k) @ self.weights + self.intercepts


class RidgeMoments:
    """The second moments of features and targets, which is all that a ridge regression of any penalty needs.

    Targets may be missing, NaN; then the windows that have one are a target's own, and its moments are kept apart.
    """

    def __init__(self) -> None:
        self._sums: dict[bytes, tuple[np.ndarray, np.ndarray, int, np.ndarray]] = {}

    def add(self, features: np.ndarray, targets: np.ndarray) -> None:
        """Take in windows.

        Args:
            features: (B, F).
            targets: (B, T), NaN where not measured.
        """
        known = ~np.isnan(targets)
        for pattern in np.unique(known, axis=0):
            chosen = (known == pattern).all(1)
            rows = np.column_stack([features[chosen], np.where(pattern, targets[chosen], 0)]).astype(np.float64)
            key = pattern.tobytes()
            zeros = np.zeros((rows.shape[1], rows.shape[1])), np.zeros(rows.shape[1]), 0, pattern
            moments, total, count, _ = self._sums.get(key, zeros)
            self._sums[key] = (moments + rows.T @ rows, total + rows.sum(0), count + len(rows), pattern)

    def of_target(self, target: int, num_targets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, int]:
        """Return covariance (F, F), covariance with the target (F,), means (F,), the target's mean, and the count."""
        parts = [part for part in self._sums.values() if part[3][target]]
        if not parts:
            raise ValueError(f"target {target} was measured in no training window")
        moments = np.sum([part[0] for part in parts], axis=0)
        total = np.sum([part[1] for part in parts], axis=0)
        count = sum(part[2] for part in parts)
        width = len(total) - num_targets
        mean = total / count
        keep = [*range(width), width + target]
        covariance = moments[np.ix_(keep, keep)] / count - np.outer(mean[keep], mean[keep])
        return covariance[:-1, :-1], covariance[:-1, -1], mean[:width], float(mean[width + target]), int(count)


def fit_kmer_ridge(
    training: Iterable[tuple[np.ndarray, np.ndarray]],
    validation: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    penalties: Sequence[float] = PENALTIES,
    k: int = K,
) -> KmerRidge:
    """Fit one ridge regression a target, each with the penalty of the largest Pearson correlation on validation.

    Args:
        training: batches of base codes (B, L) and targets (B, T), NaN where not measured.
        validation: likewise; where a target does not vary there, the largest penalty is taken.
        penalties: to choose from; of a feature with variance 1 and targets averaged over windows.
        k: bases.

    Raises:
        ValueError: no training window, or a target that none has.
    """
    moments, num_targets = RidgeMoments(), 0
    for codes, targets in training:
        moments.add(kmer_features(codes, k=k), targets)
        num_targets = targets.shape[1]
    if not num_targets:
        raise ValueError("a k-mer ridge needs training windows, got none")
    held_out = [(kmer_features(codes, k=k), targets) for codes, targets in validation]
    weights, intercepts, chosen = [], [], []
    shared: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}  # decompositions, one a set of windows
    for target in range(num_targets):
        covariance, cross, mean, target_mean, count = moments.of_target(target, num_targets)
        scale = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
        key = hash((count, mean.tobytes()))
        if key not in shared:
            values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
            shared[key] = values, vectors, scale
        values, vectors, scale = shared[key]
        projected = vectors.T @ (cross / scale)
        # one column a penalty
        columns = np.column_stack([vectors @ (projected / (np.maximum(values, 0) + p)) / scale for p in penalties])
        scores = _scores(held_out, columns, target)
        best = int(np.argmax(np.where(np.isnan(scores), -np.inf, scores))) if not np.isnan(scores).all() else -1
        weights.append(columns[:, best])
        intercepts.append(target_mean - mean @ columns[:, best])
        chosen.append(penalties[best])
    return KmerRidge(np.column_stack(weights), np.array(intercepts), np.array(chosen), k)


def _scores(held_out: Sequence[tuple[np.ndarray, np.ndarray]], columns: np.ndarray, target: int) -> np.ndarray:
    """Return Pearson's r of each column of weights on the windows that have the target; NaN where it is undefined."""
    if not held_out:
        return np.full(columns.shape[1], np.nan)
    predicted = np.concatenate([features @ columns for features, _ in held_out])
    true = np.concatenate([targets[:, target] for _, targets in held_out])
    known = ~np.isnan(true)
    if known.sum() < 2 or np.ptp(true[known]) == 0:
        return np.full(columns.shape[1], np.nan)
    return np.array([_pearson(column, true[known]) for column in predicted[known].T])


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if np.ptp(one) else float("nan")
