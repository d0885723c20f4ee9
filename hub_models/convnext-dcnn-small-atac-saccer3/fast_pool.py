"""Max pooling with channels innermost on a CPU: maxima of strided views, equal to `nn.MaxPool1d`.

Where neighbours tie, the gradient goes to the first, as PyTorch's does.
Shapes: B batch, C channels, L positions, P = (L + left_padding) // size.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .fast_path import fast_path_allowed
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
        positions = (length + left_padding) // size
        best = hidden.new_empty(batch, positions, channels)
        # one byte an element and tap, 1 where that tap beats all before it
        better = (
            torch.empty(size - 1, batch, positions, channels, dtype=torch.bool) if ctx.needs_input_grad[0] else None
        )

        def compute(piece: range) -> None:
            for i in piece:
                (start, first), *others = _taps(hidden[i], size, left_padding)
                best[i, :start] = 0
                best[i, start:] = first
                for tap, (start, values) in enumerate(others):
                    so_far = best[i, start:]
                    if better is not None:
                        better[tap, i, :start] = so_far.new_zeros(()) > best[i, :start]
                        torch.gt(values, so_far, out=better[tap, i, start:])
                    torch.maximum(so_far, values, out=so_far)

        over_windows(batch, compute)
        ctx.size, ctx.left_padding, ctx.length = size, left_padding, length
        ctx.save_for_backward(better)
        return best

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (better,) = ctx.saved_tensors
        gradient = gradients[0].contiguous()  # (B, P, C)
        batch, _, channels = gradient.shape
        d_hidden = gradient.new_zeros(batch, ctx.length, channels)

        def compute(piece: range) -> None:
            for i in piece:
                rest = gradient[i].clone()
                taps = _taps(d_hidden[i], ctx.size, ctx.left_padding)
                for tap in range(ctx.size - 1, 0, -1):
                    start, d_tap = taps[tap]
                    won = rest * better[tap - 1, i].view(torch.uint8)
                    rest -= won
                    d_tap.copy_(won[start:])
                start, d_tap = taps[0]
                d_tap.copy_(rest[start:])

        over_windows(batch, compute)
        return d_hidden, None, None
