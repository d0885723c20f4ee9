"""The signal of a peak as one number: what a model of peaks or of sparse data can be asked for."""

import numpy as np
import pandas as pd

from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.window_labels import centre_bins

NAME = "peak_signal"  # of the set of results
WIDTH = 200  # bp
_GATHER = 4096  # windows read together


def peak_width(bin_size: int, target_length: int) -> int:
    """Return the bp in the middle of a peak that are averaged: 200, or the whole bins below, and one at least."""
    return max(bin_size, min(WIDTH, target_length) // bin_size * bin_size)


def peak_means(signal: np.ndarray, *, bin_size: int) -> np.ndarray:
    """Average the middle of windows that are centred on summits.

    A track model's "peak-signal Pearson" is that of log1p of these means, predicted and true, over the peaks of a part.
    Peaks of all tracks count for each track, also where it has none and its true mean is 0.

    Args:
        signal: (B, T, N) raw units.
        bin_size: bp per bin.

    Returns:
        (B, T, 1), the mean over the bins of the central `peak_width` bp; NaN where one of them is.
    """
    width = peak_width(bin_size, signal.shape[-1] * bin_size)
    centre = centre_bins(signal.shape[-1], width=width, bin_size=bin_size)
    return signal[..., centre].mean(-1, keepdims=True)


def window_peak_means(store: GenomeStore, windows: pd.DataFrame) -> np.ndarray:
    """Read `peak_means` of windows of one length, on the store's bins: (n, T) raw units."""
    length = int(windows["end"].iloc[0] - windows["start"].iloc[0])
    width = peak_width(store.bin_size, length)
    first = centre_bins(length // store.bin_size, width=width, bin_size=store.bin_size).start * store.bin_size
    starts = store.flat_starts(windows) + first
    pieces = (starts[i : i + _GATHER] for i in range(0, len(starts), _GATHER))
    return np.concatenate([store.gather(piece, width)[1].mean(-1) for piece in pieces])
