"""What each base of a window adds to a prediction: gradients, integrated gradients, DeepLIFT, saturation mutagenesis.

What is explained is one number, the weighted profile: the sum over the target's bins of w_i p_i, where p is the
predicted signal of a track in the scale of training and w = p / sum(p), taken at the sequence itself and held fixed.
Grover et al. follow ChromBPNet, whose weights are the softmax of its logits (kundajelab/chrombpnet,
chrombpnet/evaluation/interpret/shap_utils.py, `get_weightedsum_meannormed_logits`); our models have signal, no logits.
Of a classifier it is the logit of a label.

Scores are hypothetical: each base in place of what the references hold there. Where they belong to the sequence's own
bases they are its contributions, which sum to its output less the mean output of the references: the additivity.
Shapes: L bp, R references.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..modeling import AtacForTrackPrediction, SummedModel, summed_model
from ..modeling.one_hot import as_one_hot
from .attribution_rules import TOLERANCE, deep_lift_shap, tangermeme_module
from .load import Classifier

METHODS = ("deep-lift", "integrated-gradients", "input-x-gradient", "saturation-mutagenesis")
ADDITIVE = METHODS[:2]
_MOST_STEPS = 16  # times the steps asked for


@dataclass(frozen=True)
class AttributionSettings:
    """How windows are attributed.

    Attributes:
        method: one of `METHODS`.
        shuffles: references of a window, its bases with all dinucleotides kept.
        steps: points of integrated gradients between a reference and the window.
        width: bp in the middle of the window that are kept; None for all.
        seed: of the references.
        batch_size: sequences at once.
        tolerance: largest additivity error.
    """

    method: str = "deep-lift"
    shuffles: int = 20
    steps: int = 50
    width: int | None = None
    seed: int = 0
    batch_size: int = 16
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"the method must be one of {', '.join(METHODS)}, got {self.method!r}")
        for name in ("shuffles", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}")
        if not self.tolerance > 0:
            raise ValueError(f"the tolerance must be above 0, got {self.tolerance}")

    def kept(self, length: int) -> slice:
        """Return the kept positions of a window.

        Raises:
            ValueError: a width that is longer than the window.
        """
        width = length if self.width is None else self.width
        if not 0 < width <= length:
            raise ValueError(f"the width must be within the model's window of {length} bp, got {width}")
        first = (length - width) // 2
        return slice(first, first + width)


class WindowAttribution(NamedTuple):
    """The scores of a window.

    Attributes:
        hypothetical: (4, width) float32.
        output: the weighted profile of the window, or the logit.
        additivity_error: of DeepLIFT the largest over the references, of integrated gradients that of their mean;
            NaN of a method without references.
    """

    hypothetical: np.ndarray
    output: float
    additivity_error: float


def attribute_window(
    model: AtacForTrackPrediction | Classifier, codes: np.ndarray, settings: AttributionSettings, *, track: int = 0
) -> WindowAttribution:
    """Attribute the weighted profile of a window, or a classifier's logit, to its bases.

    What misses the tolerance in float32 is done again in float64, and integrated gradients with up to sixteen times the
    steps. The caller must look at the error: it may still be larger.

    Args:
        model: in evaluation mode.
        codes: (input_length,) uint8 base codes without N.
        settings: how.
        track: index of the track or label.

    Raises:
        ModuleNotFoundError: the method needs tangermeme, which is not installed.
    """
    inputs = torch.from_numpy(np.array(codes))[None].to(model.device)
    weights = profile_weights(model, inputs, track=track) if isinstance(model, AtacForTrackPrediction) else None
    if settings.method in ADDITIVE:
        shuffle = tangermeme_module("ersatz").dinucleotide_shuffle
        references = shuffle(as_one_hot(inputs.cpu(), torch.float32), n=settings.shuffles, random_state=settings.seed)
    else:
        references = None
    steps, kept = settings.steps, settings.kept(len(codes))
    while True:
        explained = summed_model(model, None, weights)
        found = _by_method(explained, inputs, references, settings, track=track, steps=steps)
        if not found.additivity_error >= settings.tolerance:  # or there is none
            break
        if next(model.parameters()).dtype == torch.float32:
            model = copy.deepcopy(model).double()
        elif settings.method == "integrated-gradients" and steps < _MOST_STEPS * settings.steps:
            steps *= 2
        else:
            break
    return found._replace(hypothetical=found.hypothetical[:, kept])


def profile_weights(model: AtacForTrackPrediction, inputs: Tensor, *, track: int) -> Tensor:
    """Return each target bin's share of the predicted signal, (bins,); equal shares where there is no signal.

    Args:
        model: in evaluation mode.
        inputs: (1, L) base codes.
        track: index.
    """
    with torch.no_grad():
        profile = model.predict(inputs, target_only=True)[0, track].double()
    total = profile.sum()
    return profile / total if total > 0 else torch.full_like(profile, 1 / len(profile))


def integrated_gradients(
    model: nn.Module, inputs: Tensor, references: Tensor, *, target: int = 0, steps: int = 50, batch_size: int = 16
) -> tuple[Tensor, Tensor]:
    """Average gradients along straight lines from references to a sequence (Sundararajan et al. 2017, eq. 1).

    By Gauss-Legendre quadrature, as in Captum.

    Args:
        model: from (B, 4, L) to (B, T).
        inputs: (1, 4, L) one-hot.
        references: (R, 4, L).
        target: output that is explained.
        steps: points of a line.
        batch_size: points at once.

    Returns:
        Gradients (R, 4, L), and what the sum of (inputs - reference) gradient has over the change of the output, (R,).
    """
    nodes, shares = np.polynomial.legendre.leggauss(steps)
    at = torch.as_tensor((nodes + 1) / 2, dtype=inputs.dtype, device=inputs.device)
    share = torch.as_tensor(shares / 2, dtype=inputs.dtype, device=inputs.device)
    found, errors = [], []
    with torch.no_grad():
        top = model(inputs)[0, target]
        bottoms = torch.cat([model(piece)[:, target] for piece in references.split(batch_size)])
    for reference, bottom in zip(references, bottoms, strict=True):
        total = torch.zeros_like(reference)
        for points, parts in zip(at.split(batch_size), share.split(batch_size), strict=True):
            line = reference + points[:, None, None] * (inputs - reference)
            total += (parts[:, None, None] * gradient(model, line, target=target)).sum(0)
        found.append(total)
        errors.append(((inputs[0] - reference) * total).sum() - (top - bottom))
    return torch.stack(found), torch.stack(errors)


def gradient(model: nn.Module, inputs: Tensor, *, target: int) -> Tensor:
    """Return the gradient of an output by (B, 4, L) inputs, of each by its own."""
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(model(inputs)[:, target].sum(), inputs)[0]


def _by_method(
    explained: SummedModel,
    inputs: Tensor,
    references: Tensor | None,
    settings: AttributionSettings,
    *,
    track: int,
    steps: int,
) -> WindowAttribution:
    one_hot = as_one_hot(inputs, next(explained.parameters()).dtype)
    with torch.no_grad():
        output = float(explained(one_hot)[0, track])
    error = math.nan
    if settings.method == "input-x-gradient":
        hypothetical = gradient(explained, one_hot, target=track)[0]
    elif settings.method == "saturation-mutagenesis":
        mutate = tangermeme_module("saturation_mutagenesis").saturation_mutagenesis
        kept, options = settings.kept(one_hot.shape[-1]), {"batch_size": settings.batch_size, "device": one_hot.device}
        hypothetical = torch.zeros_like(one_hot[0])
        hypothetical[:, kept] = mutate(
            explained, one_hot, target=track, hypothetical=True, start=kept.start, end=kept.stop, fast=False, **options
        )[0].to(one_hot)
    elif settings.method == "deep-lift":
        assert references is not None
        scores, errors = deep_lift_shap(
            explained.model,
            one_hot,
            target=track,
            weights=explained.weights,
            references=references.to(one_hot.dtype),
            hypothetical=True,
            batch_size=settings.batch_size,
            device=str(one_hot.device),
            warn=False,
        )
        hypothetical, error = scores[0], float(errors.max())
    else:
        assert references is not None
        ends = references[0].to(one_hot)
        options = {"steps": steps, "batch_size": settings.batch_size}
        gradients, errors = integrated_gradients(explained, one_hot, ends, target=track, **options)
        # a base in place of the reference's: its gradient less that of what it replaces
        hypothetical = (gradients - (ends * gradients).sum(1, keepdim=True)).mean(0)
        error = abs(float(errors.mean()))  # of the scores, which are the mean over the references
    return WindowAttribution(hypothetical.detach().float().cpu().numpy(), output, error)


def contributions(hypothetical: np.ndarray, one_hot: np.ndarray) -> np.ndarray:
    """Return the scores of the bases there are, (..., L), of (..., 4, L) hypothetical scores and one-hot bases."""
    return (hypothetical * one_hot).sum(axis=-2)


def settings_as_dict(settings: AttributionSettings) -> dict[str, Any]:
    """Return the settings that the result of a method depends on."""
    needless = {
        "input-x-gradient": ("shuffles", "steps", "seed", "tolerance"),
        "saturation-mutagenesis": ("shuffles", "steps", "seed", "tolerance"),
        "deep-lift": ("steps",),
    }.get(settings.method, ())
    return {name: value for name, value in vars(settings).items() if name not in (*needless, "batch_size")}
