"""Jitter, strand and substitutions of windows, drawn from the seed, the epoch and a window's index alone."""

from collections.abc import Sequence

import numpy as np

from .fasta import N_CODE

_COMPLEMENT = np.array([3, 2, 1, 0, 4], np.uint8)


def draw_augmentation(
    num_windows: int, *, seed: int, epoch: int, max_jitter: int, bin_size: int, reverse_complement: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Draw what happens to each window in an epoch.

    Args:
        num_windows: of the part.
        seed: of the run.
        epoch: from 0.
        max_jitter: largest shift in bp, a multiple of `bin_size`.
        bin_size: bp; shifts are whole bins, both ways.
        reverse_complement: turn half of the windows around.

    Returns:
        (num_windows,) int64 shifts in bp, and (num_windows,) bool, which are turned.
    """
    rng = np.random.default_rng([seed, epoch])
    bins = max_jitter // bin_size
    shifts = rng.integers(-bins, bins, num_windows, endpoint=True) * bin_size
    return shifts, rng.random(num_windows) < (0.5 if reverse_complement else 0.0)


def turn_around(batch: dict[str, np.ndarray], turned: np.ndarray) -> None:
    """Reverse-complement some windows of a batch, in place.

    Args:
        batch: `inputs` (B, L) uint8 codes; everything else runs along its last axis with the sequence.
        turned: (B,) bool.
    """
    which = np.flatnonzero(turned)
    for name, array in batch.items():
        reverse = array[which, ..., ::-1]
        array[which] = _COMPLEMENT[reverse] if name == "inputs" else reverse


def substitute_bases(
    codes: np.ndarray, indices: Sequence[int] | np.ndarray, *, share: float, seed: int, epoch: int
) -> None:
    """Replace bases by one of the three others, in place; N stays.

    Each base is replaced with probability `share`, and each of the three others is as likely.

    Args:
        codes: (B, L) uint8 base codes.
        indices: (B,) of the windows in their part, from which their draws come.
        share: of the bases, from 0 to 1.
        seed: of the run.
        epoch: from 0.
    """
    if not share:
        return
    for window, index in zip(codes, indices, strict=True):
        # A last word of its own: numpy reads [seed, epoch] and [seed, epoch, 0] as one seed.
        rng = np.random.default_rng([seed, epoch, int(index), 3])
        chosen = np.flatnonzero((rng.random(len(window), np.float32) < share) & (window < N_CODE))
        window[chosen] = (window[chosen] + rng.integers(1, 4, len(chosen), np.uint8)) % 4
