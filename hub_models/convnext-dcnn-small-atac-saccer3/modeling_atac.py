"""Models from DNA to binned ATAC-seq signal (Grover et al. 2026, doi 10.1101/gr.281042.125).

A window goes one way: codes or one-hot -> `stem` (features at one base) -> `core` (features at one bin)
-> `head` (one rate a track and bin, softplus). Presets equal the reference implementation's outputs once its
weights are permuted from its A, G, C, T order to ours, A, C, G, T.

Shapes: B batch, L bp, C and F channels, N bins, T tracks.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from .configuration_atac import AtacConfig
from .convnext_block import GlobalResponseNorm
from .dilated_core import DilatedCore
from .losses import poisson_nll
from .stems import ZeroScaleBatchNorm, build_stem


@dataclass
class TrackOutput(ModelOutput):
    """What a track model returns.

    Args:
        loss: scalar, when `labels` were given.
        predictions: (B, T, N) in the scale of training (`config.target_transform`).
        last_hidden_state: (B, F, N), what the head read.
    """

    loss: Tensor | None = None
    predictions: Tensor | None = None
    last_hidden_state: Tensor | None = None


def one_hot(codes: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn base codes (B, L), A0 C1 G2 T3 and anything else N, into a one-hot (B, 4, L); N is all zeros."""
    table = torch.eye(5, 4, dtype=dtype, device=codes.device)
    return table[codes.long().clamp(max=4)].transpose(1, 2)


class AtacPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by the ATAC-seq models."""

    config: AtacConfig
    config_class = AtacConfig
    base_model_prefix = "atac"
    main_input_name = "inputs"
    input_modalities = "sequence"
    accepts_loss_kwargs = False  # the loss is a mean: gradient accumulation must divide it
    _no_split_modules = ["DilatedBlock", "ConvNextBlock"]  # noqa: RUF012
    _can_compile_fullgraph = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise as PyTorch does by default, which is what the reference trained from."""
        if isinstance(module, (nn.Linear, nn.Conv1d)):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            if module.bias is not None:
                bound = 1 / math.sqrt(module.weight[0].numel())
                init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, nn.BatchNorm1d):
            (init.zeros_ if isinstance(module, ZeroScaleBatchNorm) else init.ones_)(module.weight)
            init.zeros_(module.bias)
            module.reset_running_stats()
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, GlobalResponseNorm):
            init.zeros_(module.gamma)
            init.zeros_(module.beta)

    def one_hot_inputs(self, inputs: Tensor) -> Tensor:
        """Return codes (B, L) or a one-hot (B, 4, L) as a one-hot in the model's dtype.

        Raises:
            ValueError: another shape, or a length that is no multiple of the bin size.
        """
        if (inputs.dim() == 3 and inputs.shape[1] != 4) or inputs.dim() not in (2, 3):
            raise ValueError(
                "`inputs` must be base codes (B, L) or one-hot (B, 4, L) in the order A, C, G, T, "
                f"got shape {tuple(inputs.shape)}"
            )
        if inputs.shape[-1] % self.config.bin_size:
            raise ValueError(
                f"`inputs` must be a multiple of `bin_size` {self.config.bin_size} bp long, got {inputs.shape[-1]}"
            )
        return one_hot(inputs, self.dtype) if inputs.dim() == 2 else inputs.to(self.dtype)


class AtacForTrackPrediction(AtacPreTrainedModel):
    """Predict binned ATAC-seq tracks from DNA."""

    def __init__(self, config: AtacConfig) -> None:
        super().__init__(config)
        stem = config.stem_config
        self.stem = build_stem(stem)
        self.core = DilatedCore(config.core_config, stem.channels, bin_size=config.bin_size)
        self.head = nn.Linear(self.core.feature_channels, config.num_tracks)
        self.head_activation = nn.Softplus()
        self.post_init()

    def forward(
        self,
        inputs: Tensor,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> TrackOutput | tuple[Tensor, ...]:
        """Predict every bin of a window.

        Args:
            inputs: (B, L) base codes, A0 C1 G2 T3 N4, or (B, 4, L) one-hot in the order A, C, G, T.
            labels: (B, T, N) raw signal; the model transforms it by `config.target_transform`.
            mask: (B, N) or (B, T, N), 1 where a bin counts in the loss.
            return_dict: False returns a tuple.

        Returns:
            `TrackOutput`; N = L / `config.bin_size`.

        Raises:
            ValueError: `inputs` has another shape, or its length is no multiple of the bin size.
        """
        features = self.core(self.stem(self.one_hot_inputs(inputs)))  # (B, F, N)
        predictions = self.head_activation(self.head(features.transpose(1, 2))).transpose(1, 2)  # (B, T, N)
        loss = None
        if labels is not None:
            loss = poisson_nll(predictions.float(), self.to_training_scale(labels.float()), mask)
        output = TrackOutput(loss=loss, predictions=predictions, last_hidden_state=features)
        return output.to_tuple() if return_dict is False else output

    def to_training_scale(self, signal: Tensor) -> Tensor:
        """Turn raw signal into the scale of `predictions`."""
        return torch.log1p(signal) if self.config.target_transform == "log1p" else signal

    def to_signal(self, predictions: Tensor) -> Tensor:
        """Turn `predictions` back into raw signal."""
        return torch.expm1(predictions) if self.config.target_transform == "log1p" else predictions


class TensorModel(nn.Module):
    """The model as a function from a one-hot (B, 4, L) to a tensor, for tools that take any `nn.Module`."""

    def __init__(self, model: AtacForTrackPrediction) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, 4, L) to predictions (B, T, N)."""
        return self.model(inputs).predictions


__all__ = ["AtacForTrackPrediction", "AtacPreTrainedModel", "TensorModel", "TrackOutput"]
