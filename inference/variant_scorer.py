"""Scores of variants from one model, or from the average of several.

Both alleles of a variant are predicted in one batch. With `average_rc`, shifts or several models their predictions are
averaged in the scale of training (log1p of the signal, where the model has it), as `predict` averages strands; raw
signal, and every score, is made of the average.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.variants import Variant
from ..modeling.nearly_equal_windows import predict_groups
from .averaging import Models, as_models
from .predict import COMPLEMENT
from .variant_null import matched_variants, p_values, peak_variants, quantiles
from .variant_scores import DESCRIPTIONS, SCORES, AllelePair, score_pairs
from .variants import AlleleGrid, GenomeBases, variant_status

TESTED = ("logfc", "jsd", "max_difference")
_ACTIVE = "active_allele_quantile"


@dataclass(frozen=True)
class ScoreSettings:
    """How variants are scored.

    Attributes:
        window: bp around a variant that are compared; narrower is faster, too.
        shifts: bp by which the window is moved, predictions averaged.
        average_rc: average both strands.
        pseudocount: raw signal units, in ratios.
        batch_size: variants at once.
        num_null: random variants for p-values; 0 for none.
        num_peaks: peaks that the active allele is compared with, at most.
        seed: of the random variants and peaks.
    """

    window: int = 512
    shifts: tuple[int, ...] = (0,)
    average_rc: bool = False
    pseudocount: float = 1e-3
    batch_size: int = 32
    num_null: int = 0
    num_peaks: int = 1000
    seed: int = 0


class VariantScorer:
    """Scores variants with one model, or the average of several.

    Args:
        models: in evaluation mode, on the device to run on, all of one grid and one set of tracks.
        genome: where REF alleles are looked up.
        settings: how.

    Raises:
        ValueError: models that do not go together, or settings that do not fit them.
    """

    def __init__(self, models: Models, genome: GenomeBases, settings: ScoreSettings) -> None:
        models = as_models(models)
        self.models, self.genome, self.settings = models, genome, settings
        self.grid = AlleleGrid(models[0].config, settings.window, settings.shifts)
        self.null: dict[str, np.ndarray] = {}  # (T, K), sorted sizes
        self.background: np.ndarray | None = None  # (T, K), sorted

    @property
    def names(self) -> list[str]:
        """The scores there are."""
        tested = [f"{name}_p" for name in TESTED] if self.null else []
        return [*SCORES, *([_ACTIVE] if self.background is not None else []), *tested]

    def statuses(self, variants: Sequence[Variant]) -> list[str]:
        """Return the status of each variant; see `variants.STATUSES`."""
        return [variant_status(variant, self.genome, self.grid.longest) for variant in variants]

    def score(self, variants: Sequence[Variant]) -> dict[str, np.ndarray]:
        """Return the scores of variants whose status is "ok", (V, T) float64 by name."""
        size = self.settings.batch_size
        batches = [self._batch(variants[i : i + size]) for i in range(0, len(variants), size)]
        if not batches:
            return {}
        scores = {name: np.concatenate([batch[name] for batch in batches]) for name in SCORES}
        if self.background is not None:
            active = np.maximum(scores["ref_signal"], scores["alt_signal"])
            scores[_ACTIVE] = _by_track(quantiles, active, self.background)
        for name in self.null:
            scores[f"{name}_p"] = _by_track(p_values, scores[name], self.null[name])
        return scores

    def find_background(self, peaks: pd.DataFrame) -> None:
        """Predict peaks (columns chrom, summit), for the quantile of the active allele."""
        rng = np.random.default_rng([self.settings.seed, 1])
        chosen = peak_variants(peaks, self.genome, count=self.settings.num_peaks, rng=rng)
        if chosen:
            self.background = np.sort(self.score(chosen)["ref_signal"].T)

    def find_null(self, sample: Sequence[Variant]) -> None:
        """Score random variants like those of a sample, for p-values."""
        rng = np.random.default_rng([self.settings.seed, 2])
        count = self.settings.num_null
        scores = self.score(matched_variants(sample, self.genome, count=count, longest=self.grid.longest, rng=rng))
        self.null = {name: np.sort(np.abs(scores[name].T)) for name in TESTED}

    def _batch(self, variants: Sequence[Variant]) -> dict[str, np.ndarray]:
        grid, bin_size = self.grid, self.models[0].config.bin_size
        chroms = [self.genome.known(variant.chrom) or variant.chrom for variant in variants]
        windows = np.stack(
            [grid.windows(variant, chrom, self.genome.fetch) for variant, chrom in zip(variants, chroms, strict=True)]
        )
        lengths = [tuple(map(len, variant.trimmed()[1:])) for variant in variants]
        longest = max(1, *(max(pair) for pair in lengths if pair[0] != pair[1]), 1)
        signals = self._signals(windows, grid.crop(longest))
        same = (windows[:, :, 0] == windows[:, :, 1]).all((1, 2))
        signals[same, 1] = signals[same, 0]  # vectorised functions may round the same number in two ways
        first_bin = grid.first_bin(longest)
        middle = grid.config.input_length // 2 // bin_size - first_bin
        pairs = [
            AllelePair(signal, first_bin * bin_size - grid.centre, (pair[0], pair[1]), middle)
            for signal, pair in zip(signals, lengths, strict=True)
        ]
        return score_pairs(pairs, bin_size=bin_size, window=self.settings.window, pseudocount=self.settings.pseudocount)

    def _signals(self, windows: np.ndarray, crop: int) -> np.ndarray:
        """Predict windows (B, S, 2, L) and average them to (B, 2, T, n) raw units."""
        codes = windows.reshape(-1, windows.shape[-1])
        strands = [codes, COMPLEMENT[codes[:, ::-1]]] if self.settings.average_rc else [codes]
        total = None
        for model in self.models:
            for strand, given in enumerate(strands):
                inputs = torch.from_numpy(np.ascontiguousarray(given))
                predicted = predict_groups(model, inputs, group=2, crop=crop).cpu().numpy()
                predicted = predicted[..., ::-1] if strand else predicted
                total = predicted if total is None else total + predicted
        assert total is not None
        if not np.isfinite(total).all():
            raise ValueError("the model predicted values that are not finite; its weights are damaged, train it again")
        mean = total.reshape(*windows.shape[:3], *total.shape[1:]) / (len(self.models) * len(strands))
        shifted = self.grid.on_one_grid(mean.transpose(0, 2, 3, 1, 4)).mean(-2)
        return self.models[0].to_signal(torch.from_numpy(np.ascontiguousarray(shifted))).numpy()


def describe(name: str) -> str:
    """Return what a score is, for the header of a VCF."""
    if name == _ACTIVE:
        return "quantile of the larger of ref_signal and alt_signal among predictions at peaks"
    if name.endswith("_p"):
        return f"p-value of {name.removesuffix('_p')} by its size among matched random variants"
    return DESCRIPTIONS[name]


def _by_track(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray], values: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Apply a function of (V,) and (K,) to each column of (V, T) with each row of (T, K)."""
    return np.stack([function(column, row) for column, row in zip(values.T, known, strict=True)], axis=1)
