"""Jitter and strand of windows, drawn from the seed, the epoch and a window's index alone."""

import numpy as np

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
