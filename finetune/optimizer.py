"""AdamW with the paper's choice of which weights decay, or Muon beside it."""

from typing import Any, Literal

import torch
from torch import nn

from ..modeling.convnext_block import GlobalResponseNorm
from ..modeling.xlstm_core import HeadLinear
from .layer_decay import layer_factors
from .muon import MuonAdamW, hidden_matrices

_DECAYING = (nn.Linear, nn.Conv1d, nn.LSTM, nn.MultiheadAttention, HeadLinear)


def parameter_groups(
    model: nn.Module,
    *,
    weight_decay: float,
    learning_rate: float = 1.0,
    layer_decay: float = 1.0,
    muon: frozenset[str] | set[str] = frozenset(),
) -> list[dict[str, Any]]:
    """Split the trainable parameters in one group that decays and one that does not, for each learning rate.

    Weights of linear, convolution, LSTM and attention layers decay, and gamma and beta of GRN; biases and the scales
    of normalisations do not (atac-asap 0.2.2, `configure_adamw`). An adapter's matrices do not decay either: their
    rank already bounds the update, and pulling A and B to 0 apart is no pull of their product towards the base.

    Args:
        model: whose parameters that require gradients are split.
        weight_decay: of the one group.
        learning_rate: of the head.
        layer_decay: `layer_factors`.
        muon: names of the parameters that go into groups of their own, of which `muon` is True.
    """
    factors = layer_factors(model, decay=layer_decay)
    groups: dict[tuple[float, bool, bool], dict[int, nn.Parameter]] = {}
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                weight = isinstance(module, _DECAYING) and "weight" in name and "lora_" not in module_name
                decays = weight or isinstance(module, GlobalResponseNorm)
                full_name = f"{module_name}.{name}" if module_name else name
                key = factors[full_name], decays, full_name in muon
                groups.setdefault(key, {})[id(parameter)] = parameter
    return [
        {
            "params": list(groups[factor, decays, of_muon].values()),
            "weight_decay": weight_decay if decays else 0.0,
            "lr": learning_rate * factor,
            "muon": of_muon,
        }
        for factor, decays, of_muon in sorted(groups, reverse=True)  # the head first, whose rate is the one shown
    ]


def build_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    betas: tuple[float, float],
    weight_decay: float,
    layer_decay: float = 1.0,
    kind: Literal["adamw", "muon"] = "adamw",
) -> torch.optim.Optimizer:
    """Return an optimiser of the trainable parameters of `model`; arguments as of `parameter_groups`.

    Args:
        model: whose parameters are trained.
        learning_rate: of the head.
        betas: of AdamW.
        weight_decay: of weights that decay.
        layer_decay: `layer_factors`.
        kind: "adamw", or "muon" for `MuonAdamW` with Muon on `hidden_matrices`.

    Raises:
        ValueError: "muon", and no matrix of a hidden layer is trained.
    """
    rates: dict[str, Any] = {"weight_decay": weight_decay, "learning_rate": learning_rate, "layer_decay": layer_decay}
    if kind == "muon":
        groups = parameter_groups(model, **rates, muon=hidden_matrices(model))
        return MuonAdamW(groups, learning_rate=learning_rate, betas=betas)
    groups = parameter_groups(model, **rates)
    on_gpu = all(parameter.device.type == "cuda" for group in groups for parameter in group["params"])
    fused = True if on_gpu else None  # one kernel a step in place of some for each parameter
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=fused)
