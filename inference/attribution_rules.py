"""DeepLIFT/SHAP of our models by tangermeme, with the rules it lacks and the additivity error beside the scores.

Attributions are additive where they sum to the difference between the output and the output of the references.
tangermeme 1.6 has exact rules for GELU, ReLU, softplus, max pooling and LayerNorm; GRN has one here. Attention, an
LSTM, a block of xLSTM and the logarithms of k-mer counts each get integrated gradients, as one smooth function.
Shapes: B batch, L bp, R references.
"""

import copy
import importlib
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..modeling import SummedModel, summed_model
from ..modeling.one_hot import as_one_hot

TOLERANCE = 1e-3
# Nodes of the quadrature: exact to float32's rounding in randomised models, but the mLSTM, whose normaliser has a kink.
_NODES = {"SelfAttention": 8, "LstmOutput": 8, "MlstmBlock": 32, "SlstmBlock": 32, "OffsetNorm": 8, "KmerFeatures": 16}


def tangermeme_module(name: str) -> Any:
    """Import a module of tangermeme.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        return importlib.import_module(f"tangermeme.{name}")
    except ModuleNotFoundError:
        raise ModuleNotFoundError('this needs tangermeme: pip install "chromhub[interpret]"') from None


class Attributions(NamedTuple):
    """What `deep_lift_shap` returns.

    Attributes:
        scores: (B, 4, L), the mean over the references; 0 but at the bases there are, unless hypothetical.
        additivity_error: (B,), the largest over the references of |sum of contributions - difference of outputs|.
    """

    scores: Tensor
    additivity_error: Tensor


def deep_lift_shap(
    model: nn.Module,
    inputs: Tensor,
    *,
    target: int = 0,
    bins: slice | None = None,
    weights: Tensor | None = None,
    warn: bool = True,
    **options: Any,
) -> Attributions:
    """Attribute the sum of a track over bins, or a logit, to the bases: DeepLIFT against shuffled references.

    Args:
        model: a track model or a classifier of ours.
        inputs: (B, L) base codes or (B, 4, L) one-hot, without N.
        target: track, or label of a classifier.
        bins: that are summed; None is the model's target, the middle of the window.
        weights: of the bins, as in `summed_model`.
        warn: of a large additivity error.
        **options: of `tangermeme.deep_lift_shap`: `references`, `n_shuffles`, `hypothetical`, `random_state` (0 here),
            `batch_size` (pairs of sequence and reference), `device`, `verbose`.

    Raises:
        ModuleNotFoundError: tangermeme is not installed.

    Warns:
        RuntimeWarning: an additivity error of `TOLERANCE` or more; saturation mutagenesis has none.
    """
    shap, predict = tangermeme_module("deep_lift_shap"), tangermeme_module("predict")
    explained, rules = attributable_model(model, bins, weights)
    sequences = as_one_hot(inputs, next(model.parameters()).dtype)
    hypothetical = options.pop("hypothetical", False)
    options = {"random_state": 0, **options}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Convergence deltas", RuntimeWarning)  # this function has its own
        multipliers, references = shap.deep_lift_shap(
            explained,
            sequences,
            target=target,
            additional_nonlinear_ops=rules,
            raw_outputs=True,
            return_references=True,
            **options,
        )  # (B, R, 4, L) both
    where = {name: options[name] for name in ("batch_size", "device") if name in options}
    everything = torch.cat([sequences.cpu(), references.flatten(0, 1)])
    outputs = predict.predict(explained, everything, **where)[:, target]
    differences = outputs[: len(sequences), None] - outputs[len(sequences) :].unflatten(0, (len(sequences), -1))
    contributions = (sequences.cpu()[:, None] - references) * multipliers
    error = (contributions.sum((-2, -1)) - differences).abs().amax(1)
    if warn and error.max() >= TOLERANCE:
        warnings.warn(
            f"the attributions of {int((error >= TOLERANCE).sum())} of {len(error)} sequences miss the difference of "
            f"outputs by up to {error.max():.2g}; take a float64 model, or saturation mutagenesis",
            RuntimeWarning,
            stacklevel=2,
        )
    # A base in place of the reference's: its multiplier less that of what it replaces.
    scores = (multipliers - (references * multipliers).sum(-2, keepdim=True)).mean(1)
    return Attributions(scores if hypothetical else scores * sequences.cpu(), error)


def attributable_model(
    model: nn.Module, bins: slice | None = None, weights: Tensor | None = None
) -> tuple[SummedModel, dict[type[nn.Module], Callable[..., Any]]]:
    """Return what tangermeme's `deep_lift_shap` takes as `model` and as `additional_nonlinear_ops`.

    Args:
        model: a track model or a classifier of ours; what is returned is a copy.
        bins: as in `summed_model`.
        weights: the same.

    Raises:
        ModuleNotFoundError: tangermeme is not installed.
    """
    explained = summed_model(copy.deepcopy(model), bins, weights)
    for parent in list(explained.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.LSTM):
                setattr(parent, name, _TensorLstm(child))
    integrate = tangermeme_module("deep_lift_shap").integrated_gradients_op
    rules = {"GlobalResponseNorm": global_response_rule} | {name: integrate(nodes) for name, nodes in _NODES.items()}
    # By the name of the class: a checkpoint loaded with remote code brings its own copy of it.
    kinds = {type(module) for module in explained.modules()}
    return explained, {kind: rules[kind.__name__] for kind in kinds if kind.__name__ in rules}


class LstmOutput(nn.Module):
    """The outputs of an LSTM without its states, so that a rule, which takes one tensor, fits."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, P, C) to (B, P, 2H)."""
        with torch.backends.cudnn.flags(enabled=False):  # whose backward pass refuses evaluation mode
            return self.lstm(inputs)[0]


class _TensorLstm(nn.Module):
    """In place of an LSTM: its outputs, and no states."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.output = LstmOutput(lstm)

    def forward(self, inputs: Tensor) -> tuple[Tensor, None]:
        return self.output(inputs), None


def global_response_rule(module: Any, grad_input: tuple[Tensor, ...], grad_output: tuple[Tensor, ...]) -> tuple[Tensor]:
    """Send a gradient back through GRN so that contributions sum to the change of its output, exactly.

    GRN is y = h (1 + gamma s) + beta with s = n / d, n the norm of a channel over the window and d its mean over the
    channels. With a bar for the mean of the two ends and D for their difference, each step is an identity:

        D(h s) = D(h) s_bar + h_bar D(s)
        D(s) = D(n) (1 / d)_bar - n_bar D(d) / (d d_ref)
        D(n) = 2 h_bar D(h) / (n + n_ref), summed over the window

    tangermeme's rule for LayerNorm is built alike. Integrated gradients over the module need several times the memory
    and are additive only as far as their quadrature is exact.

    Args:
        module: GRN; tangermeme has put its `input` on it: (2 B, P, H), sequences and then their references.
        grad_input: not used.
        grad_output: one tensor (2 B, P, H).
    """
    ends = module.input.unflatten(0, (2, -1))  # (2, B, P, H)
    gradient = grad_output[0].unflatten(0, (2, -1))
    gamma = module.gamma
    norm = torch.linalg.vector_norm(ends, dim=2, keepdim=True)  # (2, B, 1, H)
    inverse = 1 / (norm.mean(-1, keepdim=True) + module.eps)  # (2, B, 1, 1)
    middle, norm_bar, inverse_bar = ends.mean(0), norm.mean(0), inverse.mean(0)
    to_share = (gradient * middle).sum(2, keepdim=True) * gamma  # gradient of s, (2, B, 1, H)
    to_mean = (to_share * norm_bar).mean(-1, keepdim=True) * inverse.prod(0)
    to_norm = to_share * inverse_bar - to_mean
    direct = gradient * (1 + gamma * (norm * inverse).mean(0))
    # a channel that is 0 everywhere at both ends has no direction
    through_norm = to_norm * middle / norm_bar.clamp_min(torch.finfo(norm.dtype).tiny)
    return ((direct + through_norm).flatten(0, 1),)
