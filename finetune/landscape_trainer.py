"""The trainer of landscape models, whose predictions are raw signal and whose labels may lie off a chromosome."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from .trainer import ChromTrainer


class LandscapeTrainer(ChromTrainer):
    """Train a landscape model as a recipe says; validation loss and Pearson count the bins on the chromosome."""

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, and predictions and labels (n,) of the bins that count, as log1p."""
        inputs = cast(dict[str, Any], self._prepare_inputs(inputs))
        with torch.no_grad(), self.compute_loss_context_manager():
            output = model(**inputs)
        counted = inputs["mask"].bool()
        predictions, labels = output["predictions"].float().clamp(min=0), inputs["labels"]
        return output["loss"].detach().float(), torch.log1p(predictions[counted]), torch.log1p(labels[counted])
