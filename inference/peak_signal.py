"""The signal of a peak as one number: what a model of peaks or of sparse data can be asked for."""

import numpy as np

from ..datasets_scripts.window_labels import centre_bins

NAME = "peak_signal"  # of the set of results
WIDTH = 200  # bp


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
