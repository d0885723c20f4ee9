"""Losses as pure functions."""

import torch
from torch import Tensor


def _counted_bins(targets: Tensor, mask: Tensor | None) -> Tensor:
    """Return which bins (B, T, N) are measured and within the mask."""
    measured = ~torch.isnan(targets)
    return measured if mask is None else measured & (mask.unsqueeze(1) if mask.dim() == 2 else mask).bool()


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
    counted = _counted_bins(targets, mask)
    targets = torch.where(counted, targets, torch.zeros_like(targets))
    loss = rates - targets * torch.log(rates + 1e-8)
    return (loss * counted).sum() / counted.sum().clamp(min=1)


def profile_count_loss(
    signal: Tensor, targets: Tensor, mask: Tensor | None = None, *, count_weight: float = 1.0
) -> Tensor:
    """Return how far a window's shape and its total are off, over the number of bins that count.

    Over windows and tracks, each with counts y_i, predicted signal s_i > 0 and bins i that count, the sum of

        - sum_i y_i log(s_i / sum_j s_j)  +  count_weight * (log1p(sum_i y_i) - log1p(sum_i s_i))^2

    over the number of bins that count: a multinomial negative log likelihood without its constant term, and a squared
    error of the total (ChromBPNet, doi 10.1101/2024.12.25.630221, whose weight is a tenth of the median total). There
    two heads predict shape and total; here both are read off one. Over the bins that count, the losses of the parts of
    a batch, weighted by their bins, are that of the batch.

    Args:
        signal: (B, T, N) predicted raw signal, not negative.
        targets: (B, T, N) raw signal; not-a-number bins are left out.
        mask: (B, N) or (B, T, N), 1 where a bin counts.
        count_weight: of the squared error.

    Returns:
        Scalar in nats per bin; 0 when nothing counts.
    """
    counted = _counted_bins(targets, mask)
    targets = torch.where(counted, targets, torch.zeros_like(targets))
    signal = torch.where(counted, signal, torch.zeros_like(signal))
    totals = signal.sum(-1)  # (B, T)
    shares = torch.log(signal + 1e-8) - torch.log(totals + 1e-8).unsqueeze(-1)
    profile = -(targets * shares).sum(-1)
    errors = (torch.log1p(targets.sum(-1)) - torch.log1p(totals)) ** 2
    return (profile + count_weight * errors).sum() / counted.sum().clamp(min=1)


def masked_mean_square(predictions: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared difference where `mask` is 1; 0 when nothing counts. All three have one shape."""
    return ((predictions - targets) ** 2 * mask).sum() / mask.sum().clamp(min=1)
