"""The trainer of classifiers: their validation is by rank, AUROC and AUPRC of each track and the mean over tracks."""

from typing import Any, cast

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers.trainer_utils import EvalLoopOutput

from ..datasets_scripts.loader import WindowBatches
from ..datasets_scripts.window_labels import labelled_batches
from ..inference.ranking import auroc, average_precision
from .between_types import between_types_loss
from .kmer_fit import fit_part
from .trainer import ChromTrainer


class ClassTrainer(ChromTrainer):
    """Train a classifier as a recipe says; labels are 0 and 1, (B, T)."""

    def add_to_loss(self, loss: Tensor, output: Any, inputs: dict[str, Any]) -> Tensor:
        """Add `between_types_loss` where the recipe has it."""
        weight = self.recipe.between_types
        if not weight:
            return loss
        return loss + weight * between_types_loss(output["logits"], inputs["labels"], inputs.get("mask"))

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Return loss, AUROC and AUPRC; exact over processes, which exchange 5 bytes a window and track."""
        model = self._wrap_model(cast(nn.Module, self.model), training=False).eval()
        loss, count = 0.0, 0
        scores: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        for batch in dataloader:
            mean, logits, found = self.prediction_step(model, batch, False)
            counted = int((found >= 0).sum())
            loss += float(mean) * counted
            count += counted
            scores.append(logits.cpu().numpy())
            labels.append(found.cpu().numpy())
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        shares = [(loss, count, np.concatenate(scores), np.concatenate(labels))]
        if self.args.world_size > 1:
            shares = gather_object(shares)  # of every rank, in their order
        all_scores, all_labels = (np.concatenate([share[i] for share in shares]) for i in (2, 3))
        metrics = {
            f"{metric_key_prefix}_loss": sum(share[0] for share in shares) / max(1, sum(share[1] for share in shares)),
            f"{metric_key_prefix}_auroc": mean_over_tracks(auroc, all_scores, all_labels),
            f"{metric_key_prefix}_auprc": mean_over_tracks(average_precision, all_scores, all_labels),
        }
        num_windows = len(cast(Any, dataloader.dataset))
        return EvalLoopOutput(cast(Any, None), None, metrics, num_windows)  # no predictions are kept

    def fit_kmers(self, training: Any) -> dict[str, float]:
        """Fit the k-mer part beside the final network, and evaluate the two together.

        Every process does the same with all windows, so that none waits for another's part.

        Args:
            training: `LabelledWindows` of the training part without jitter.

        Returns:
            Metrics of the last evaluation.
        """
        model = self._wrap_model(cast(nn.Module, self.model), training=False).eval()
        batches, logits = [], []
        size = self.args.per_device_eval_batch_size
        for batch in self._loader(self.eval_dataset, WindowBatches(len(cast(Any, self.eval_dataset)), batch_size=size)):
            _, found, labels = self.prediction_step(model, batch, False)
            batches.append((batch["inputs"].cpu().numpy(), _with_gaps(labels.cpu().numpy())))
            logits.append(found.cpu().numpy())
        fit_part(cast(nn.Module, self.model), list(labelled_batches(training)), batches, np.concatenate(logits))
        return self.evaluation_loop(self.get_eval_dataloader(), "with k-mers").metrics or {}

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Any, Any, Any]:
        """Return loss, logits (B, T) float32, and labels (B, T) int8, -1 where one is not known."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            output = model(**inputs)
        labels = inputs["labels"].round().char()
        if "mask" in inputs:
            labels = labels.masked_fill(inputs["mask"] == 0, -1)
        return output["loss"].detach().float(), output["logits"].float(), labels


def _with_gaps(labels: np.ndarray) -> np.ndarray:
    """Turn labels of 0, 1 and -1 where not known into float64 with NaN there."""
    return np.where(labels < 0, np.nan, labels)


def mean_over_tracks(measure: Any, scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of a measure over the tracks where it is defined, NaN where it is in none.

    Args:
        measure: `auroc` or `average_precision`.
        scores: (n, T).
        labels: (n, T) int8 of 0 and 1, and -1 where not known.
    """
    values = [measure(s[known], y[known]) for s, y in zip(scores.T, labels.T, strict=True) for known in [y >= 0]]
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
