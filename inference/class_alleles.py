"""The two alleles of a variant in classifiers: the logits and probabilities of every label.

With `average_rc`, shifts or several models logits are averaged; probabilities are made of the average.
Shapes: B variants, S shifts, T labels.
"""

from collections.abc import Sequence

import numpy as np
import torch

from .allele_models import AlleleModels, Lengths
from .averaging import as_classifiers
from .class_predictions import class_logits
from .load import Classifier, output_names
from .variants import first_base

_MEANINGS = {
    "ref_logit": "logit of the REF allele's window",
    "alt_logit": "logit of the ALT allele's window",
    "logit_change": "alt_logit minus ref_logit: natural log of the odds ratio, where labels do not exclude one another",
    "ref_probability": "probability of the label, of the REF allele's logits",
    "alt_probability": "probability of the label, of the ALT allele's logits",
}


class ClassAlleles(AlleleModels):
    """Scores of variants by classifiers.

    Args:
        models: in evaluation mode, on the device to run on, all of one length of window and one set of labels.
        shifts: bp by which the window is moved.
        average_rc: average both strands.

    Raises:
        ValueError: models that do not go together, or shifts that are not different or leave no base of the window.
    """

    meanings = _MEANINGS
    tested = ("logit_change",)
    active = ("ref_probability", "alt_probability")  # logits of labels that exclude one another mean nothing alone

    def __init__(self, models: Classifier | Sequence[Classifier], *, shifts: tuple[int, ...], average_rc: bool) -> None:
        self.models = as_classifiers(models)
        self.average_rc = average_rc
        self.outputs = output_names(self.models[0])
        length = int(self.models[0].config.input_length)
        self.longest = first_base(length) - max(map(abs, shifts), default=length)
        if len(set(shifts)) < len(shifts) or self.longest < 1:
            raise ValueError(
                f"shifts must be different and less than half the model's window of {length} bp, got {list(shifts)}"
            )

    def predict(self, windows: np.ndarray, lengths: Lengths) -> np.ndarray:
        """Predict both alleles of variants, (B, 2, T) float64 logits."""
        num_variants, num_shifts, _, length = windows.shape
        total = np.zeros((num_variants, 2, len(self.outputs)))
        for model in self.models:
            batches = (windows[:, i].reshape(-1, length) for i in range(num_shifts))
            for logits in class_logits(model, batches, average_rc=self.average_rc):
                total += logits.reshape(total.shape)
        return total / (len(self.models) * num_shifts)

    def scores(self, predictions: np.ndarray, lengths: Lengths) -> dict[str, np.ndarray]:
        """Score what `predict` returned, (B, T) float64 by name."""
        ref, alt = predictions[:, 0], predictions[:, 1]
        probabilities = (self.models[0].probabilities(torch.from_numpy(logits)).numpy() for logits in (ref, alt))
        values = (ref, alt, alt - ref, *probabilities)
        return dict(zip(self.meanings, values, strict=True))
