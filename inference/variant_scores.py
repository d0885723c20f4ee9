"""What changes between the predictions of two alleles, in numbers.

Profiles are compared base by base (a base has the value of its bin, of its own allele's grid), in raw signal units:
`window` / 2 bases to the left of the variant and as many from it on. Of an insertion or a deletion the changed bases
themselves have no counterpart and are left out, so that what is compared is the same bases of the genome.
Shapes: V variants, T tracks, W bases, n bins.
"""

from dataclasses import dataclass

import numpy as np

SIGMA = 8.0  # bins: Grover et al. smooth predictions by a Gaussian of this width
_RADIUS = 32  # bins: scipy's gaussian_filter1d, which their notebook calls, ends at 4 sigma
_PAPER_PSEUDOCOUNT = 1e-4  # of the notebook's ratio

DESCRIPTIONS = {
    "ref_signal": "mean predicted signal of the REF allele over the bases compared",
    "alt_signal": "the same of the ALT allele",
    "logfc": "log2((alt_signal + pseudocount) / (ref_signal + pseudocount))",
    "jsd": "Jensen-Shannon distance (base 2, in [0, 1]) between the two profiles, each as shares of its sum",
    "max_difference": "ALT minus REF at the base where they differ most",
    "smoothed_logfc": "log2 of ALT over REF (with pseudocount) in the variant's own bin, smoothed by a Gaussian of "
    "8 bins",
    "paper_fold_change": "REF / (ALT + 1e-4), smoothed likewise, in the bin at half the window: Grover et al.'s ratio",
}
SCORES = tuple(DESCRIPTIONS)
SMOOTHED = ("smoothed_logfc", "paper_fold_change")
SMOOTHING_REACH = _RADIUS + 2  # bins on a side of the variant's own that smoothing reads, around either middle


@dataclass(frozen=True)
class AllelePair:
    """Predicted bins of the two alleles of a variant.

    Attributes:
        signals: (2, T, n) raw units, REF and ALT.
        first_bp: of the first bin, relative to the variant's first base.
        lengths: bp of the REF and the ALT allele, without shared bases.
        middle_bin: index of the bin at half the window.
    """

    signals: np.ndarray
    first_bp: int
    lengths: tuple[int, int]
    middle_bin: int


def score_pairs(
    pairs: list[AllelePair], *, bin_size: int, window: int, pseudocount: float, smoothed: bool = True
) -> dict[str, np.ndarray]:
    """Score variants.

    Args:
        pairs: V variants.
        bin_size: bp per bin.
        window: bp compared, even.
        pseudocount: raw signal units, keeps ratios of silent regions finite.
        smoothed: the pairs hold the bins that smoothing reads.

    Returns:
        (V, T) float64 for each name in `SCORES`, but `SMOOTHED` where the pairs are too short for it.
    """
    profiles = np.stack([shared_bases(pair, bin_size=bin_size, window=window) for pair in pairs]).astype(np.float64)
    ref, alt = profiles[:, 0], profiles[:, 1]  # (V, T, W)
    means = ref.mean(-1), alt.mean(-1)
    scores = {
        "ref_signal": means[0],
        "alt_signal": means[1],
        "logfc": _log_ratio(means[1], means[0], pseudocount),
        "jsd": jensen_shannon_distance(ref, alt),
        "max_difference": largest_difference(ref, alt),
    }
    if not smoothed:
        return scores
    own = np.stack([_smoothed(pair, -pair.first_bp // bin_size) for pair in pairs])
    middle = np.stack([_smoothed(pair, pair.middle_bin) for pair in pairs])
    return {
        **scores,
        "smoothed_logfc": _log_ratio(own[:, 1], own[:, 0], pseudocount),
        "paper_fold_change": middle[:, 0] / (middle[:, 1] + _PAPER_PSEUDOCOUNT),
    }


def shared_bases(pair: AllelePair, *, bin_size: int, window: int) -> np.ndarray:
    """Return the values of the bases compared, (2, T, window): those left of the variant, then those from it on."""
    half = window // 2
    changed = pair.lengths if pair.lengths[0] != pair.lengths[1] else (0, 0)
    rows = []
    for signal, length in zip(pair.signals, changed, strict=True):
        offsets = np.concatenate([np.arange(-half, 0), np.arange(length, length + half)]) - pair.first_bp
        rows.append(signal[:, offsets // bin_size])
    return np.stack(rows)


def jensen_shannon_distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the square root of the Jensen-Shannon divergence in bits along the last axis.

    Profiles are taken as shares of their sums; two that are 0 throughout are equal.
    """
    p, q = (values / np.maximum(values.sum(-1, keepdims=True), np.finfo(float).tiny) for values in (one, other))
    mean = (p + q) / 2
    divergence = (_entropy_terms(p, mean) + _entropy_terms(q, mean)).sum(-1) / 2
    return np.sqrt(np.clip(divergence, 0, 1))


def largest_difference(ref: np.ndarray, alt: np.ndarray) -> np.ndarray:
    """Return ALT minus REF along the last axis, where it is largest in size, with its sign."""
    difference = alt - ref
    where = np.abs(difference).argmax(-1, keepdims=True)
    return np.take_along_axis(difference, where, -1)[..., 0]


def _log_ratio(alt: np.ndarray, ref: np.ndarray, pseudocount: float) -> np.ndarray:
    return np.log2(alt + pseudocount) - np.log2(ref + pseudocount)


def _entropy_terms(p: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return np.where(p > 0, p * np.log2(np.where(p > 0, p, 1) / np.where(mean > 0, mean, 1)), 0)


def _smoothed(pair: AllelePair, centre: int) -> np.ndarray:
    """Return both alleles' signal in a bin after smoothing, (2, T)."""
    weights = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / SIGMA) ** 2)
    around = pair.signals[..., centre - _RADIUS : centre + _RADIUS + 1].astype(np.float64)
    return around @ (weights / weights.sum())
