"""The shape of peaks: cosine similarity of each, and the mean profile around summits.

Grover et al. show both (Fig. 2F and G) without their formulas. Here the cosine similarity of a peak is that of its
predicted and its true bins, raw units, and the mean is over the peaks; a peak whose signal is 0 throughout on one side
has none. A profile is the mean over the peaks of each bin's raw signal, then scaled so that its least bin is 0 and its
highest 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class ShapeState:
    """Running sums over peaks of one track.

    Attributes:
        peaks: with a cosine.
        cosines: sum of their cosines.
        predicted: (bins,) sum of the predicted signal.
        true: (bins,) sum of the true signal.
        seen: (bins,) peaks whose bin is not masked.
    """

    peaks: int
    cosines: float
    predicted: np.ndarray
    true: np.ndarray
    seen: np.ndarray

    @classmethod
    def empty(cls, bins: int) -> "ShapeState":
        """Return the state before the first peak."""
        return cls(0, 0.0, np.zeros(bins), np.zeros(bins), np.zeros(bins, np.int64))

    def update(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Add peaks: (B, bins) predicted and true signal in raw units, the latter NaN where masked."""
        known = ~np.isnan(true)
        x, y = np.where(known, predicted, 0).astype(np.float64), np.where(known, true, 0).astype(np.float64)
        found = cosine_similarity(x, y)
        self.peaks += int(np.count_nonzero(~np.isnan(found)))
        self.cosines += float(np.nansum(found))
        self.predicted += x.sum(axis=0)
        self.true += y.sum(axis=0)
        self.seen += known.sum(axis=0)

    def merge(self, other: "ShapeState") -> None:
        """Add the peaks that another state has seen."""
        self.peaks += other.peaks
        self.cosines += other.cosines
        self.predicted = self.predicted + other.predicted
        self.true = self.true + other.true
        self.seen = self.seen + other.seen

    def summary(self) -> dict[str, Any]:
        """Return `peaks`, their mean `cosine`, and the profiles `predicted` and `true` from 0 to 1, None if flat."""
        profiles = [np.divide(total, self.seen, where=self.seen > 0, out=np.zeros(len(total))) for total in self._sums]
        scaled = [min_max(profile) for profile in profiles]
        return {
            "peaks": self.peaks,
            "cosine": self.cosines / self.peaks if self.peaks else None,
            **{
                name: None if profile is None else np.round(profile, 6).tolist()
                for name, profile in zip(("predicted", "true"), scaled, strict=True)
            },
        }

    @property
    def _sums(self) -> tuple[np.ndarray, np.ndarray]:
        return self.predicted, self.true


def cosine_similarity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows of two (B, n) arrays, (B,); NaN where one of them is 0."""
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.divide((x * y).sum(axis=1), lengths, out=np.full(len(x), np.nan), where=lengths > 0)


def min_max(profile: np.ndarray) -> np.ndarray | None:
    """Scale a profile so that it goes from 0 to 1; None where it is flat."""
    low, high = profile.min(), profile.max()
    return (profile - low) / (high - low) if high > low else None


def shapes_of_track(by_chrom: Mapping[str, Sequence[ShapeState]], track: int) -> dict[str, Any]:
    """Return the summary of a track, `pooled` and of each of `chroms`; there is one chromosome at least."""
    states = {chrom: found[track] for chrom, found in by_chrom.items()}
    pooled = ShapeState.empty(len(next(iter(states.values())).true))
    for state in states.values():
        pooled.merge(state)
    return {"pooled": pooled.summary(), "chroms": {chrom: state.summary() for chrom, state in states.items()}}
