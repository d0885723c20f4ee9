"""What is measured on the scored windows of a classifier, of its base and of its floor alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.window_labels import LabelRule, window_labels
from ..datasets_scripts.windows import NUM_GC_BINS, covered_bp, gc_bins
from .differences import DifferenceMoments
from .metrics import PearsonState, finite_or_none
from .peak_signal import window_peak_means
from .ranking import auroc, average_precision

SETS = ("closed", "other_types")
MEAN = "mean"


@dataclass(frozen=True)
class ClassWindows:
    """Windows whose scores are measured, and what is true of them.

    Attributes:
        names: T tracks.
        windows: n rows chrom, start, end.
        labels: (n, T) bool.
        known: (n, T) bool, whether a track was measured there.
        has_peak: (n,) bool, whether a window has a peak of any track.
        gc: (n,) bin of each window's GC content.
        signal: (n, T) log1p of the mean signal of the central 200 bp.
        negative_ratio: closed windows per positive.
        seed: of their choice.
    """

    names: list[str]
    windows: pd.DataFrame
    labels: np.ndarray
    known: np.ndarray
    has_peak: np.ndarray
    gc: np.ndarray
    signal: np.ndarray
    negative_ratio: float = 1.0
    seed: int = 0

    @classmethod
    def of(
        cls, store: GenomeStore, windows: pd.DataFrame, rule: LabelRule, *, negative_ratio: float, seed: int
    ) -> "ClassWindows":
        """Read what is true of windows of one length.

        Raises:
            ValueError: the rule does not fit the store's bins.
        """
        labels, known = window_labels(store, windows, rule)
        return cls(
            list(store.track_names),
            windows,
            labels,
            known,
            covered_bp(windows, store.peaks) > 0,
            gc_bins(store, windows),
            np.log1p(window_peak_means(store, windows)),
            negative_ratio,
            seed,
        )

    def measure(self, scores: np.ndarray) -> dict[str, Any]:
        """Return all numbers of scores (n, T): `results`, `peak_signal`, `mean` and, of several tracks, `differences`.

        `differences` is over windows with a peak of any track: Pearson's r of the difference of two tracks' scores with
        that of their peak signal, as `DifferenceMoments.summary` has it.
        """
        results = {name: self._track(scores[:, i], i) for i, name in enumerate(self.names)}
        signal = {}
        for i, name in enumerate(self.names):
            chosen = self.has_peak & self.known[:, i]
            state = PearsonState()
            state.update(scores[chosen, i], self.signal[chosen, i])
            signal[name] = finite_or_none(state.compute())
        found: dict[str, Any] = {
            "results": results,
            "peak_signal": signal,
            MEAN: {name: _mean([result[name] for result in results.values()]) for name in SETS},
        }
        if len(self.names) > 1:
            moments = DifferenceMoments(len(self.names))
            true = np.where(self.known, self.signal, np.nan)
            moments.add(scores[self.has_peak], true[self.has_peak])
            found["differences"] = moments.summary(self.names)
        return found

    def gain(self, tuned: np.ndarray, base: np.ndarray) -> dict[str, Any]:
        """Return what fine-tuning added of a type: AUROC of (tuned - base) logits among "other_types".

        What both models know alike cancels; 0.5 is no gain.

        Args:
            tuned: (n, T) logits.
            base: (n, T) logits of the model that it started from.

        Returns:
            `tracks[name]`, None without one of the two kinds of windows, and the `mean` over those that have one.
        """
        tracks = {
            name: self._track(tuned[:, i] - base[:, i], i)["other_types"]["auroc"] for i, name in enumerate(self.names)
        }
        known = [value for value in tracks.values() if value is not None]
        return {"tracks": tracks, MEAN: sum(known) / len(known) if known else None}

    def _track(self, scores: np.ndarray, i: int) -> dict[str, dict[str, Any]]:
        labels, known = self.labels[:, i], self.known[:, i]
        return class_scores(scores, labels, known, self.has_peak, self.gc, self.negative_ratio, self.seed)


def class_scores(
    scores: np.ndarray,
    labels: np.ndarray,
    known: np.ndarray,
    has_peak: np.ndarray,
    gc: np.ndarray,
    negative_ratio: float,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return the numbers of one track.

    Args:
        scores: (n,) any rising function of the probability.
        labels: (n,) bool.
        known: (n,) bool, whether the track was measured there.
        has_peak: (n,) bool, whether a window has a peak of any track.
        gc: (n,) bin of each window's GC content, below `NUM_GC_BINS`.
        negative_ratio: closed windows per positive.
        seed: of their choice.
    """
    positives = np.flatnonzero(labels & known)
    others = {
        "closed": np.flatnonzero(~has_peak & ~labels & known),
        "other_types": np.flatnonzero(has_peak & ~labels & known),
    }
    others["closed"] = matched_rows(gc[positives], others["closed"], gc, ratio=negative_ratio, seed=seed)
    found = {}
    for name, negatives in others.items():
        chosen = np.concatenate([positives, negatives])
        is_open = np.arange(len(chosen)) < len(positives)
        measures = {"auroc": auroc(scores[chosen], is_open), "auprc": average_precision(scores[chosen], is_open)}
        found[name] = {"n": len(chosen), "positives": len(positives)} | {
            k: finite_or_none(v) for k, v in measures.items()
        }
    return found


def matched_rows(wanted: np.ndarray, rows: np.ndarray, gc: np.ndarray, *, ratio: float, seed: int) -> np.ndarray:
    """Draw rows whose GC content is distributed as wanted.

    Args:
        wanted: (m,) GC bins to match.
        rows: candidates.
        gc: (n,) GC bin by row.
        ratio: rows per wanted one; a bin that runs out takes none from others.
        seed: of the draw.

    Returns:
        Some of `rows`, ascending.
    """
    order = np.random.default_rng(seed).permutation(rows)
    quota = np.round(np.bincount(wanted, minlength=NUM_GC_BINS) * ratio).astype(int)
    drawn = [order[gc[order] == b][: quota[b]] for b in np.flatnonzero(quota)]
    return np.sort(np.concatenate(drawn)) if drawn else np.zeros(0, np.int64)


def _mean(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean of each measure over the tracks that have it."""
    found = {}
    for key in ("auroc", "auprc"):
        values = [result[key] for result in results if result[key] is not None]
        found[key] = sum(values) / len(values) if values else None
    return found
