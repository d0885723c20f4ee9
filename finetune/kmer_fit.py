"""The k-mer part of a classifier, fitted in closed form once its network is final.

A ridge regression of the labels on k-mer features is fitted on training windows. On validation windows a logistic
regression of three numbers a label then weighs it against the network: logit = a network + s ridge + b, with a and s of
at least 0. Folded into `KmerPart` these are its scale and its linear layer.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from ..inference.kmer_ridge import fit_kmer_ridge
from ..modeling.kmer_part import KmerPart

L2 = 1e-4  # on a and s of predictors with variance 1, beside the mean loss: finite where labels are separable
_NEWTON_STEPS = 100
_FACES = ((True, True), (True, False), (False, True), (False, False))  # which of a and s are free, the others 0


def active_part(model: nn.Module) -> KmerPart:
    """Return the k-mer part that computes: of an adapter its own copy.

    Raises:
        ValueError: the model has none.
    """
    for name, module in model.named_modules():
        if isinstance(module, KmerPart) and "original_module" not in name:
            return module
    raise ValueError("the model has no k-mer part; give its configuration `kmers`")


def neutral_part(model: nn.Module) -> None:
    """Make the part of `model` change nothing, and keep training away from it: the network learns on its own."""
    part = active_part(model)
    part.requires_grad_(False)
    _write(part, np.ones(len(part.scale)), np.zeros(tuple(part.linear.weight.shape)), np.zeros(len(part.scale)))


def fit_part(
    model: nn.Module,
    training: Sequence[tuple[np.ndarray, np.ndarray]],
    validation: Sequence[tuple[np.ndarray, np.ndarray]],
    logits: np.ndarray,
) -> None:
    """Fit the k-mer part of a model whose part changes nothing yet.

    A label that has not both classes among the training and among the validation windows keeps the network's logit.

    Args:
        model: whose part is written.
        training: batches of base codes (B, L) and labels (B, T) of 0 and 1, NaN where not known.
        validation: likewise.
        logits: (n, T) of the network on the validation windows, in their order.
    """
    part = active_part(model)
    labels = np.concatenate([targets for _, targets in validation])
    fitted = np.flatnonzero(_has_both(labels) & _has_both(np.concatenate([targets for _, targets in training])))
    scale, bias = np.ones(labels.shape[1]), np.zeros(labels.shape[1])
    weight = np.zeros(tuple(part.linear.weight.shape))
    if len(fitted):
        chosen = [[(codes, known[:, fitted]) for codes, known in batches] for batches in (training, validation)]
        features = part.features
        ridge = fit_kmer_ridge(*chosen, k=features.k, widths=features.widths)
        predicted = np.concatenate([ridge.predict(codes) for codes, _ in validation])
        for i, label in enumerate(fitted):
            known = ~np.isnan(labels[:, label])
            a, s, b = blend(logits[known, label], predicted[known, i], labels[known, label])
            scale[label], weight[label], bias[label] = a, s * ridge.weights[:, i], b + s * ridge.intercepts[i]
    _write(part, scale, weight, bias)


def blend(logits: np.ndarray, ridge: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Return a, s and b of the logistic regression of labels on a logits + s ridge + b, with a and s of at least 0.

    The loss is convex, so the best point is the lowest allowed optimum among those of the constraints' faces.

    Args:
        logits: (n,) of the network.
        ridge: (n,) predictions of the ridge.
        labels: (n,) of 0 and 1, both there.
    """
    predictors = np.column_stack([logits, ridge]).astype(np.float64)
    centre, spread = predictors.mean(0), predictors.std(0)
    spread = np.where(spread > 1e-12 * (1 + np.abs(centre)), spread, np.inf)  # one that does not vary says nothing
    design = np.column_stack([(predictors - centre) / spread, np.ones(len(labels))])
    best, lowest = np.zeros(3), np.inf
    for face in _FACES:
        weights, loss = _logistic(design, np.asarray(labels, np.float64), np.array([*face, True]))
        if weights[:2].min() >= 0 and loss < lowest:
            best, lowest = weights, loss
    slopes = best[:2] / spread
    return float(slopes[0]), float(slopes[1]), float(best[2] - slopes @ centre)


def _logistic(design: np.ndarray, labels: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the weights (3,) that minimise the loss, those that are not `free` 0, and the loss: Newton's method."""
    ridge = L2 * np.array([1.0, 1.0, 0.0])

    def loss_of(weights: np.ndarray) -> float:
        scores = design @ weights
        return float(np.mean(np.logaddexp(0, scores) - labels * scores) + (ridge * weights**2).sum() / 2)

    weights, rate = np.zeros(3), labels.mean()
    weights[2] = np.log(rate / (1 - rate))
    loss = loss_of(weights)
    for _ in range(_NEWTON_STEPS):
        probabilities = 0.5 * (1 + np.tanh((design @ weights) / 2))
        gradient = (design.T @ (probabilities - labels) / len(labels) + ridge * weights)[free]
        curvature = (design.T * (probabilities * (1 - probabilities))) @ design / len(labels) + np.diag(ridge)
        step = np.zeros(3)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)] + 1e-12 * np.eye(free.sum()), gradient)
        size = 1.0
        while (found := loss_of(weights - size * step)) > loss and size > 1e-6:
            size /= 2
        if loss - found <= 1e-14:
            break
        weights, loss = weights - size * step, found
    return weights, loss


def _has_both(labels: np.ndarray) -> np.ndarray:
    """Tell of each label whether 0 and 1 are among its known values, (T,) bool."""
    return (labels == 0).any(0) & (labels == 1).any(0)


def _write(part: KmerPart, scale: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
    with torch.no_grad():
        part.scale.copy_(torch.from_numpy(scale))
        part.linear.weight.copy_(torch.from_numpy(weight))
        part.linear.bias.copy_(torch.from_numpy(bias))
