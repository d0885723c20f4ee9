"""Whether a training has diverged: what it ends in is then no model to publish."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

_LARGEST = 1e6  # size of a weight; trained ones stay below 100


def check_converged(model: nn.Module, log: Sequence[Mapping[str, Any]]) -> None:
    """Refuse weights that are not finite or absurdly large, and a validation loss that never was finite.

    Args:
        model: trained.
        log: of the Trainer, with an `eval_loss` in the row of each evaluation.

    Raises:
        ValueError: the training has diverged.
    """
    remedy = (
        "the training has diverged and nothing is published: lower the learning rate, set max_grad_norm to 1, or train "
        "on log1p of the signal (`model.log1p`)"
    )
    for name, weight in model.named_parameters():
        largest = float(weight.detach().abs().max()) if weight.numel() else 0.0
        if not largest <= _LARGEST:
            raise ValueError(f"weight {name} has a value of size {largest:.3g}: {remedy}")
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point() and not torch.isfinite(buffer).all():
            raise ValueError(f"buffer {name} is not finite: {remedy}")
    losses = [row["eval_loss"] for row in log if row.get("eval_loss") is not None]
    if losses and not any(math.isfinite(loss) for loss in losses):
        raise ValueError(f"the validation loss was never finite: {remedy}")
