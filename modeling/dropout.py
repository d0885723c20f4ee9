"""Dropout whose random numbers do not cost more than the layer it follows.

PyTorch draws a CPU dropout mask with one serial generator, a quarter of a small model's training step. Here one draw
from PyTorch's generator seeds a faster one, so that a run's random state is still PyTorch's alone.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .fast_path import is_ordinary, is_watched
from .window_threads import over_windows

LEVELS = 65536  # `p` is resolved to 1 / LEVELS, a draw of 16 bits


def mask_generators(count: int) -> list[np.random.Generator]:
    """Return fast generators that one call of PyTorch's seeds."""
    return [np.random.Generator(np.random.SFC64(seed)) for seed in torch.randint(2**62, (count,)).tolist()]


def draw_mask(count: int, kept: int, generator: np.random.Generator) -> Tensor:
    """Return (count,) uint8, 1 with probability `kept` / LEVELS; PyTorch multiplies by it 4x faster than by a bool."""
    draws = generator.integers(0, 2**64, -(-count // 4), dtype=np.uint64).view(np.uint16)[:count]
    return torch.from_numpy((draws < kept).view(np.uint8))


class _MaskedScale(torch.autograd.Function):
    """Multiply by a mask and a scale; keeps one byte an element for the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return (hidden * mask).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return (gradients[0] * mask).mul_(ctx.scale), None, None


class FastDropout(nn.Dropout):
    """`nn.Dropout` that on a CPU draws 16-bit integers; `p` is resolved to 1/65536.

    The mask is another one than `nn.Dropout` draws from the same seed; everything else is equal.
    """

    @property
    def kept(self) -> int:
        """Draws of `LEVELS` that keep an element; all of them in evaluation."""
        return round((1 - self.p) * LEVELS) if self.training else LEVELS

    def forward(self, input: Tensor) -> Tensor:
        """Zero elements with probability `p` in training and scale the others by 1 / (1 - p)."""
        kept = self.kept
        if kept == LEVELS:
            return input
        if kept == 0 or is_watched() or not is_ordinary(input):
            return F.dropout(input, self.p, training=True)
        generators = mask_generators(len(input) if input.dim() else 1)
        # The mask has the memory order of the input, so that the product is one pass.
        strides = torch.empty_like(input, device="meta").stride()
        mask = torch.empty(len(generators), input.numel() // len(generators), dtype=torch.uint8)

        def draw(piece: range) -> None:
            for i in piece:
                mask[i] = draw_mask(mask.shape[1], kept, generators[i])

        over_windows(len(generators), draw)
        return _MaskedScale.apply(input, mask.as_strided(input.shape, strides), LEVELS / kept)
