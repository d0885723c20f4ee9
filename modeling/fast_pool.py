"""Max pooling with channels innermost on a CPU: maxima of strided views, equal to `nn.MaxPool1d`.

Where neighbours tie, the gradient goes to the first, as PyTorch's does.
Shapes: B batch, C channels, L positions, P = (L + left_padding) // size.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .fast_path import fast_path_allowed, is_differentiated_again, plain_gradients
from .window_threads import over_windows


def max_pool(pool: nn.MaxPool1d, hidden: Tensor, left_padding: int = 0) -> Tensor:
    """Map (B, C, L) to `pool` of it with `left_padding` zeros on its left, (B, C, P)."""
    size = pool.kernel_size
    options = pool.stride, pool.padding, pool.dilation, pool.ceil_mode, pool.return_indices
    if (
        isinstance(size, int)
        and 1 < size <= hidden.shape[2]
        and left_padding < size
        and options == (size, 0, 1, False, False)
        and hidden.transpose(1, 2).is_contiguous()
        and fast_path_allowed(pool, hidden, {})
    ):
        return _MaxPool.apply(hidden.transpose(1, 2), size, left_padding).transpose(1, 2)
    return pool(F.pad(hidden, (left_padding, 0)) if left_padding else hidden)


def _plain_pool(hidden: Tensor, *, size: int, left_padding: int) -> Tensor:
    return F.max_pool1d(F.pad(hidden.transpose(1, 2), (left_padding, 0)), size).transpose(1, 2)


def _taps(window: Tensor, size: int, left_padding: int) -> list[tuple[int, Tensor]]:
    """Return the pooled position that each of the `size` views of (L, C) starts at, and the view."""
    positions, taps = (len(window) + left_padding) // size, []
    for tap in range(size):
        start = 1 if tap < left_padding else 0  # position 0 reads padding there
        taps.append((start, window[start * size - left_padding + tap :: size][: positions - start]))
    return taps


class _MaxPool(torch.autograd.Function):
    """(B, L, C) -> (B, P, C)."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, size: int, left_padding: int) -> Tensor:
        batch, length, channels = hidden.shape
        best = hidden.new_empty(batch, (length + left_padding) // size, channels)

        def compute(piece: range) -> None:
            for i in piece:
                (start, first), *others = _taps(hidden[i], size, left_padding)
                best[i, :start] = 0
                best[i, start:] = first
                for start, values in others:
                    torch.maximum(best[i, start:], values, out=best[i, start:])

        over_windows(batch, compute)
        ctx.size, ctx.left_padding = size, left_padding
        ctx.save_for_backward(hidden, best)
        return best

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        hidden, best = ctx.saved_tensors
        if is_differentiated_again(gradients[0]):
            plain = partial(_plain_pool, size=ctx.size, left_padding=ctx.left_padding)
            return plain_gradients(ctx, plain, [hidden], gradients[0])
        gradient = gradients[0].contiguous()  # (B, P, C)
        d_hidden = torch.empty_like(hidden)
        num_read = best.shape[1] * ctx.size - ctx.left_padding

        def compute(piece: range) -> None:
            rest, won = torch.empty(2, *best.shape[1:], dtype=best.dtype)
            for i in piece:
                rest.copy_(gradient[i])
                if ctx.left_padding:
                    rest[0] *= best[i, 0] != 0  # zeros on the left come first
                taps, d_taps = (_taps(tensor[i], ctx.size, ctx.left_padding) for tensor in (hidden, d_hidden))
                for (start, values), (_, d_tap) in zip(taps[:-1], d_taps[:-1], strict=True):
                    torch.eq(values, best[i, start:], out=won[start:])  # 0 and 1 in this dtype: bool is slow
                    torch.mul(rest[start:], won[start:], out=d_tap)
                    rest[start:] -= d_tap
                start, d_tap = d_taps[-1]
                d_tap.copy_(rest[start:])
                d_hidden[i, num_read:] = 0

        over_windows(len(gradient), compute)
        return d_hidden, None, None
