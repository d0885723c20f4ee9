"""What models that put a label on a whole sequence share: their output, their loss, their probabilities.

`config.num_labels` and `config.problem_type` say which of three problems it is: one label is a yes or no, several
exclude one another, and with `problem_type="multi_label_classification"` each is a yes or no of its own.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.utils.generic import ModelOutput


@dataclass
class SequenceClassifierOutput(ModelOutput):
    """What a sequence classifier returns.

    Args:
        loss: scalar, when `labels` were given.
        logits: (B, num_labels); `model.probabilities(logits)` are their probabilities.
        last_hidden_state: (B, C, N), what was pooled.
        pooler_output: (B, C), what the head read.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None


def is_exclusive(config: Any) -> bool:
    """Tell whether exactly one of several labels is right."""
    return config.num_labels > 1 and config.problem_type != "multi_label_classification"


def classification_loss(
    logits: Tensor, labels: Tensor, config: Any, class_weights: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """Return cross-entropy where labels exclude one another, binary cross-entropy where they do not.

    Args:
        logits: (B, num_labels).
        labels: (B,) class numbers of exclusive labels; else (B, num_labels) of 0 and 1, or (B,) for one label.
        config: has `num_labels` and `problem_type`.
        class_weights: factor on the loss of an example by its class: (num_labels,) of exclusive labels; else (2,), of 0
            and of 1. As in Keras the weighted losses are averaged over the examples; `nn.CrossEntropyLoss` divides by
            the sum of the weights instead.
        mask: 1 where a label counts and 0 where it is not known; of the shape of the labels, (B,) or (B, num_labels).

    Returns:
        Scalar, float32 or the dtype of `logits` if that is wider.

    Raises:
        ValueError: `labels`, `class_weights` or `mask` have another shape.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    exclusive = is_exclusive(config)
    shape = (len(logits),) if exclusive else tuple(logits.shape)
    if not exclusive and logits.shape[1] == 1 and labels.dim() == 1:
        labels = labels[:, None]
    if tuple(labels.shape) != shape:
        raise ValueError(f"`labels` must have shape {shape}, got {tuple(labels.shape)}")
    if class_weights is not None and len(class_weights) != (num := logits.shape[1] if exclusive else 2):
        raise ValueError(f"`class_weights` must hold {num} numbers, got {len(class_weights)}")
    if exclusive:
        loss = F.cross_entropy(logits, labels.long(), reduction="none")
    else:
        loss = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
    if class_weights is not None:
        loss = loss * class_weights.to(loss)[labels.long()]
    if mask is None:
        return loss.mean()
    if tuple(mask.shape) != tuple(loss.shape):
        raise ValueError(f"`mask` must have shape {tuple(loss.shape)}, got {tuple(mask.shape)}")
    return (loss * mask).sum() / mask.sum().clamp(min=1)


def label_probabilities(logits: Tensor, config: Any) -> Tensor:
    """Turn logits (B, num_labels) into probabilities, which sum to 1 where labels exclude one another."""
    return logits.softmax(-1) if is_exclusive(config) else logits.sigmoid()
