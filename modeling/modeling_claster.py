"""CLASTER: from a chromatin landscape, with or without a contact map, to binned nascent transcription.

No sequence is read: rows of the landscape are tracks of chromatin (ATAC-seq, H3K4me3, H3K27ac, H3K27me3 in the source)
in bins of 100 bp over 1 Mb around a transcription start site; predicted are 401 bins of 1 kb around it. Layers, sizes
and defaults are those of RasmussenLab/CLASTER as published; written from a description of them.

Shapes: B batch, R rows, P positions, T tracks predicted, N bins.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from .claster_blocks import Branch, ClasterHead, FusionBlock, PositionGrid, Swish
from .configuration_claster import ClasterConfig
from .whole_weights import WholeWeights

_EPSILON = 1e-10  # beside the input's standard deviation
_SLOPE = 0.5  # of the leaky unit that the source's initial convolutions assume


@dataclass
class ClasterOutput(ModelOutput):
    """What the model returns.

    Args:
        loss: scalar, smooth L1 on standardised targets, where labels are given.
        logits: (B, T, N) in standard deviations of the target, bin by bin.
        predictions: (B, T, N) in raw units, at least 0 if the configuration says so.
        unclipped_predictions: (B, T, N) in raw units.
        landscape_features: (B, F) of the landscape's branch.
        structure_features: (B, F) of the contact map's branch, where there is one.
        fused: (B, F) of both.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    predictions: Tensor | None = None
    unclipped_predictions: Tensor | None = None
    landscape_features: Tensor | None = None
    structure_features: Tensor | None = None
    fused: Tensor | None = None


class ClasterForProfileRegression(WholeWeights):
    """Branches, their fusion, and a head: the published models, each with the branches its configuration names."""

    config: ClasterConfig
    config_class = ClasterConfig
    base_model_prefix = "claster"
    main_input_name = "inputs"
    accepts_loss_kwargs = False  # the loss is a mean: gradient accumulation must divide it
    _no_split_modules = ["ResidualConv"]  # noqa: RUF012
    landscape_mean: Tensor
    landscape_std: Tensor
    contact_mean: Tensor
    contact_std: Tensor

    def __init__(self, config: ClasterConfig) -> None:
        super().__init__(config)
        landscape, *others = config.branches
        self.landscape = Branch(landscape)
        self.structure = Branch(others[0]) if others else None
        features = sum(branch.features for branch in config.branches)
        widths = [features, *[config.fusion_size] * config.fusion_blocks]
        self.fusion = nn.ModuleList(FusionBlock(width, config) for width in widths[: config.fusion_blocks])
        self.head = ClasterHead(config)
        # one mean and deviation over all rows and positions of a modality, as in the source
        for name, value in (
            ("landscape_mean", 0.0),
            ("landscape_std", 1.0),
            ("contact_mean", 0.0),
            ("contact_std", 1.0),
        ):
            if not others and name.startswith("contact"):
                continue
            self.register_buffer(name, torch.tensor(value))
        self.post_init()

    def forward(
        self,
        inputs: Tensor,
        contact_map: Tensor | None = None,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> ClasterOutput | tuple[Tensor, ...]:
        """Predict transcription around start sites.

        Args:
            inputs: (B, R, P) raw signal of the tracks `config.input_tracks`.
            contact_map: (B, rows, P) log10 of balanced contacts, for a model with such a branch.
            labels: (B, T, N) raw signal.
            mask: (B, T, N), 0 where a label does not count, as past a chromosome's end.
            return_dict: False returns a tuple.

        Raises:
            ValueError: an input of another shape, or a contact map too many or too few.
        """
        landscape, *others = self.config.branches
        _check_shape("inputs", inputs, landscape.shape)
        features = [self.landscape((inputs.to(self.dtype) - self.landscape_mean) / (self.landscape_std + _EPSILON))]
        if self.structure is None and contact_map is not None:
            raise ValueError("`contact_map` was given to a model without `structure`; leave it out")
        if self.structure is not None:
            if contact_map is None:
                raise ValueError("`contact_map` must be given to a model with `structure`")
            _check_shape("contact_map", contact_map, others[0].shape)
            contact_map = (contact_map.to(self.dtype) - self.contact_mean) / (self.contact_std + _EPSILON)
            features.append(self.structure(contact_map))
        fused = torch.cat(features, -1)
        for block in self.fusion:
            fused = block(fused)
        logits = self.head(fused)
        unclipped = self.to_signal(logits, clip=False)
        output = ClasterOutput(
            loss=None if labels is None else self._loss(logits, labels, mask),
            logits=logits,
            predictions=unclipped.clamp(min=0) if self.config.clip_predictions else unclipped,
            unclipped_predictions=unclipped,
            landscape_features=features[0],
            structure_features=features[1] if len(features) > 1 else None,
            fused=fused,
        )
        return output.to_tuple() if return_dict is False else output

    def to_signal(self, logits: Tensor, *, clip: bool = True) -> Tensor:
        """Turn standardised `logits` (B, T, N) into raw units; clipped at 0 if the configuration says so."""
        signal = self.head.restore(logits)
        return signal.clamp(min=0) if clip and self.config.clip_predictions else signal

    @torch.no_grad()
    def set_normalisation(self, **statistics: Any) -> None:
        """Set what inputs and targets are normalised by; a deviation of 0 counts as 1.

        Args:
            **statistics: `landscape_mean`, `landscape_std`, `contact_mean`, `contact_std`: numbers in raw units
                (contacts: log10); `target_mean`, `target_std`: (T, N) in raw units.

        Raises:
            ValueError: no such statistic, another shape, or a value that is not finite.
        """
        places = {**dict(self.named_buffers(recurse=False)), **dict(self.head.named_buffers())}
        for name, value in statistics.items():
            if name not in places:
                raise ValueError(f"a statistic must be one of {sorted(places)}, got {name!r}")
            tensor = torch.as_tensor(value, dtype=places[name].dtype)
            if tensor.shape != places[name].shape or not tensor.isfinite().all():
                raise ValueError(f"`{name}` must be finite with shape {tuple(places[name].shape)}, got {tensor}")
            if name.endswith("_std"):
                tensor = torch.where(tensor == 0, 1.0, tensor)
            places[name].copy_(tensor)

    def _loss(self, logits: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        if labels.shape != logits.shape:
            raise ValueError(f"`labels` must have shape {tuple(logits.shape)}, got {tuple(labels.shape)}")
        target = self.head.standardise(labels.to(logits.dtype))
        if mask is None:
            return F.smooth_l1_loss(logits, target, beta=self.config.smooth_l1_beta)
        losses = F.smooth_l1_loss(logits, target, beta=self.config.smooth_l1_beta, reduction="none")
        mask = mask.to(losses.dtype)
        return (losses * mask).sum() / mask.sum().clamp(min=1)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load as transformers does, which of a part on disk (`device_map`) would not read the buffers."""
        return super().from_pretrained(*args, **{**kwargs, "offload_buffers": True})

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise as the source: Kaiming-normal convolutions by their fan out, PyTorch's own for the rest."""
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            rows = module.in_channels if module is self.landscape.stem else 1
            if self.structure is not None and module is self.structure.stem and isinstance(module, nn.Conv1d):
                rows = module.in_channels
            fan_out = module.out_channels * math.prod(module.kernel_size) * rows  # rows are part of that kernel
            init.normal_(module.weight, std=math.sqrt(2 / (1 + _SLOPE**2) / fan_out))
        elif isinstance(module, nn.Linear):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
        elif isinstance(module, nn.LayerNorm | nn.GroupNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
            return
        elif isinstance(module, PositionGrid):
            init.zeros_(module.weight)
            return
        elif isinstance(module, Swish):
            init.ones_(module.beta)
            return
        elif isinstance(module, ClasterHead):
            init.zeros_(module.target_mean)
            init.ones_(module.target_std)
            return
        elif module is self:
            for name, buffer in module.named_buffers(recurse=False):
                init.constant_(buffer, float(name.endswith("_std")))
            return
        else:
            return
        if module.bias is not None:
            bound = 1 / math.sqrt(module.weight[0].numel())
            init.uniform_(module.bias, -bound, bound)


def _check_shape(name: str, tensor: Tensor, shape: list[int]) -> None:
    """Refuse an input of another shape."""
    if tensor.dim() != 3 or list(tensor.shape[1:]) != shape:
        raise ValueError(f"`{name}` must have shape (B, {shape[0]}, {shape[1]}), got {tuple(tensor.shape)}")


__all__ = ["ClasterForProfileRegression", "ClasterOutput"]
