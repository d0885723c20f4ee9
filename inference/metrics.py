"""Pearson's r and mean squared error of any number of values, from pieces, in constant memory."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class PearsonState:
    """Running moments of pairs (predicted, true).

    Pieces are merged with the parallel update of Chan, Golub & LeVeque (1979, Stanford STAN-CS-79-773, eq. 2.1), in
    float64: a large offset of the values costs no digits, and the cut into pieces does not matter but for rounding.

    Attributes:
        n: pairs seen.
        mean_predicted: their mean.
        mean_true: their mean.
        m2_predicted: sum of squared deviations from the mean.
        m2_true: sum of squared deviations from the mean.
        m2_both: sum of products of the two deviations.
        squared_error: sum of squared differences.
        range_predicted: smallest and largest value.
        range_true: smallest and largest value.
    """

    n: int = 0
    mean_predicted: float = 0.0
    mean_true: float = 0.0
    m2_predicted: float = 0.0
    m2_true: float = 0.0
    m2_both: float = 0.0
    squared_error: float = 0.0
    range_predicted: tuple[float, float] = (math.inf, -math.inf)
    range_true: tuple[float, float] = (math.inf, -math.inf)

    def update(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Add pairs.

        Args:
            predicted: values of any shape.
            true: values of the same shape.

        Raises:
            ValueError: the shapes differ.
        """
        if np.shape(predicted) != np.shape(true):
            raise ValueError(
                f"`predicted` and `true` must have one shape, got {np.shape(predicted)} and {np.shape(true)}"
            )
        x = np.asarray(predicted, np.float64).ravel()
        y = np.asarray(true, np.float64).ravel()
        if x.size == 0:
            return
        dx, dy = x - x.mean(), y - y.mean()
        self.merge(
            PearsonState(
                n=x.size,
                mean_predicted=float(x.mean()),
                mean_true=float(y.mean()),
                m2_predicted=float(dx @ dx),
                m2_true=float(dy @ dy),
                m2_both=float(dx @ dy),
                squared_error=float(np.square(x - y).sum()),
                range_predicted=(float(x.min()), float(x.max())),
                range_true=(float(y.min()), float(y.max())),
            )
        )

    def merge(self, other: "PearsonState") -> None:
        """Add the pairs that another state has seen; `other` stays as it is."""
        if other.n == 0:
            return
        n = self.n + other.n
        gap_predicted = other.mean_predicted - self.mean_predicted
        gap_true = other.mean_true - self.mean_true
        weight = self.n * other.n / n
        self.m2_predicted += other.m2_predicted + gap_predicted**2 * weight
        self.m2_true += other.m2_true + gap_true**2 * weight
        self.m2_both += other.m2_both + gap_predicted * gap_true * weight
        self.mean_predicted += gap_predicted * other.n / n
        self.mean_true += gap_true * other.n / n
        self.squared_error += other.squared_error
        self.range_predicted = _span(self.range_predicted, other.range_predicted)
        self.range_true = _span(self.range_true, other.range_true)
        self.n = n

    def compute(self) -> float:
        """Return Pearson's r; NaN if either side is constant, or one of the values was NaN."""
        constant = self.range_predicted[0] >= self.range_predicted[1] or self.range_true[0] >= self.range_true[1]
        scale = math.sqrt(self.m2_predicted) * math.sqrt(self.m2_true)
        if constant or not scale > 0:
            return math.nan
        return min(1.0, max(-1.0, self.m2_both / scale))  # rounding may leave 1.0000000000000002

    def mse(self) -> float:
        """Return the mean squared error; NaN before the first pair."""
        return self.squared_error / self.n if self.n else math.nan

    def summary(self) -> dict[str, float | int | None]:
        """Return n, pearson and mse for JSON: None where a value is not defined."""
        return {"n": self.n, "pearson": finite_or_none(self.compute()), "mse": finite_or_none(self.mse())}


def _span(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return min(one[0], other[0]), max(one[1], other[1])


def finite_or_none(value: float) -> float | None:
    """Return a number for JSON, which has no NaN."""
    return value if math.isfinite(value) else None
