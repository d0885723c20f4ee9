"""Dropout whose random numbers do not cost more than the layer it follows.

PyTorch draws a CPU dropout mask with one serial generator, a quarter of a small model's training step. Here one draw
from PyTorch's generator seeds a faster one, so that a run's random state is still PyTorch's alone.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _MaskedScale(torch.autograd.Function):
    """Multiply by a boolean mask and a scale; keeps one byte an element for the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return hidden * (mask.to(hidden.dtype) * scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return gradients[0] * (mask.to(gradients[0].dtype) * ctx.scale), None, None


class FastDropout(nn.Dropout):
    """`nn.Dropout` that on a CPU draws 16-bit integers; `p` is resolved to 1/65536.

    The mask is another one than `nn.Dropout` draws from the same seed; everything else is equal.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Zero elements with probability `p` in training and scale the others by 1 / (1 - p)."""
        kept = round((1 - self.p) * 65536)
        if not self.training or kept == 65536:
            return input
        if input.device.type != "cpu" or kept == 0 or torch.compiler.is_compiling():
            return F.dropout(input, self.p, training=True)
        seed = int(torch.randint(2**62, ()))
        draws = np.frombuffer(np.random.Generator(np.random.SFC64(seed)).bytes(2 * input.numel()), np.uint16)
        return _MaskedScale.apply(input, torch.from_numpy(draws < kept).view(input.shape), 65536 / kept)
