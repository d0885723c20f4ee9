"""The second task: which bases of the input are mappable, predicted from the stem on a grid of its own.

The reference (asap 0.2.2) compares position j of its grid, which lies at bp 4 j, with base j, and leaves the labels as
they are when it turns the input around. Here labels are averaged over the bases a position stands for, positions whose
bases are all N do not count, and `WindowDataset` turns labels with the input.
"""

import torch
from torch import Tensor, nn

from .architecture_parts import StemConfig
from .losses import masked_mean_square


class MappabilityHead(nn.Module):
    """Max pooling of the stem's features, a linear layer and a sigmoid.

    Args:
        stem: configuration of the stem; one with "valid" padding starts in the middle of its first kernel.
        bin_size: bp per position of the head's grid.
    """

    def __init__(self, stem: StemConfig, *, bin_size: int) -> None:
        super().__init__()
        self.bin_size = bin_size
        self.first_base = (stem.kernel_size - 1) // 2 if getattr(stem, "padding", "same") == "valid" else 0
        self.pool = nn.MaxPool1d(bin_size)
        self.linear = nn.Linear(stem.channels, 1)
        self.activation = nn.Sigmoid()

    def forward(self, hidden: Tensor) -> Tensor:
        """Map the stem's features (B, C, L') to probabilities (B, P)."""
        return self.activation(self.linear(self.pool(hidden).transpose(1, 2)).squeeze(-1))

    def loss(self, probabilities: Tensor, labels: Tensor, called: Tensor) -> Tensor:
        """Return the mean squared error.

        Args:
            probabilities: (B, P).
            labels: (B, L), 1 where a base is mappable and 0 where not.
            called: (B, L), 1 where a base is not N.
        """
        called, labels = self._on_grid(called.float(), probabilities), self._on_grid(labels.float(), probabilities)
        return masked_mean_square(probabilities.float(), labels.mean(-1), (called.sum(-1) > 0).float())

    def _on_grid(self, bases: Tensor, probabilities: Tensor) -> Tensor:
        """Cut (B, L) to the bases of each position, (B, P, bin_size)."""
        last = self.first_base + probabilities.shape[1] * self.bin_size
        return bases[:, self.first_base : last].unflatten(1, (-1, self.bin_size))


def called_bases(inputs: Tensor) -> Tensor:
    """Return 1 where a base of codes (B, L) or of a one-hot (B, 4, L) is not N, as (B, L)."""
    return (inputs < 4).float() if inputs.dim() == 2 else (inputs.sum(1) > 0).to(torch.float32)
