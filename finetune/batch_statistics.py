"""Batch normalisation's running statistics, measured anew once the weights are final."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

NUM_WINDOWS = 4096  # enough: each brings hundreds of positions to every mean


@torch.no_grad()
def re_estimate(model: nn.Module, batches: Iterable[dict[str, Any]], *, batch_size: int) -> int:
    """Replace running statistics by the mean of those of `batches` (arXiv:2105.07576, "PreciseBN").

    Running statistics lag behind the weights by some tens of steps, are noisy in short runs, and an average of weights
    never had any. Dropout is off: with it, inputs would vary more than in prediction (arXiv:1801.05134).

    Args:
        model: on the batches' device; in evaluation mode afterwards.
        batches: with `inputs`; training windows. At most `NUM_WINDOWS` of them are read.
        batch_size: windows a batch.

    Returns:
        Normalisation layers that were measured.
    """
    # Of an adapter's layers only its own copy computes anything.
    norms = [
        module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and "original_module" not in name
    ]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    device = next(model.parameters()).device
    try:
        for _, batch in zip(range(math.ceil(NUM_WINDOWS / batch_size)), batches, strict=False):
            model(inputs=batch["inputs"].to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.eval()
    return len(norms)
