"""A linear model of k-mer counts, trained in seconds: the floor that a network has to beat.

Features are log(1 + count) of each k-mer, a k-mer and its reverse complement as one, standardised over the training
windows: 2,080 numbers a region for k = 6. A ridge regression maps them to the targets, its penalty chosen on other
windows. Training data is read once and kept as its second moments, so memory does not grow with the windows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..modeling.kmer_part import code_counts, middle

K = 6
PENALTIES = tuple(10.0**power for power in range(-4, 4))  # of standardised features, a training window


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
    return code_counts(torch.from_numpy(np.array(codes)), k).numpy()  # a copy: a store's arrays are not writable


def kmer_features(codes: np.ndarray, *, k: int = K, widths: Sequence[int] | None = None) -> np.ndarray:
    """Return log(1 + count) of the k-mers of windows, (B, R F) float32.

    Args:
        codes: (B, L) base codes.
        k: bases.
        widths: bp in the middle of the window, one region each; a width larger than the window is the window. None
            takes the whole window alone.
    """
    length = codes.shape[1]
    parts = [kmer_counts(codes[:, middle(length, width)], k=k) for width in ((length,) if widths is None else widths)]
    return np.log1p(np.concatenate(parts, 1))


@dataclass(frozen=True)
class KmerRidge:
    """Ridge regressions of several targets on the k-mers of a window.

    Attributes:
        weights: (F, T) float64, of features that are not standardised.
        intercepts: (T,) float64.
        penalties: (T,) float64, the chosen one of each target.
        k: bases.
        widths: bp of the regions in the middle of the window, as in `kmer_features`.
    """

    weights: np.ndarray
    intercepts: np.ndarray
    penalties: np.ndarray
    k: int = K
    widths: tuple[int, ...] | None = None

    def predict(self, codes: np.ndarray) -> np.ndarray:
        """Predict the targets of (B, L) base codes, (B, T) float64."""
        return kmer_features(codes, k=self.k, widths=self.widths) @ self.weights + self.intercepts


@dataclass
class _Sums:
    """The sums over windows that have the same targets measured.

    Attributes:
        known: (T,) bool.
        products: (F + T, F + T) float64.
        totals: (F + T,) float64.
        count: windows.
    """

    known: np.ndarray
    products: np.ndarray
    totals: np.ndarray
    count: int = 0


class RidgeMoments:
    """The second moments of features and targets, which is all that a ridge regression of any penalty needs.

    Targets may be missing, NaN; then the windows that have one are a target's own, and its moments are kept apart.
    """

    def __init__(self) -> None:
        self._sums: dict[bytes, _Sums] = {}

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
            width = rows.shape[1]
            fresh = _Sums(pattern, np.zeros((width, width)), np.zeros(width))
            sums = self._sums.setdefault(pattern.tobytes(), fresh)
            sums.products += rows.T @ rows
            sums.totals += rows.sum(0)
            sums.count += len(rows)

    def of_target(self, target: int, num_targets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, int]:
        """Return covariance (F, F), covariance with the target (F,), means (F,), the target's mean, and the count."""
        parts = [part for part in self._sums.values() if part.known[target]]
        if not parts:
            raise ValueError(f"target {target} was measured in no training window")
        width = len(parts[0].totals) - num_targets
        keep = np.array([*range(width), width + target])
        count = sum(part.count for part in parts)
        products, totals = parts[0].products[np.ix_(keep, keep)], parts[0].totals[keep]
        for part in parts[1:]:
            products, totals = products + part.products[np.ix_(keep, keep)], totals + part.totals[keep]
        mean = totals / count
        covariance = products / count - np.outer(mean, mean)
        return covariance[:-1, :-1], covariance[:-1, -1], mean[:-1], float(mean[-1]), count


def fit_kmer_ridge(
    training: Iterable[tuple[np.ndarray, np.ndarray]],
    validation: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    penalties: Sequence[float] = PENALTIES,
    k: int = K,
    widths: Sequence[int] | None = None,
) -> KmerRidge:
    """Fit one ridge regression a target, each with the penalty of the largest Pearson correlation on validation.

    Args:
        training: batches of base codes (B, L) and targets (B, T), NaN where not measured.
        validation: likewise; where a target does not vary there, the largest penalty is taken.
        penalties: to choose from; of a feature with variance 1 and targets averaged over windows.
        k: bases.
        widths: bp of the regions in the middle of the window, as in `kmer_features`.

    Raises:
        ValueError: no training window, or a target that none has.
    """
    moments, num_targets = RidgeMoments(), 0
    for codes, targets in training:
        moments.add(kmer_features(codes, k=k, widths=widths), targets)
        num_targets = targets.shape[1]
    if not num_targets:
        raise ValueError("a k-mer ridge needs training windows, got none")
    candidates, intercepts = [], []  # of each target (F, penalties) and (penalties,)
    shared: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}  # decompositions, one a set of windows
    for target in range(num_targets):
        covariance, cross, mean, target_mean, count = moments.of_target(target, num_targets)
        key = hash((count, mean.tobytes()))
        if key not in shared:
            scale = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
            values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
            shared[key] = np.maximum(values, 0), vectors, scale
        values, vectors, scale = shared[key]
        projected = vectors.T @ (cross / scale)
        columns = np.column_stack([vectors @ (projected / (values + p)) / scale for p in penalties])
        candidates.append(columns)
        intercepts.append(target_mean - mean @ columns)
    scores = _scores(validation, np.concatenate(candidates, 1), k, widths).reshape(num_targets, len(penalties))
    defined = ~np.isnan(scores)
    best = np.where(defined.any(1), np.where(defined, scores, -np.inf).argmax(1), len(penalties) - 1)
    return KmerRidge(
        np.column_stack([columns[:, i] for columns, i in zip(candidates, best, strict=True)]),
        np.array([offsets[i] for offsets, i in zip(intercepts, best, strict=True)]),
        np.array(penalties)[best],
        k,
        None if widths is None else tuple(widths),
    )


def _scores(
    validation: Iterable[tuple[np.ndarray, np.ndarray]], columns: np.ndarray, k: int, widths: Sequence[int] | None
) -> np.ndarray:
    """Return Pearson's r of each column of weights with its target; NaN where it is undefined.

    Args:
        validation: batches of base codes and targets.
        columns: (F, T P), the P columns of a target side by side.
        k: bases.
        widths: of the regions.
    """
    parts = [(kmer_features(codes, k=k, widths=widths) @ columns, targets) for codes, targets in validation]
    if not parts:
        return np.full(columns.shape[1], np.nan)
    predicted, true = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    num_penalties = columns.shape[1] // true.shape[1]
    return np.array([_pearson(column, true[:, i // num_penalties]) for i, column in enumerate(predicted.T)])


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    known = ~np.isnan(other)
    one, other = one[known], other[known]
    defined = len(one) > 1 and np.ptp(one) and np.ptp(other)
    return float(np.corrcoef(one, other)[0, 1]) if defined else float("nan")
