"""Matrix products and dilated convolutions on a CPU, by oneDNN with what follows them on the way.

PyTorch gives float32 products to MKL, which on processors that are not Intel's leaves half of the vector width unused;
oneDNN, which it uses for convolutions and for bfloat16, does not: twice as fast there, and no slower elsewhere. oneDNN
also adds the bias, activates or adds to what is there before it writes, where PyTorch takes a pass over memory each.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

_ROWS = 128  # of 1024 numbers, half of a core's cache
_LENGTHS_KEPT = 4  # layouts of a weight
_ACTIVATIONS = {"relu": torch.relu_, "gelu": F.gelu}


def product(left: Tensor, right: Tensor, bias: Tensor | None = None, *, activation: str = "none") -> Tensor:
    """Multiply (M, K) by (K, N), in any layout, add `bias` (N,), apply "relu" or "gelu"; without gradients."""
    fused = left.dtype == torch.float32 or bias is not None or activation != "none"
    if fused and _onednn_computes(left.dtype):
        left, right = _dense(left), _dense(right)
        return torch.ops.mkldnn._linear_pointwise(left, right.t(), bias, activation, [], "none")
    result = torch.mm(left, right) if bias is None else torch.addmm(bias, left, right)
    return result if activation == "none" else _ACTIVATIONS[activation](result)


def _dense(matrix: Tensor) -> Tensor:
    """Return a matrix whose rows or columns lie one after the other.

    Without AVX-512, oneDNN multiplies others by its reference implementation, in 400 times the time.
    """
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


def product_over_rows(left: Tensor, right: Tensor) -> Tensor:
    """Multiply the transpose of (M, K) by (M, N), (K, N): the gradient of weights.

    oneDNN copies a transposed left factor in float32, so that is the narrower one here.
    """
    if left.dtype == torch.float32 and left.shape[1] > right.shape[1]:
        return product(right.t(), left).t()
    return product(left.t(), right)


def column_norms(matrix: Tensor) -> Tensor:
    """Return the norm of each column of (M, K), (K,) float32; its squares stay in cache and are summed by products."""
    total, ones = torch.zeros(1, matrix.shape[1]), torch.ones(1, _ROWS)
    buffer = torch.empty(_ROWS, matrix.shape[1])
    for rows in matrix.split(_ROWS):
        squares = buffer[: len(rows)].copy_(rows)
        total.addmm_(ones[:, : len(rows)], squares.mul_(squares))
    return total.sqrt_().view(-1)


class WindowConv:
    """A convolution of one window, channels innermost, its weights laid out once for many windows.

    Args:
        weight: (F, C, K), in the dtype to compute in.
        bias: (F,) or None.
        dilation: positions between taps.
        padding: zeros left and right.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, dilation: int = 1, padding: int = 0) -> None:
        self.lost = (weight.shape[2] - 1) * dilation - 2 * padding  # positions of a window that have no output
        self._bias, self._options = bias, ([0, padding], [1, 1], [1, dilation], 1)  # padding, stride, dilation, groups
        self._weight = weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)  # (F, C, 1, K)
        self._laid_out: dict[int, Tensor] = {}
        self._onednn = _onednn_computes(weight.dtype)

    def __call__(self, window: Tensor, *, activation: str = "none") -> Tensor:
        """Map (P + lost, C) to (P, F) and apply "relu" or "gelu"; without gradients of its own."""
        image = _image(window)
        if self._onednn:
            convolve, after = torch.ops.mkldnn._convolution_pointwise, (activation, [], "none")
            return convolve(image, self._weight_for(image), self._bias, *self._options, *after)[0, :, 0].t()
        outputs = self._plain(image)
        return outputs if activation == "none" else _ACTIVATIONS[activation](outputs)

    def add_to(self, outputs: Tensor, window: Tensor) -> None:
        """Add what it makes of (P + lost, C) to `outputs` (P, F)."""
        image = _image(window)
        if self._onednn:
            convolve, after = torch.ops.mkldnn._convolution_pointwise_.binary, ("add", 1.0, None, [], None)
            convolve(_image(outputs), image, self._weight_for(image), self._bias, *self._options, *after)
        else:
            outputs += self._plain(image)

    def _weight_for(self, image: Tensor) -> Tensor:
        """Return the weight in oneDNN's layout for images of this size; in that for another it may be very slow."""
        length, known = image.shape[3], self._laid_out
        if length not in known:
            weight = torch.ops.mkldnn._reorder_convolution_weight(self._weight, *self._options, image.shape)
            known = {**known, length: weight} if len(known) < _LENGTHS_KEPT else {length: weight}
            self._laid_out = known  # a new one: other threads read the last
        return known[length]

    def _plain(self, image: Tensor) -> Tensor:
        padding, stride, dilation, groups = self._options
        return F.conv2d(image, self._weight, self._bias, stride, padding, dilation, groups)[0, :, 0].t()


def _image(window: Tensor) -> Tensor:
    """View (P, C) as (1, C, 1, P)."""
    return window.t()[None, :, None]


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
