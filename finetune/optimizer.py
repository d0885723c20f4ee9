"""AdamW with the paper's choice of which weights decay."""

from typing import Any

import torch
from torch import nn

from ..modeling.convnext_block import GlobalResponseNorm
from ..modeling.xlstm_core import HeadLinear

_DECAYING = (nn.Linear, nn.Conv1d, nn.LSTM, nn.MultiheadAttention, HeadLinear)


def parameter_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters in one group that decays and one that does not.

    Weights of linear, convolution, LSTM and attention layers decay, and gamma and beta of GRN; biases and the scales
    of normalisations do not (atac-asap 0.2.2, `configure_adamw`). An adapter's matrices do not decay either: their
    rank already bounds the update, and pulling A and B to 0 apart is no pull of their product towards the base.
    """
    decays: dict[int, nn.Parameter] = {}
    rests: dict[int, nn.Parameter] = {}
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                weight = isinstance(module, _DECAYING) and "weight" in name and "lora_" not in module_name
                group = decays if weight or isinstance(module, GlobalResponseNorm) else rests
                group[id(parameter)] = parameter
    groups = [
        {"params": list(decays.values()), "weight_decay": weight_decay},
        {"params": list(rests.values()), "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(
    model: nn.Module, *, learning_rate: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters of `model`."""
    return torch.optim.AdamW(parameter_groups(model, weight_decay=weight_decay), lr=learning_rate, betas=betas)
