"""The two alleles of a variant in track models: their predicted profiles, and the scores of these.

With `average_rc`, shifts or several models predictions are averaged in the scale of training (log1p of the signal,
where the model has it), as `predict` averages strands; raw signal, and every score, is made of the average.
Shapes: B variants, S shifts, T tracks, n bins, W bases compared.
"""

import numpy as np
import torch

from ..modeling.nearly_equal_windows import predict_groups
from .allele_models import AlleleModels, Lengths
from .averaging import Models, as_models
from .load import output_names
from .predict import COMPLEMENT
from .variant_scores import DESCRIPTIONS, SMOOTHED, AllelePair, score_pairs, shared_bases
from .variants import AlleleGrid

_WINDOW = 512  # bp


class TrackAlleles(AlleleModels):
    """Scores of variants by track models.

    Args:
        models: in evaluation mode, on the device to run on, all of one grid and one set of tracks.
        window: bp around a variant that are compared; narrower is faster, too; None for 512, or half the target where
            that is less.
        shifts: bp by which the window is moved, multiples of the bin size.
        average_rc: average both strands.
        pseudocount: raw signal units, in ratios.

    Raises:
        ValueError: models that do not go together, or a window or shifts that do not fit them.
    """

    tested = ("logfc", "jsd", "max_difference")
    active = ("ref_signal", "alt_signal")

    def __init__(
        self, models: Models, *, window: int | None, shifts: tuple[int, ...], average_rc: bool, pseudocount: float
    ) -> None:
        self.models = as_models(models)
        self.average_rc, self.pseudocount = average_rc, pseudocount
        config = self.models[0].config
        self.grid = AlleleGrid(config, min(_WINDOW, config.target_length // 2) if window is None else window, shifts)
        left_out = () if self.grid.smoothed else SMOOTHED
        self.meanings = {name: meaning for name, meaning in DESCRIPTIONS.items() if name not in left_out}
        self.outputs = output_names(self.models[0])
        self.longest = self.grid.longest

    def predict(self, windows: np.ndarray, lengths: Lengths) -> np.ndarray:
        """Predict both alleles' bins around variants, (B, 2, T, n) raw units."""
        crop = self.grid.crop(_longest(lengths))
        codes = windows.reshape(-1, windows.shape[-1])
        strands = [codes, COMPLEMENT[codes[:, ::-1]]] if self.average_rc else [codes]
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

    def scores(self, predictions: np.ndarray, lengths: Lengths) -> dict[str, np.ndarray]:
        """Score what `predict` returned, (B, T) float64 by name."""
        return score_pairs(
            self._pairs(predictions, lengths),
            bin_size=self.grid.config.bin_size,
            window=self.grid.window,
            pseudocount=self.pseudocount,
            smoothed=self.grid.smoothed,
        )

    def profiles(self, predictions: np.ndarray, lengths: Lengths) -> np.ndarray:
        """Return the bases compared of what `predict` returned, (B, 2, T, W) raw units; see `shared_bases`."""
        options = {"bin_size": self.grid.config.bin_size, "window": self.grid.window}
        return np.stack([shared_bases(pair, **options) for pair in self._pairs(predictions, lengths)])

    def _pairs(self, predictions: np.ndarray, lengths: Lengths) -> list[AllelePair]:
        bin_size = self.grid.config.bin_size
        first_bin = self.grid.first_bin(_longest(lengths))
        middle = self.grid.config.input_length // 2 // bin_size - first_bin
        first_bp = first_bin * bin_size - self.grid.centre
        return [AllelePair(signal, first_bp, pair, middle) for signal, pair in zip(predictions, lengths, strict=True)]


def _longest(lengths: Lengths) -> int:
    """Return the bp of the longest allele that moves what lies to its right."""
    return max([1, *(max(pair) for pair in lengths if pair[0] != pair[1])])
