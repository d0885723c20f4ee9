"""What turns windows of two alleles into scores: the interface that track models and classifiers fill.

Shapes: B variants, S shifts, L bp, T tracks or labels.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

Lengths = Sequence[tuple[int, int]]
"""Bp of REF and ALT, without the bases that both share, of each variant."""


class AlleleModels(ABC):
    """One or several models of one kind, whose predictions are averaged.

    Attributes:
        meanings: what each score is, by name.
        tested: the scores that may have a p-value.
        active: the score of REF and that of ALT of which the larger is ranked among peaks.
        models: in evaluation mode, of one `input_length`.
        outputs: names of the T tracks or labels.
        longest: bp of the longest allele that can be scored.
    """

    meanings: Mapping[str, str]
    tested: ClassVar[tuple[str, ...]]
    active: ClassVar[tuple[str, str]]
    models: Sequence[Any]
    outputs: list[str]
    longest: int

    @abstractmethod
    def predict(self, windows: np.ndarray, lengths: Lengths) -> np.ndarray:
        """Predict windows (B, S, 2, L) uint8 of REF and ALT: (B, 2, T, ...), averaged over all that is averaged."""

    @abstractmethod
    def scores(self, predictions: np.ndarray, lengths: Lengths) -> dict[str, np.ndarray]:
        """Score what `predict` returned, (B, T) float64 for each name in `meanings`."""
