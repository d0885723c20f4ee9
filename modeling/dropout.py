"""Dropout whose random numbers do not cost more than the layer it follows.

PyTorch draws a CPU dropout mask with one serial generator, a quarter of a small model's training step. Here one draw
from PyTorch's generator seeds a faster one, so that a run's random state is still PyTorch's alone.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 65536  # `p` is resolved to 1 / LEVELS, a draw of 16 bits


def mask_generator() -> np.random.Generator:
    """Return a fast generator that one draw of PyTorch's seeds."""
    return np.random.Generator(np.random.SFC64(int(torch.randint(2**62, ()))))


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
        if input.device.type != "cpu" or kept == 0 or torch.compiler.is_compiling():
            return F.dropout(input, self.p, training=True)
        # The mask has the memory order of the input, so that the product is one pass.
        strides = torch.empty_like(input, device="meta").stride()
        mask = draw_mask(input.numel(), kept, mask_generator()).as_strided(input.shape, strides)
        return _MaskedScale.apply(input, mask, LEVELS / kept)
