"""Losses as pure functions."""

import torch
from torch import Tensor


def poisson_nll(rates: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean Poisson negative log likelihood without its constant term.

    Grover et al. 2026 train with it on log1p signal: mean(p - y * log(p + 1e-8)).

    Args:
        rates: (B, T, N) non-negative predictions.
        targets: (B, T, N) in the scale of `rates`; not-a-number bins are left out.
        mask: (B, N) or (B, T, N), 1 where a bin counts.

    Returns:
        Scalar in nats per bin; 0 when nothing counts.
    """
    counted = ~torch.isnan(targets)
    if mask is not None:
        counted = counted & (mask.unsqueeze(1) if mask.dim() == 2 else mask).bool()
    targets = torch.where(counted, targets, torch.zeros_like(targets))
    loss = rates - targets * torch.log(rates + 1e-8)
    return (loss * counted).sum() / counted.sum().clamp(min=1)


def masked_mean_square(predictions: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared difference where `mask` is 1; 0 when nothing counts. All three have one shape."""
    return ((predictions - targets) ** 2 * mask).sum() / mask.sum().clamp(min=1)
