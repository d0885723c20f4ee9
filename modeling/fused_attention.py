"""Attention with dropout on its weights, for training on a CPU: one window at a time, with `dropout`'s fast masks.

PyTorch's own falls back to its slowest form there: whole-batch (B, heads, P, P) tensors, five of them, and a serial
random generator. Shapes: B batch, h heads, P positions, D channels of a head.
"""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .dropout import LEVELS, draw_mask, mask_generators
from .fast_path import is_differentiated_again, plain_gradients, tensor_allowed
from .products import product
from .window_threads import over_windows


def attention(query: Tensor, key: Tensor, value: Tensor, *, dropout: float) -> Tensor:
    """Map queries, keys and values (B, h, P, D) to (B, h, P, D): softmax(q k^T / sqrt(D)), dropped out, times v."""
    kept = round((1 - dropout) * LEVELS)
    if 0 < kept < LEVELS and query.dtype == key.dtype == value.dtype and tensor_allowed(query):
        return _DroppedAttention.apply(query, key, value, kept)
    return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)


def _plain_attention(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor, share: float, scale: float) -> Tensor:
    query, key, value = (tensor.float() for tensor in (query, key, value))
    return (torch.softmax(query * scale @ key.transpose(2, 3), -1) * mask * share) @ value


class _DroppedAttention(torch.autograd.Function):
    """(B, h, P, D) three times -> (B, h, P, D), laid out as (B, P, h, D)."""

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, kept: int) -> Tensor:
        batch, heads, positions, width = query.shape
        share, scale, generators = LEVELS / kept, 1 / math.sqrt(width), mask_generators(batch)
        outputs = query.new_empty(batch, positions, heads, width).transpose(1, 2)
        weights = query.new_empty(batch, heads, positions, positions)
        mask = torch.empty(batch, heads, positions, positions, dtype=torch.uint8)

        def compute(piece: range) -> None:
            for i in piece:
                torch.softmax(_products(query[i] * scale, key[i].transpose(1, 2)), -1, out=weights[i])
                mask[i] = draw_mask(mask[i].numel(), kept, generators[i]).view_as(mask[i])
                outputs[i] = _products(weights[i] * mask[i], value[i] * share)

        over_windows(batch, compute)
        ctx.save_for_backward(query, key, value, weights, mask)
        ctx.share, ctx.scale = share, scale
        return outputs

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, weights, mask = ctx.saved_tensors
        if is_differentiated_again(gradients[0]):
            plain = partial(_plain_attention, mask=mask, share=ctx.share, scale=ctx.scale)
            return plain_gradients(ctx, plain, [query, key, value], gradients[0])
        d_query, d_key, d_value = (torch.empty_like(tensor) for tensor in (query, key, value))

        def compute(piece: range) -> None:
            for i in piece:
                gradient = gradients[0][i] * ctx.share
                d_value[i] = _products((weights[i] * mask[i]).transpose(1, 2), gradient)
                d_weights = _products(gradient, value[i].transpose(1, 2)).mul_(mask[i])
                d_scores = torch.ops.aten._softmax_backward_data(d_weights, weights[i], -1, weights.dtype)
                d_query[i] = _products(d_scores.mul_(ctx.scale), key[i])
                d_key[i] = _products(d_scores.transpose(1, 2), query[i])

        over_windows(len(query), compute)
        return d_query, d_key, d_value, None


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Multiply (h, M, K) by (h, K, N)."""
    return torch.stack([product(one, other) for one, other in zip(left, right, strict=True)])
