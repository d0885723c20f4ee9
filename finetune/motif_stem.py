"""The filters of a convolutional stem, started as known motifs instead of at random.

A network that starts at random spends most of a short training on finding the motifs that everybody knows. Here each
filter starts as the log-odds of one motif against a uniform background, half of the filters as motifs and the other
half as their reverse complements. Motifs are chosen to differ from one another. Training moves the filters on.

Each column of a filter has a mean of 0 over the four bases. With bases known that is no change, since the bias takes
what is subtracted; but an N, which a model reads as zeros, then scores as the average base does. Without it a stretch
of N passes every filter at once.
"""

import numpy as np
import torch
from torch import nn

from ..inference.motif_database import known_motifs
from ..modeling.stems import ConvReluUnit

PSEUDOCOUNT = 0.01  # of a probability, so that log-odds are finite
_THRESHOLD = 0.35  # where a filter starts to pass, between the mean over random sequences (0) and the best match (1)
_LARGEST_SHIFT = 6  # bp by which two motifs are moved against each other when they are compared


def start_from_motifs(stem: nn.Module, motifs: str) -> list[str]:
    """Give the filters of a stem the log-odds of known motifs.

    Args:
        stem: of "conv" with unit "conv-relu"; changed.
        motifs: a MEME file, or "jaspar:GROUP" (the extra `jaspar`).

    Returns:
        The names of the motifs, in the order of the filters; filters from the middle on are their reverse complements.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a stem of another kind, too few motifs for its filters, or what `known_motifs` refuses.
    """
    if not isinstance(stem, ConvReluUnit):
        raise ValueError(f"stem_motifs needs a conv stem with unit conv-relu, got {type(stem).__name__}; leave it out")
    conv = stem.conv
    assert conv.bias is not None  # the unit's convolution has one
    database = known_motifs(motifs)
    wanted, width = conv.out_channels // 2, int(conv.kernel_size[0])
    if conv.out_channels % 2 or wanted > len(database.motifs):
        raise ValueError(
            f"stem_motifs needs an even number of filters, at most twice the {len(database.motifs)} motifs of "
            f"{database.name}, got `model.stem.channels` {conv.out_channels}"
        )
    names = sorted(database.motifs)
    filters = np.stack([log_odds(database.motifs[name], width) for name in names])
    chosen = different(filters, wanted)
    kept = filters[chosen]
    both = np.concatenate([kept, kept[:, ::-1, ::-1]])
    both = both - both.mean(1, keepdims=True)
    both /= np.sqrt((both**2).sum((1, 2), keepdims=True))
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(both))
        conv.bias.copy_(torch.from_numpy(-_THRESHOLD * both.max(1).sum(1)))
    return [names[i] for i in chosen]


def log_odds(motif: np.ndarray, width: int) -> np.ndarray:
    """Return the log2-odds of a motif in the middle of a filter.

    Args:
        motif: (4, L) probabilities; of one longer than the filter the `width` columns that hold the most information.
        width: K, bp.

    Returns:
        (4, K) float32, 0 beside the motif.
    """
    scores = np.log2((motif + PSEUDOCOUNT) / (1 + 4 * PSEUDOCOUNT) / 0.25)
    if scores.shape[1] > width:
        information = (motif * scores).sum(0)
        first = int(np.argmax(np.convolve(information, np.ones(width), "valid")))
        scores = scores[:, first : first + width]
    filters = np.zeros((4, width), np.float32)
    left = (width - scores.shape[1]) // 2
    filters[:, left : left + scores.shape[1]] = scores
    return filters


def different(filters: np.ndarray, number: int) -> list[int]:
    """Choose filters that differ, one after the other the one least like those chosen.

    Two filters are as alike as the largest cosine of the two, either strand, moved against each other by up to 6 bp.

    Args:
        filters: (M, 4, K).
        number: how many.

    Returns:
        Indices, the filter with the largest norm first.
    """
    norms = np.sqrt((filters**2).sum((1, 2)))
    alike = np.full(len(filters), -np.inf)
    chosen = [int(np.argmax(norms))]
    while len(chosen) < number:
        last = filters[chosen[-1]]
        for strand in (filters, filters[:, ::-1, ::-1]):
            for shift in range(-_LARGEST_SHIFT, _LARGEST_SHIFT + 1):
                moved = shifted(strand, shift)
                cosine = (moved * last).sum((1, 2)) / (norms * norms[chosen[-1]])
                alike = np.maximum(alike, cosine)
        alike[chosen] = np.inf
        chosen.append(int(np.argmin(alike)))
    return chosen


def shifted(filters: np.ndarray, shift: int) -> np.ndarray:
    """Move (M, 4, K) filters by `shift` bp to the right, zeros behind them."""
    moved = np.zeros_like(filters)
    width = filters.shape[2]
    if shift >= 0:
        moved[:, :, shift:] = filters[:, :, : width - shift]
    else:
        moved[:, :, :shift] = filters[:, :, -shift:]
    return moved
