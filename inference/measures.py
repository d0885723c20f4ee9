"""What is measured on pairs of bins, predicted and true: correlations, errors, the Poisson deviance, calibration."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .joint_levels import JointLevels
from .metrics import PearsonState, finite_or_none

SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"log1p": np.log1p, "raw": np.asarray}
_LEAST = 1e-6  # a prediction of 0 where there is signal would cost infinitely much


@dataclass
class DevianceState:
    """Running sums of the Poisson deviance, 2 (y log(y / m) - y + m) of true y and predicted m; y = 0 costs 2 m.

    McCullagh & Nelder 1989, section 2.3; m is taken as 1e-6 at least.

    Attributes:
        n: pairs seen.
        total: sum of deviances.
        true: sum of y.
        true_log: sum of y log y.
    """

    n: int = 0
    total: float = 0.0
    true: float = 0.0
    true_log: float = 0.0

    def update(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Add pairs, raw units; signal below 0 counts as 0."""
        y = np.maximum(true.ravel().astype(np.float64), 0)
        m = np.maximum(predicted.ravel().astype(np.float64), _LEAST)
        self.n += len(y)
        self.total += float(2 * (_x_log(y) - y * np.log(m) - y + m).sum())
        self.true += float(y.sum())
        self.true_log += float(_x_log(y).sum())

    def merge(self, other: "DevianceState") -> None:
        """Add the pairs that another state has seen."""
        self.n += other.n
        self.total += other.total
        self.true += other.true
        self.true_log += other.true_log

    def mean(self) -> float:
        """Return the mean deviance; NaN before the first pair."""
        return self.total / self.n if self.n else math.nan

    def explained(self) -> float:
        """Return 1 less the ratio of the deviance to that of predicting the mean throughout; NaN where that is 0."""
        null = 2 * (self.true_log - self.true * math.log(self.true / self.n)) if self.true > 0 else 0.0
        return 1 - self.total / null if null > 0 else math.nan


@dataclass
class PairMeasures:
    """All measures of one track at one bin size."""

    scales: dict[str, PearsonState] = field(default_factory=lambda: {scale: PearsonState() for scale in SCALES})
    levels: JointLevels = field(default_factory=JointLevels)
    deviance: DevianceState = field(default_factory=DevianceState)

    def update(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Add pairs of any one shape, raw units, without NaN."""
        for scale, transform in SCALES.items():
            self.scales[scale].update(transform(predicted), transform(true))
        self.levels.update(predicted, true)
        self.deviance.update(predicted, true)

    def merge(self, other: "PairMeasures") -> None:
        """Add the pairs that others have seen."""
        for scale, state in self.scales.items():
            state.merge(other.scales[scale])
        self.levels.merge(other.levels)
        self.deviance.merge(other.deviance)

    def summary(self) -> dict[str, dict[str, float | int | None]]:
        """Return the numbers by scale: n, pearson, mse, spearman; of the raw scale also the deviance."""
        found = {scale: state.summary() for scale, state in self.scales.items()}
        spearman = finite_or_none(self.levels.spearman())  # the same in both
        for numbers in found.values():
            numbers["spearman"] = spearman
        found["raw"]["poisson_deviance"] = finite_or_none(self.deviance.mean())
        found["raw"]["deviance_explained"] = finite_or_none(self.deviance.explained())
        return found


def _x_log(x: np.ndarray) -> np.ndarray:
    """Return x log x, 0 at 0."""
    return x * np.log(np.where(x > 0, x, 1))
