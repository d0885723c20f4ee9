"""A wide linear part beside a deep model: k-mer counts of the window's middle, added to the network's logits.

Cheng et al. 2016 ("wide and deep", arXiv:1606.07792) train both parts together. Here the part starts as nothing, and
training fits it in closed form once the network is final.
Shapes: B batch, L bp, F canonical k-mers, R regions, T labels.
"""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architecture_parts import KmerConfig


def canonical_table(k: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the feature of each k-mer, (4^k,) int64; a k-mer and its reverse complement share one.

    A k-mer is numbered in base 4 by its codes, the first base highest. Features follow the smaller number of the two.
    """
    every = torch.arange(4**k, device=device)
    complement = torch.zeros_like(every)
    for i in range(k):
        complement = complement + ((3 - (every >> (2 * i)) % 4) << (2 * (k - 1 - i)))
    rank = (every <= complement).cumsum(0) - 1
    return rank[torch.minimum(every, complement)]


def num_canonical(k: int) -> int:
    """Count the k-mers of which none is another's reverse complement: 2,080 for k = 6."""
    return (4**k + (4 ** (k // 2) if k % 2 == 0 else 0)) // 2


def code_counts(codes: Tensor, k: int) -> Tensor:
    """Count canonical k-mers of base codes: the fast path, without a gradient.

    Args:
        codes: (B, L), A0 C1 G2 T3; a k-mer with anything else is not counted.
        k: bases, at most L.

    Returns:
        (B, F) float32.
    """
    num_features, num_starts = num_canonical(k), codes.shape[1] - k + 1
    known_bases, bases = codes < 4, codes.clamp(max=3).long()
    index = torch.zeros_like(bases[:, :num_starts])
    known = torch.ones_like(known_bases[:, :num_starts])
    for i in range(k):
        known = known & known_bases[:, i : i + num_starts]
        index = index * 4 + bases[:, i : i + num_starts]
    feature = torch.where(known, canonical_table(k, codes.device)[index], num_features)
    counts = torch.zeros(len(codes), num_features + 1, device=codes.device)  # the last column is for those with N
    return counts.scatter_add(1, feature, torch.ones_like(feature, dtype=counts.dtype))[:, :num_features]


def one_hot_counts(bases: Tensor, k: int) -> Tensor:
    """Count canonical k-mers of a one-hot: the plain path, a polynomial in its entries.

    The indicators of the first and of the last bases of a k-mer are products of columns, and their product summed over
    positions is one matrix product, so that no tensor has 4^k entries a position.

    Args:
        bases: (B, 4, L) floating point; N is all zeros.
        k: bases, at most L.

    Returns:
        (B, F) of the dtype of `bases`.
    """
    num_starts, half = bases.shape[-1] - k + 1, k // 2
    first, last = _indicators(bases, 0, half, num_starts), _indicators(bases, half, k, num_starts)
    counts = (first @ last.transpose(1, 2)).flatten(1)  # (B, 4^k), the first base highest
    pooled = counts.new_zeros(len(counts), num_canonical(k))
    return pooled.index_add(1, canonical_table(k, bases.device), counts)


def _indicators(bases: Tensor, start: int, end: int, num_starts: int) -> Tensor:
    """Return the products of bases `start` to `end` of each k-mer, (B, 4^(end - start), starts)."""
    product = bases.new_ones(len(bases), 1, num_starts)
    for i in range(start, end):
        product = (product[:, :, None] * bases[:, None, :, i : i + num_starts]).flatten(1, 2)
    return product


def middle(length: int, width: int) -> slice:
    """Return the central `width` bp of a window, all of it where it is shorter; an odd rest lies on the right."""
    start = max(0, (length - width) // 2)
    return slice(start, start + min(width, length))


class KmerFeatures(nn.Module):
    """log(1 + count) of the canonical k-mers in the middle of a window, region after region.

    Args:
        config: `k` and `widths`.
    """

    def __init__(self, config: KmerConfig) -> None:
        super().__init__()
        self.k, self.widths = config.k, tuple(config.widths)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of windows.

        Args:
            inputs: (B, L) base codes or (B, 4, L) one-hot; gradients reach a one-hot.

        Returns:
            (B, R F), float32 or the dtype of a one-hot that is wider.

        Raises:
            ValueError: a window shorter than `k`.
        """
        length = inputs.shape[-1]
        if length < self.k:
            raise ValueError(f"`inputs` must be at least {self.k} bp long to hold a {self.k}-mer, got {length}")
        if inputs.dim() == 3:
            inputs = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
        count = one_hot_counts if inputs.dim() == 3 else code_counts
        counts = [count(inputs[..., middle(length, width)], self.k) for width in self.widths]
        return torch.cat(counts, 1).log1p()


class ZeroLinear(nn.Linear):
    """A linear layer that starts as 0, draws no random number, and computes in the wider dtype of input and weight."""

    def reset_parameters(self) -> None:
        """Set weight and bias to 0."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, F) to (B, T)."""
        dtype: Any = torch.promote_types(input.dtype, self.weight.dtype)
        return F.linear(input.to(dtype), self.weight.to(dtype), self.bias.to(dtype))


class KmerPart(nn.Module):
    """scale * logits + linear(features); at its start the logits as they are.

    A k-mer and its reverse complement are one feature, so what it adds is the same for both strands as long as the
    regions lie in the middle, which a window and widths that are both even, or both odd, ensure.

    Args:
        config: `k` and `widths`.
        num_labels: T.
    """

    def __init__(self, config: KmerConfig, num_labels: int) -> None:
        super().__init__()
        self.features = KmerFeatures(config)
        self.linear = ZeroLinear(len(config.widths) * num_canonical(config.k), num_labels)
        self.scale = nn.Parameter(torch.ones(num_labels))

    def forward(self, inputs: Tensor, logits: Tensor) -> Tensor:
        """Add the part to logits.

        In float32 whatever autocast says: thousands of features, all of one sign, nearly cancel.

        Args:
            inputs: (B, L) base codes or (B, 4, L) one-hot.
            logits: (B, T) of the network.

        Returns:
            (B, T), float32 or a wider dtype of the weights or a one-hot.

        Raises:
            ValueError: as `KmerFeatures`.
        """
        device = inputs.device.type
        with _without_autocast(device):
            wide = self.linear(self.features(inputs))
            return self.scale.to(wide.dtype) * logits.to(wide.dtype) + wide


def _without_autocast(device: str) -> Any:
    available = torch.amp.is_autocast_available(device)  # pyright: ignore[reportPrivateImportUsage]
    return torch.autocast(device, enabled=False) if available else nullcontext()
