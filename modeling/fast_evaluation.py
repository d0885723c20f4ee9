"""Predictions of the dilated models on a CPU, one window at a time, equal to the plain model in evaluation.

What evaluation allows and training does not:

* batch normalisation is a scale and a shift, and both go into the convolution before it;
* after the last activation everything is linear (wide pointwise convolution, normalisation, average over a bin, head),
  so it is one vector of C weights a track;
* the bins asked for read only a cone of positions, narrower from block to block. GRN reads the whole window, so a
  ConvNeXt stem is computed whole up to it.

What one window needs stays in cache, in buffers that the next window uses again.
Shapes: L bp, P positions of the core's grid, C channels, H hidden channels, K kernel size, T tracks, N bins.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .dilated_conv import DilatedConv1d
from .fast_path import compute_dtype, fast_path_allowed, is_ordinary, is_plain, is_watched
from .folded_weights import FoldedConv, FoldedMixer, FoldedModel, folded_weights
from .products import column_norms, product
from .window_threads import over_windows

_UNIT = {"activation": nn.GELU, "conv": DilatedConv1d}
_CONVNEXT = {
    "activation": nn.GELU,
    "conv": nn.Conv1d,
    "norm": nn.LayerNorm,
    "pointwise_in": nn.Linear,
    "pointwise_out": nn.Linear,
}
_gelu = torch.ops.aten.gelu.out


def fast_prediction(model: Any, inputs: Tensor, *, target_only: bool) -> Tensor | None:
    """Predict (B, T, N) in float32, or return None where this is no way to compute what `model` does.

    Args:
        model: a track model in evaluation mode.
        inputs: (B, L) base codes or (B, 4, L) one-hot.
        target_only: the central bins of `config.target_length` alone.
    """
    if is_watched() or torch.is_grad_enabled() or not is_ordinary(inputs) or not _applies(model):
        return None
    bases = model.one_hot_inputs(inputs).transpose(1, 2)  # (B, L, 4)
    dtype = compute_dtype(bases)
    crop = model.config.crop_bins if target_only else 0
    with torch.autocast("cpu", enabled=False):
        folded, bases = folded_weights(model, dtype), bases.to(dtype).contiguous()

        def logits(piece: range) -> Tensor:
            windows = _Windows(folded, bases.shape[1], crop)
            return torch.stack([windows.logits(bases[i]) for i in piece])

        return model.head_activation(torch.cat(over_windows(len(bases), logits)).transpose(1, 2))


def _applies(model: Any) -> bool:
    """Tell whether a model has a stem and a core of this file, as they were built."""
    stem, core, config = model.stem, model.core, model.config
    if model.training or config.core_config.type != "dilated" or core.left_padding >= core.pool.kernel_size:
        return False
    kinds = {"head": nn.Linear, "head_activation": nn.Softplus}
    if not is_plain(model, kinds) or not fast_path_allowed(model, model.head.weight, kinds):
        return False
    units = [core.features, *(unit for block in core.blocks for unit in (block.dilated, block.pointwise))]
    if config.stem_config.type == "convnext":
        return is_plain(stem, _CONVNEXT) and all(_is_foldable(unit) for unit in units)
    return config.stem_config.unit == "gelu-conv-norm" and all(_is_foldable(unit) for unit in (stem, *units))


def _is_foldable(unit: Any) -> bool:
    norm = unit.norm
    return is_plain(unit, _UNIT) and isinstance(norm, nn.BatchNorm1d) and norm.running_mean is not None


class _Windows:
    """Computes windows of one length, one after the other, in the same buffers.

    Args:
        model: folded weights.
        length: L.
        crop: bins left out on each side.
    """

    def __init__(self, model: FoldedModel, length: int, crop: int) -> None:
        self.model, self.length = model, length
        like = model.conv.matrix
        positions = (length + model.left_padding) // model.pool_size
        num_bins = positions // model.positions_per_bin
        # The cone: positions that each block computes, found from the last block to the first.
        left, right = crop * model.positions_per_bin, (num_bins - crop) * model.positions_per_bin
        self.cone = []
        for block in reversed(model.blocks):
            self.cone.append((left, right))
            left, right = max(0, left - block.reach), min(positions, right + block.reach)
        self.cone.reverse()
        self.pooled = left, right
        self.target = self.cone[-1] if self.cone else self.pooled
        channels = like.shape[1]
        self.stem = like.new_zeros(model.left_padding + length, channels)  # starts with the zeros that pooling reads
        self.hidden = like.new_empty(positions, channels)
        self.margin = max((block.reach for block in model.blocks), default=0)
        self.activated = like.new_zeros(positions + 2 * self.margin, channels)
        self.mixer = model.mixer

    def logits(self, bases: Tensor) -> Tensor:
        """Map (L, 4) to (N - 2 * crop, T), float32."""
        model, (left, right) = self.model, self.pooled
        self._compute_stem(bases)
        size, hidden = model.pool_size, self.hidden
        taps = [self.stem[left * size + k : right * size : size] for k in range(size)]
        torch.maximum(taps[0], taps[-1], out=hidden[left:right])  # the same one, where nothing is pooled
        for tap in taps[1:-1]:
            torch.maximum(hidden[left:right], tap, out=hidden[left:right])
        for block, (start, stop) in zip(model.blocks, self.cone, strict=True):
            # GELU of what the block reads; beyond the window it reads zeros.
            reach, begin = block.reach, self.margin + start - block.reach
            low, high = max(0, start - reach), min(len(hidden), stop + reach)
            _gelu(hidden[low:high], out=self.activated[self.margin + low : self.margin + high])
            self.activated[begin : self.margin + low] = 0
            self.activated[self.margin + high : self.margin + stop + reach] = 0
            narrow = block.dilated(self.activated[begin : self.margin + stop + reach], activation="gelu")
            block.pointwise.add_to(hidden[start:stop], narrow)
        start, stop = self.target
        activated = _gelu(hidden[start:stop], out=self.activated[: stop - start])
        return (
            product(activated.float(), model.head).unflatten(0, (-1, model.positions_per_bin)).mean(1) + model.head_bias
        )

    def _compute_stem(self, bases: Tensor) -> None:
        """Write the stem's output at the bases that pooling reads."""
        model, (left, right) = self.model, self.pooled
        padding = model.left_padding
        first, last = max(0, left * model.pool_size - padding), right * model.pool_size - padding
        outputs = self.stem[padding + first : padding + last]
        if self.mixer is None:
            outputs.copy_(_convolve(model.conv, F.gelu(bases), first, last))
        else:
            _mix(self.mixer, _convolve(model.conv, bases, 0, self.length), first, last, outputs)


def _convolve(conv: FoldedConv, bases: Tensor, first: int, last: int) -> Tensor:
    """Convolve (L, 4) at positions `first` to `last`; an even kernel reads one more base on the right."""
    size, (length, width) = conv.kernel_size, bases.shape
    padded = F.pad(bases, (0, 0, (size - 1) // 2, size // 2))
    unfolded = padded.as_strided((length, size * width), (width, 1))  # (L, K * 4)
    return product(unfolded[first:last].contiguous(), conv.matrix, conv.bias)


def _mix(mixer: FoldedMixer, convolved: Tensor, first: int, last: int, outputs: Tensor) -> None:
    """Write what a ConvNeXt V2 block makes of its convolution's output (L, C), at positions `first` to `last`."""
    weight, bias, eps = mixer.norm
    normed = F.layer_norm(convolved, (convolved.shape[1],), weight, bias, eps)
    hidden = product(normed, mixer.inward, mixer.inward_bias, activation="gelu")  # (L, H)
    norms = column_norms(hidden)
    scaled = mixer.outward * (1 + mixer.gamma * (norms / (norms.mean() + mixer.eps)))
    mixed = product(hidden[first:last], scaled.to(outputs.dtype).t(), mixer.shift)
    torch.add(convolved[first:last], mixed, out=outputs)
    if mixer.relu:
        outputs.relu_()
