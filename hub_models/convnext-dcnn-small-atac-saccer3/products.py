"""Matrix products on a CPU, in float32 by oneDNN.

PyTorch gives float32 products to MKL, which on processors that are not Intel's leaves half of the vector width unused;
oneDNN, which it uses for convolutions and for bfloat16, does not: twice as fast there, and no slower elsewhere. In
bfloat16 oneDNN adds the bias on the way, where PyTorch writes it to memory first.
"""

from functools import cache

import torch
from torch import Tensor


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply (M, K) by (K, N), in any layout, and add `bias` (N,); without gradients of its own."""
    fused = left.dtype == torch.float32 or (left.dtype == torch.bfloat16 and bias is not None)
    if fused and _onednn_multiplies():
        return torch.ops.mkldnn._linear_pointwise(left, right.t(), bias, "none", [], "")
    return torch.mm(left, right) if bias is None else torch.addmm(bias, left, right)


@cache
def _onednn_multiplies() -> bool:
    """Tell whether this PyTorch has the product of its compiler's CPU code, and whether that multiplies."""
    if not torch.backends.mkldnn.is_available():
        return False
    left, right, bias = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(3, 4), torch.ones(4)
    try:
        result = torch.ops.mkldnn._linear_pointwise(left, right.t(), bias, "none", [], "")
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(result, left @ right + 1)
