"""The measures of predicted and true bins, by track and bin size, kept for each chromosome and pooled."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .measures import PairMeasures

POOLED = "pooled"

States = dict[tuple[int, int], PairMeasures]  # by track and bin size


def rebin(values: np.ndarray, factor: int, *, summary: str) -> np.ndarray:
    """Join every `factor` bins of (..., N) into one by "max", "mean" or "sum"; `factor` divides N."""
    if factor == 1:
        return values
    groups = values.reshape(*values.shape[:-1], -1, factor)
    return {"max": np.max, "mean": np.mean, "sum": np.sum}[summary](groups, axis=-1)


def add_signal(
    states: States, predicted: np.ndarray, true: np.ndarray, sizes: Sequence[int], *, bin_size: int, summary: str
) -> None:
    """Add a batch to the states of its chromosome, at several bin sizes.

    Args:
        states: changed.
        predicted: (B, T, N) raw units.
        true: (B, T, N) raw units, NaN where not measured.
        sizes: bp, multiples of `bin_size` that divide the N bins.
        bin_size: bp of the N bins.
        summary: of the bins that are joined.
    """
    for size in sizes:
        add_bins(states, size, *(rebin(side, size // bin_size, summary=summary) for side in (predicted, true)))


def add_bins(states: States, size: int, predicted: np.ndarray, true: np.ndarray) -> None:
    """Add bins (B, T, n) of one size, raw units; where the true one is NaN, none counts."""
    for track in range(true.shape[1]):
        known = ~np.isnan(true[:, track])  # a coarse bin with a masked one in it counts no more
        states.setdefault((track, size), PairMeasures()).update(predicted[:, track][known], true[:, track][known])


def pooled(by_chrom: Mapping[str, States]) -> States:
    """Return the states of all chromosomes joined."""
    joined: States = {}
    for states in by_chrom.values():
        for key, state in states.items():
            joined.setdefault(key, PairMeasures()).merge(state)
    return joined


def results_of_track(by_chrom: Mapping[str, States], track: int) -> dict[str, Any]:
    """Return the numbers of a track and set, pooled and for each chromosome."""
    return {
        POOLED: _by_bin_and_scale(pooled(by_chrom), track),
        "chroms": {chrom: _by_bin_and_scale(states, track) for chrom, states in by_chrom.items()},
    }


def _by_bin_and_scale(states: States, track: int) -> dict[str, dict[str, Any]]:
    return {str(size): state.summary() for (i, size), state in states.items() if i == track}
