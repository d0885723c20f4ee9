"""Base codes -> one-hot: what every model here reads, in the order A, C, G, T."""

import torch
from torch import Tensor


def one_hot(codes: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn base codes (B, L), A0 C1 G2 T3 and anything else N, into a one-hot (B, 4, L); N is all zeros."""
    table = torch.eye(5, 4, dtype=dtype, device=codes.device)
    return table[codes.long().clamp(max=4)].transpose(1, 2)


def as_one_hot(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Return codes (B, L) or a one-hot (B, 4, L) as a one-hot (B, 4, L) of `dtype`.

    Raises:
        ValueError: another shape.
    """
    if (inputs.dim() == 3 and inputs.shape[1] != 4) or inputs.dim() not in (2, 3):
        raise ValueError(
            "`inputs` must be base codes (B, L) or one-hot (B, 4, L) in the order A, C, G, T, "
            f"got shape {tuple(inputs.shape)}"
        )
    return one_hot(inputs, dtype) if inputs.dim() == 2 else inputs.to(dtype)
