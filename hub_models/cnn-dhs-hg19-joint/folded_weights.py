"""A dilated model's weights for evaluation: normalisation folded into convolutions, the linear end into one vector.

Folded in float64, kept in the dtype that products run in, made again when a weight has changed.
Shapes: C channels, H hidden channels, K kernel size, T tracks.
"""

import threading
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .products import WindowConv


@dataclass
class FoldedConv:
    """The stem's convolution of the bases, K * 4 inputs a position."""

    kernel_size: int
    matrix: Tensor  # (K * 4, C)
    bias: Tensor  # (C,)


@dataclass
class FoldedMixer:
    """What follows the convolution in a ConvNeXt V2 stem."""

    norm: tuple[Tensor, Tensor, float]
    inward: Tensor  # (C, H)
    inward_bias: Tensor  # (H,)
    outward: Tensor  # (C, H), float32: GRN scales it for each window
    shift: Tensor  # (C,), GRN's beta in it
    gamma: Tensor  # (H,), float32
    eps: float
    relu: bool


@dataclass
class FoldedBlock:
    """A residual block."""

    dilated: WindowConv
    pointwise: WindowConv

    @property
    def reach(self) -> int:
        """Positions that an output reads on each side."""
        return self.dilated.lost // 2


@dataclass
class FoldedModel:
    """A model; `mixer` is None behind a convolutional stem, whose GELU comes first."""

    conv: FoldedConv
    mixer: FoldedMixer | None
    blocks: list[FoldedBlock]
    head: Tensor  # (C, T), float32
    head_bias: Tensor  # (T,)
    pool_size: int
    left_padding: int
    positions_per_bin: int


# By model and dtype, with the state of the weights folded. Not on the model, which is copied, pickled and saved.
_known: weakref.WeakKeyDictionary[nn.Module, dict[torch.dtype, tuple[Any, Tensor, FoldedModel]]]
_known = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def folded_weights(model: Any, dtype: torch.dtype) -> FoldedModel:
    """Return a track model's folded weights, those of the last call if no weight has changed since."""
    tensors = [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]
    state = [(tensor.data_ptr(), tensor._version) for tensor in tensors if not tensor.is_inference()]
    # A change through `.data` leaves no trace in the version; norms see it.
    norms = torch.stack([tensor.norm() for tensor in tensors if tensor.is_floating_point()])
    with _lock:
        last = _known.setdefault(model, {}).get(dtype)
    if last is not None and last[0] == state and torch.equal(last[1], norms):
        return last[2]
    folded = _fold(model, dtype)
    with _lock:
        _known[model][dtype] = state, norms, folded
    return folded


def _fold(model: Any, dtype: torch.dtype) -> FoldedModel:
    stem, core, head = model.stem, model.core, model.head
    mixer = None
    if model.config.stem_config.type == "convnext":
        weight, bias = stem.conv.weight, stem.conv.bias
        outward = stem.pointwise_out.weight
        mixer = FoldedMixer(
            norm=(stem.norm.weight.to(dtype), stem.norm.bias.to(dtype), stem.norm.eps),
            inward=stem.pointwise_in.weight.t().to(dtype).contiguous(),
            inward_bias=stem.pointwise_in.bias.to(dtype),
            outward=outward.clone(),
            shift=(stem.pointwise_out.bias + outward @ stem.grn.beta.view(-1)).to(dtype),
            gamma=stem.grn.gamma.view(-1).clone(),
            eps=stem.grn.eps,
            relu=model.config.stem_config.activation == "relu",
        )
    else:
        weight, bias = _fold_norm(stem)
    matrix = weight.permute(2, 1, 0).flatten(0, 1).to(dtype).contiguous()
    blocks = []
    for block in core.blocks:
        dilated, pointwise = (
            WindowConv(*(tensor.to(dtype) for tensor in _fold_norm(unit)), dilation=unit.conv.dilation[0])
            for unit in (block.dilated, block.pointwise)
        )
        blocks.append(FoldedBlock(dilated, pointwise))
    (features, shift), rates = _fold_norm(core.features), head.weight.double()
    return FoldedModel(
        conv=FoldedConv(stem.conv.kernel_size[0], matrix, bias.to(dtype)),
        mixer=mixer,
        blocks=blocks,
        head=(rates @ features.squeeze(2)).t().float().contiguous(),
        head_bias=(rates @ shift + head.bias.double()).float(),
        pool_size=core.pool.kernel_size,
        left_padding=core.left_padding,
        positions_per_bin=core.positions_per_bin,
    )


def _fold_norm(unit: Any) -> tuple[Tensor, Tensor]:
    """Return a unit's convolution with its normalisation inside: weight (C, C_in, K) and bias (C,), float64."""
    norm = unit.norm
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return unit.conv.weight.double() * scale[:, None, None], norm.bias.double() - norm.running_mean.double() * scale
