"""Predictions of windows that differ from the one before in few bases, such as the two alleles of a variant, on a CPU.

GRN reads the whole window, so one base changes every output a little, and the core is computed anew. But up to GRN a
ConvNeXt stem is local: only the rows whose convolution reads a changed base are computed, a third of a model's work
saved for the second window. What is computed is what `fast_evaluation` computes, but for the rounding of products of
another height.
Shapes: B windows, L bp, K kernel size, C channels, T tracks, N bins.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .fast_evaluation import _applies, _convolve, _Windows
from .fast_path import compute_dtype, is_ordinary
from .folded_weights import FoldedMixer, FoldedModel, folded_weights
from .products import product
from .window_threads import over_windows

_ROWS = 128


def predict_groups(model: Any, inputs: Tensor, *, group: int, crop: int) -> Tensor:
    """Predict windows of which each `group` in a row are nearly equal, by the fastest way that is exact.

    Args:
        model: a track model in evaluation mode.
        inputs: (B, L) base codes; B is a multiple of `group`.
        group: windows that belong together.
        crop: bins left out on each side.

    Returns:
        (B, T, N - 2 * crop) float32, in the scale of training.
    """
    with torch.no_grad():
        inputs = model.at_hand(inputs)
        if not is_ordinary(inputs) or not _applies(model):
            predictions = model.predict(inputs)
            return predictions[..., crop : predictions.shape[-1] - crop]
        bases = model.one_hot_inputs(inputs).transpose(1, 2)  # (B, L, 4)
        dtype = compute_dtype(bases)
        with torch.autocast("cpu", enabled=False):
            folded, bases = folded_weights(model, dtype), bases.to(dtype).contiguous()

            def logits(groups: range) -> Tensor:
                windows = _NearlyEqualWindows(folded, bases.shape[1], crop)
                return torch.stack([windows.logits(bases[i * group + j]) for i in groups for j in range(group)])

            return model.head_activation(torch.cat(over_windows(len(bases) // group, logits)).transpose(1, 2))


class _NearlyEqualWindows(_Windows):
    """Computes windows one after the other, and of a stem's local part only what the window before did not have."""

    def __init__(self, model: FoldedModel, length: int, crop: int) -> None:
        super().__init__(model, length, crop)
        self.last: Tensor | None = None
        if self.mixer is not None:
            like, width = model.conv.matrix, self.mixer.inward.shape[1]
            self.convolved = like.new_empty(length, like.shape[1])
            self.responses = like.new_empty(length, width)  # what GRN reads
            self.squares = torch.empty(-(-length // _ROWS), width)  # their squares, summed over each _ROWS positions

    def _compute_stem(self, bases: Tensor) -> None:
        if self.mixer is None:
            super()._compute_stem(bases)
            return
        model, (left, right) = self.model, self.pooled
        self._compute_local(self.mixer, bases)
        padding = model.left_padding
        first, last = max(0, left * model.pool_size - padding), right * model.pool_size - padding
        self._project(self.mixer, first, last, self.stem[padding + first : padding + last])

    def _compute_local(self, mixer: FoldedMixer, bases: Tensor) -> None:
        """Compute anew what precedes GRN, where a base that it reads has changed."""
        low, high = self._stale_rows(bases)
        self.last = bases
        if low == high:
            return
        convolved = _convolve(self.model.conv, bases, low, high)
        weight, bias, eps = mixer.norm
        normed = F.layer_norm(convolved, (convolved.shape[1],), weight, bias, eps)
        self.convolved[low:high] = convolved
        self.responses[low:high] = product(normed, mixer.inward, mixer.inward_bias, activation="gelu")
        for block in range(low // _ROWS, -(-high // _ROWS)):
            rows = self.responses[block * _ROWS : (block + 1) * _ROWS].float()
            self.squares[block] = torch.ones(1, len(rows)) @ (rows * rows)

    def _stale_rows(self, bases: Tensor) -> tuple[int, int]:
        """Return the rows of the convolution that read a base in which `bases` differs from the window before."""
        if self.last is None:
            return 0, self.length
        changed = (bases != self.last).any(1).nonzero()
        if not len(changed):
            return 0, 0
        size = self.model.conv.kernel_size
        low, high = int(changed[0]) - size // 2, int(changed[-1]) + (size - 1) // 2 + 1
        return max(0, low), min(self.length, high)

    def _project(self, mixer: FoldedMixer, first: int, last: int, outputs: Tensor) -> None:
        """Write the block's output at positions `first` to `last`: GRN, the second product, the residual."""
        norms = self.squares.sum(0).sqrt()
        scaled = mixer.outward * (1 + mixer.gamma * (norms / (norms.mean() + mixer.eps)))
        mixed = product(self.responses[first:last], scaled.to(outputs.dtype).t(), mixer.shift)
        torch.add(self.convolved[first:last], mixed, out=outputs)
        if mixer.relu:
            outputs.relu_()
