"""Matrix products and dilated convolutions on a CPU, by oneDNN with what follows them on the way.

PyTorch gives float32 products to MKL, which on processors that are not Intel's leaves half of the vector width unused;
oneDNN, which it uses for convolutions and for bfloat16, does not: twice as fast there, and no slower elsewhere. oneDNN
also adds the bias, activates or adds to what is there before it writes, where PyTorch takes a pass over memory each.
"""

from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Activation = Literal["none", "relu", "gelu"]
_ACTIVATIONS = {"relu": torch.relu_, "gelu": F.gelu}


def product(left: Tensor, right: Tensor, bias: Tensor | None = None, *, activation: Activation = "none") -> Tensor:
    """Multiply (M, K) by (K, N), in any layout, add `bias` (N,) and activate; without gradients of its own."""
    if left.dtype == torch.float32 or bias is not None or activation != "none":
        if _onednn_computes(left.dtype):
            return torch.ops.mkldnn._linear_pointwise(left, right.t(), bias, activation, [], "none")
    result = torch.mm(left, right) if bias is None else torch.addmm(bias, left, right)
    return result if activation == "none" else _ACTIVATIONS[activation](result)


class WindowConv:
    """A convolution of one window without padding, channels innermost, its weights laid out once for many windows.

    Args:
        weight: (F, C, K), in the dtype to compute in.
        bias: (F,) or None.
        dilation: positions between taps.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, dilation: int = 1) -> None:
        self.span = (weight.shape[2] - 1) * dilation  # positions read beyond the first
        self._bias, self._options = bias, ([0, 0], [1, 1], [1, dilation], 1)  # padding, stride, dilation, groups
        self._weight = weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)  # (F, C, 1, K)
        self._onednn = _onednn_computes(weight.dtype)
        if self._onednn:
            image = [1, weight.shape[1], 1, _TYPICAL_LENGTH + self.span]
            self._weight = torch.ops.mkldnn._reorder_convolution_weight(self._weight, *self._options, image)

    def __call__(self, window: Tensor, *, activation: Activation = "none") -> Tensor:
        """Map (P + span, C) to (P, F) and activate; without gradients of its own."""
        if self._onednn:
            convolve = torch.ops.mkldnn._convolution_pointwise
            after = activation, [], "none"
            outputs = convolve(_image(window), self._weight, self._bias, *self._options, *after)
            return outputs[0, :, 0].t()
        outputs = self._plain(window)
        return outputs if activation == "none" else _ACTIVATIONS[activation](outputs)

    def add_to(self, outputs: Tensor, window: Tensor) -> None:
        """Add what it makes of (P + span, C) to `outputs` (P, F)."""
        if self._onednn:
            convolve = torch.ops.mkldnn._convolution_pointwise_.binary
            after = "add", 1.0, None, [], None
            convolve(_image(outputs), _image(window), self._weight, self._bias, *self._options, *after)
        else:
            outputs += self._plain(window)

    def _plain(self, window: Tensor) -> Tensor:
        padding, stride, dilation, groups = self._options
        return F.conv2d(_image(window), self._weight, self._bias, stride, padding, dilation, groups)[0, :, 0].t()


def _image(window: Tensor) -> Tensor:
    """View (P, C) as (1, C, 1, P)."""
    return window.t()[None, :, None]


_TYPICAL_LENGTH = 1024  # the layout of the weights is chosen for it and serves any


@cache
def _onednn_computes(dtype: torch.dtype) -> bool:
    """Tell whether this PyTorch has the operations of its compiler's CPU code, and whether they compute."""
    if not torch.backends.mkldnn.is_available() or dtype not in (torch.float32, torch.bfloat16):
        return False
    ops, left, right = torch.ops.mkldnn, torch.eye(3, dtype=dtype), torch.tensor([[1.0, -2, 4]], dtype=dtype)
    bias, image, options = torch.ones(1, dtype=dtype), left.t()[None, :, None], ([0, 0], [1, 1], [1, 2], 1)
    kernel = torch.ones(1, 3, 1, 2, dtype=dtype)
    try:
        packed = ops._reorder_convolution_weight(kernel, *options, [1, 3, 1, 3])
        results = [
            ops._linear_pointwise(left, right, bias, "relu", [], "none").view(-1),  # relu of 1 + 1, 1 - 2, 1 + 4
            ops._convolution_pointwise(image, packed, bias, *options, "relu", [], "none").view(-1),  # rows 0 and 2
        ]
        total = results[-1].clone().view(1, 1, 1, 1)
        ops._convolution_pointwise_.binary(total, image, packed, bias, *options, "add", 1.0, None, [], None)
        ops._linear_pointwise(left, right, None, "gelu", [], "none")
    except (AttributeError, RuntimeError):
        return False
    return [result.tolist() for result in (*results, total.view(-1))] == [[2, 0, 5], [3], [6]]
