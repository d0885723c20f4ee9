"""A convolution one window at a time, on a CPU, with the activation before or after it.

The gradient of the weights is one matrix product a window, and with few channels the outputs are too: faster than
oneDNN's convolutions there. With many channels those are as fast once their weights are laid out, which is done once.
Shapes: B batch, P positions in, Q out, C and F channels, K kernel size.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .fast_path import is_differentiated_again, plain_gradients
from .products import WindowConv, product, product_over_rows
from .window_threads import over_windows, sum_over_windows

_MANY_CHANNELS = 16  # from which on oneDNN's convolution is the faster one forward


def unfolded_conv(
    conv: nn.Conv1d,
    hidden: Tensor,
    *,
    dtype: torch.dtype,
    gelu_first: bool = False,
    relu_after: bool = False,
    right_padding: int = 0,
) -> Tensor:
    """Map (B, P, C) to (B, Q, F).

    Args:
        conv: without groups and stride; its padding goes on both sides.
        hidden: (B, P, C).
        dtype: of the products.
        gelu_first: apply GELU to `hidden`.
        relu_after: apply ReLU to the result.
        right_padding: zeros on the right beyond the padding.
    """
    left = int(conv.padding[0])
    padding = left, left + right_padding
    return _UnfoldedConv.apply(hidden, conv.weight, conv.bias, conv.dilation[0], padding, gelu_first, relu_after, dtype)


def _plain_conv(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    dilation: int,
    padding: tuple[int, int],
    gelu_first: bool,
    relu_after: bool,
) -> Tensor:
    hidden = F.gelu(hidden.float()) if gelu_first else hidden.float()
    outputs = F.conv1d(F.pad(hidden.transpose(1, 2), padding), weight, bias, dilation=dilation).transpose(1, 2)
    return outputs.relu() if relu_after else outputs


class _UnfoldedConv(torch.autograd.Function):
    """(B, P, C) -> (B, Q, F)."""

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        dilation: int,
        padding: tuple[int, int],
        gelu_first: bool,
        relu_after: bool,
        dtype: torch.dtype,
    ) -> Tensor:
        (batch, positions, channels), (width, _, taps) = hidden.shape, weight.shape
        matrix = weight.permute(2, 1, 0).flatten(0, 1).to(dtype)  # (K * C, F)
        offset = None if bias is None else bias.to(dtype)
        convolve = WindowConv(weight.to(dtype), offset, dilation=dilation) if channels >= _MANY_CHANNELS else None
        activation = "relu" if relu_after else "none"
        outputs = torch.empty(batch, positions + sum(padding) - (taps - 1) * dilation, width, dtype=dtype)

        def compute(piece: range) -> None:
            window = _Unfolded(positions, channels, taps, dilation, padding, dtype)
            for i in piece:
                window.read(hidden[i], gelu_first)
                if convolve is None:
                    outputs[i] = product(window.columns(), matrix, offset, activation=activation)
                else:
                    outputs[i] = convolve(window.padded, activation=activation)

        over_windows(batch, compute)
        ctx.save_for_backward(hidden, weight, bias, outputs if relu_after else None)
        ctx.options = dilation, padding, gelu_first, dtype
        return outputs

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (hidden, weight, bias, activated), (dilation, padding, gelu_first, dtype) = ctx.saved_tensors, ctx.options
        if is_differentiated_again(gradients[0]):
            relu_after = activated is not None
            options = {"dilation": dilation, "padding": padding, "gelu_first": gelu_first, "relu_after": relu_after}
            return plain_gradients(ctx, partial(_plain_conv, **options), [hidden, weight, bias], gradients[0])
        (batch, positions, channels), (width, _, taps) = hidden.shape, weight.shape
        gradient = gradients[0].to(dtype).contiguous()
        flipped = weight.flip(2).transpose(0, 1).to(dtype)
        convolve_back = WindowConv(flipped, dilation=dilation, padding=(taps - 1) * dilation - padding[0])
        d_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None

        def compute(piece: range) -> tuple[Tensor, Tensor]:
            window = _Unfolded(positions, channels, taps, dilation, padding, dtype)
            d_matrix, d_bias = torch.zeros(taps * channels, width), torch.zeros(width)
            for i in piece:
                d_outputs = gradient[i]
                if activated is not None:
                    d_outputs = torch.ops.aten.threshold_backward(d_outputs, activated[i], 0)
                if ctx.needs_input_grad[2]:
                    d_bias += d_outputs.sum(0, dtype=torch.float32)
                window.read(hidden[i], gelu_first)
                d_matrix += product_over_rows(window.columns(), d_outputs)
                if d_hidden is not None:
                    d_window = convolve_back(d_outputs)[:positions]
                    if gelu_first:
                        inner = hidden[i].to(dtype)
                        torch.ops.aten.gelu_backward.grad_input(d_window, inner, grad_input=d_window)
                    d_hidden[i] = d_window
            return d_matrix, d_bias

        d_matrix, d_bias = sum_over_windows(batch, compute)
        d_weight = d_matrix.view(taps, channels, width).permute(2, 1, 0)
        return d_hidden, d_weight, d_bias if ctx.needs_input_grad[2] else None, *[None] * 5


class _Unfolded:
    """What a kernel reads at each position of a window (P, C) with zeros around it (`padded`): (Q, K * C).

    Args:
        positions: P.
        channels: C.
        taps: K.
        dilation: positions between taps.
        padding: zeros left and right.
        dtype: of the products.
    """

    def __init__(
        self, positions: int, channels: int, taps: int, dilation: int, padding: tuple[int, int], dtype: torch.dtype
    ) -> None:
        left, right = padding
        self.padded = padded = torch.zeros(left + positions + right, channels, dtype=dtype)
        self._inner = padded[left : left + positions]
        shape, strides = (len(padded) - (taps - 1) * dilation, taps, channels), (channels, dilation * channels, 1)
        self._view = padded.as_strided(shape, strides)
        self._columns = torch.empty(shape, dtype=dtype)

    def read(self, window: Tensor, gelu: bool) -> None:
        """Take the next window (P, C), or GELU of it."""
        if gelu:
            torch.ops.aten.gelu.out(window.to(self._inner.dtype), out=self._inner)
        else:
            self._inner.copy_(window)

    def columns(self) -> Tensor:
        """Unfold it; the next call writes to the same place."""
        return self._columns.copy_(self._view).flatten(1)
