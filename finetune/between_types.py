"""A second loss of classifiers of several tracks: which of the tracks is a window open in?

Cross-entropy label by label is mostly about open against closed, which is the same in every cell type. Here the labels
of one window compete: the softmax of its logits over the tracks is held against the tracks that are open in it.
Windows that are open in all tracks, or in none, say nothing of the difference and do not count.
"""

import math

import torch
from torch import Tensor


def between_types_loss(logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy over tracks of the windows whose labels differ, in units of log(T).

    Of a window with the set O of open tracks: -1 / |O| sum over O of log softmax(logits), over log(T); 1 is no better
    than chance where one track is open.

    Args:
        logits: (B, T).
        labels: (B, T) of 0 and 1.
        mask: (B, T), 1 where a label is known; a window with one that is not does not count.

    Returns:
        Scalar float32; 0 where no window counts.

    Raises:
        ValueError: fewer than two tracks.
    """
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise ValueError(f"`between_types` compares two tracks or more, got logits of shape {tuple(logits.shape)}")
    labels = labels.float()
    num_open = labels.sum(1)
    counts = (num_open > 0) & (num_open < labels.shape[1])
    if mask is not None:
        counts = counts & mask.bool().all(1)
    chosen = torch.log_softmax(logits.float(), dim=1)
    loss = -(labels * chosen).sum(1) / num_open.clamp(min=1) / math.log(labels.shape[1])
    return (loss * counts).sum() / counts.sum().clamp(min=1)
