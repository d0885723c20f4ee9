"""Scores of variants from one model, or from the average of several: track models or classifiers.

Both alleles of a variant are predicted in one batch. What the two kinds of models do differently is in
`track_alleles.py` and `class_alleles.py`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..datasets_scripts.variants import Variant
from ..modeling import AtacForTrackPrediction
from .allele_models import AlleleModels, Lengths
from .averaging import BOTH_STRANDS
from .class_alleles import ClassAlleles
from .load import Classifier
from .track_alleles import TrackAlleles
from .variant_null import matched_variants, p_values, peak_variants, quantiles
from .variants import OK, GenomeBases, allele_windows, normalised, normalised_text, variant_status

VariantModels = AtacForTrackPrediction | Classifier | Sequence[AtacForTrackPrediction | Classifier]
_ACTIVE = "active_allele_quantile"


@dataclass(frozen=True)
class ScoreSettings:
    """How variants are scored.

    Attributes:
        window: bp around a variant that are compared; narrower is faster, too. Of track models; None for 512, or half
            the target where that is less.
        shifts: bp by which the window is moved, predictions averaged.
        average_rc: average both strands.
        pseudocount: raw signal units, in ratios. Of track models.
        batch_size: variants at once.
        num_null: random variants for p-values; 0 for none.
        num_peaks: peaks that the active allele is compared with, at most.
        seed: of the random variants and peaks.

    Raises:
        ValueError: a pseudocount below 0, or one that is not finite.
    """

    window: int | None = None
    shifts: tuple[int, ...] = (0,)
    average_rc: bool = BOTH_STRANDS
    pseudocount: float = 1e-3
    batch_size: int = 32
    num_null: int = 0
    num_peaks: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.pseudocount < math.inf:
            raise ValueError(f"--pseudocount must be a finite number, 0 or more, got {self.pseudocount}")


class VariantScorer:
    """Scores variants with one model, or the average of several.

    Args:
        models: in evaluation mode, on the device to run on, all track models or all classifiers of one set of outputs.
        genome: where REF alleles are looked up.
        settings: how.

    Raises:
        ValueError: models that do not go together, or settings that do not fit them.
    """

    def __init__(self, models: VariantModels, genome: GenomeBases, settings: ScoreSettings) -> None:
        self.genome, self.settings = genome, settings
        self.alleles = _alleles_of(models, settings)
        self.input_length = int(self.alleles.models[0].config.input_length)
        self.null: dict[str, np.ndarray] = {}  # (T, K), sorted sizes
        self.background: np.ndarray | None = None  # (T, K), sorted

    @property
    def names(self) -> list[str]:
        """The scores there are."""
        tested = [f"{name}_p" for name in self.alleles.tested] if self.null else []
        return [*self.alleles.meanings, *([_ACTIVE] if self.background is not None else []), *tested]

    def describe(self, name: str) -> str:
        """Return what a score is, for the header of a VCF."""
        if name == _ACTIVE:
            return f"quantile of the larger of {' and '.join(self.alleles.active)} among predictions at peaks"
        if name.endswith("_p"):
            return f"p-value of {name.removesuffix('_p')} by its size among matched random variants"
        return self.alleles.meanings[name]

    def statuses(self, variants: Sequence[Variant]) -> list[str]:
        """Return the status of each variant; see `variants.STATUSES`."""
        return [variant_status(variant, self.genome, self.alleles.longest) for variant in variants]

    def normalised(self, variant: Variant) -> Variant:
        """Return a variant whose status is "ok" as `variants.normalised`."""
        return normalised(variant, self.genome.known(variant.chrom) or variant.chrom, self.genome.fetch)

    def texts(self, variants: Sequence[Variant], statuses: Sequence[str]) -> list[str]:
        """Return each variant as CHROM:POSITION:REF>ALT, normalised; "" for one whose status is not "ok"."""
        chroms = [self.genome.known(variant.chrom) or variant.chrom for variant in variants]
        return [
            normalised_text(variant, chrom, self.genome.fetch) if status == OK else ""
            for variant, chrom, status in zip(variants, chroms, statuses, strict=True)
        ]

    def score(self, variants: Sequence[Variant]) -> dict[str, np.ndarray]:
        """Return the scores of variants whose status is "ok", (V, T) float64 by name."""
        size = self.settings.batch_size
        batches = [self.alleles.scores(*self.predict(variants[i : i + size])) for i in range(0, len(variants), size)]
        if not batches:
            return {}
        scores = {name: np.concatenate([batch[name] for batch in batches]) for name in self.alleles.meanings}
        if self.background is not None:
            ref, alt = self.alleles.active
            scores[_ACTIVE] = _by_output(quantiles, np.maximum(scores[ref], scores[alt]), self.background)
        for name in self.null:
            scores[f"{name}_p"] = _by_output(p_values, scores[name], self.null[name])
        return scores

    def predict(self, variants: Sequence[Variant]) -> tuple[np.ndarray, Lengths]:
        """Predict both alleles of variants in one batch; return the predictions and lengths of `AlleleModels`."""
        chroms = [self.genome.known(variant.chrom) or variant.chrom for variant in variants]
        options = {"input_length": self.input_length, "shifts": self.settings.shifts}
        windows = np.stack(
            [
                allele_windows(self.normalised(variant), chrom, self.genome.fetch, **options)
                for variant, chrom in zip(variants, chroms, strict=True)
            ]
        )
        trimmed = [variant.trimmed() for variant in variants]  # normalising leaves the lengths as they are
        lengths = [(len(ref), len(alt)) for _, ref, alt in trimmed]
        predictions = self.alleles.predict(windows, lengths)
        same = (windows[:, :, 0] == windows[:, :, 1]).all((1, 2))
        predictions[same, 1] = predictions[same, 0]  # vectorised functions may round the same number in two ways
        return predictions, lengths

    def find_background(self, peaks: pd.DataFrame) -> None:
        """Predict peaks (columns chrom, summit), for the quantile of the active allele."""
        rng = np.random.default_rng([self.settings.seed, 1])
        chosen = peak_variants(peaks, self.genome, count=self.settings.num_peaks, rng=rng)
        if chosen:
            self.background = np.sort(self.score(chosen)[self.alleles.active[0]].T)

    def find_null(self, sample: Sequence[Variant]) -> None:
        """Score random variants like those of a sample, for p-values."""
        rng = np.random.default_rng([self.settings.seed, 2])
        count, longest = self.settings.num_null, self.alleles.longest
        scores = self.score(matched_variants(sample, self.genome, count=count, longest=longest, rng=rng))
        self.null = {name: np.sort(np.abs(scores[name].T)) for name in self.alleles.tested}


def _alleles_of(models: VariantModels, settings: ScoreSettings) -> AlleleModels:
    """Return what scores variants with these models."""
    models = list(models) if isinstance(models, Sequence) else [models]
    tracks = [model for model in models if isinstance(model, AtacForTrackPrediction)]
    classifiers = [model for model in models if not isinstance(model, AtacForTrackPrediction)]
    if tracks and classifiers:
        raise ValueError(
            "models that are averaged must all predict tracks or all be classifiers, got "
            f"{type(tracks[0]).__name__} and {type(classifiers[0]).__name__}: score with each kind in a run of its own"
        )
    if classifiers:
        return ClassAlleles(classifiers, shifts=settings.shifts, average_rc=settings.average_rc)
    return TrackAlleles(
        tracks,
        window=settings.window,
        shifts=settings.shifts,
        average_rc=settings.average_rc,
        pseudocount=settings.pseudocount,
    )


def _by_output(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray], values: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Apply a function of (V,) and (K,) to each column of (V, T) with each row of (T, K)."""
    return np.stack([function(column, row) for column, row in zip(values.T, known, strict=True)], axis=1)
