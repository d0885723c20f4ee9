"""bigWig tracks -> bins around transcription start sites: what CLASTER reads, and what it predicts.

A window's bins lie on its own start site, not on a grid of the genome, so each is a difference of running sums.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .bigwig import BigWig
from .bigwig_library import open_bigwig

TargetGrid = Literal["centred", "source"]
_CHUNK = 1 << 24  # bp of running sums in memory at a time, beside a window's length
_TRUNCATE = 4.0  # standard deviations of the Gaussian that count


@dataclass(frozen=True)
class LandscapeGrid:
    """The bins of a landscape and of its targets; the central one of each holds the start site.

    Args:
        num_input_bins: odd.
        input_bin_size: bp.
        num_bins: odd.
        bin_size: bp; a multiple of `fine_bin_size`.
        fine_bin_size: bp of the bins that targets are smoothed in.
        smoothing: standard deviation in bp of the Gaussian; 0 does not smooth.
        target_grid: "centred": the central bin's middle is the start site. "source": as RasmussenLab/CLASTER: bin 0
            begins half a fine bin left of the start site, and the last bin takes most of its values from the far left.

    Raises:
        ValueError: an even number, or sizes that do not fit each other.
    """

    num_input_bins: int = 10001
    input_bin_size: int = 100
    num_bins: int = 401
    bin_size: int = 1000
    fine_bin_size: int = 20
    smoothing: float = 1000.0
    target_grid: TargetGrid = "centred"

    def __post_init__(self) -> None:
        for name in ("num_input_bins", "num_bins"):
            if getattr(self, name) < 1 or getattr(self, name) % 2 == 0:
                raise ValueError(
                    f"`{name}` must be odd, since the central bin holds the start site, got {vars(self)[name]}"
                )
        if self.fine_bin_size < 1 or self.input_bin_size < 1 or self.bin_size % self.fine_bin_size:
            raise ValueError(f"`bin_size` {self.bin_size} must be a multiple of `fine_bin_size` {self.fine_bin_size}")
        if self.smoothing < 0:
            raise ValueError(f"`smoothing` must be 0 bp or more, got {self.smoothing}")

    @property
    def target_start(self) -> int:
        """First bp of the target's bin 0, counted from the start site."""
        whole = self.num_bins * self.bin_size
        return -(whole - self.bin_size) // 2 - (
            self.fine_bin_size // 2 if self.target_grid == "source" else self.bin_size // 2
        )


def window_means(
    bigwig: BigWig, chrom: str, starts: np.ndarray, *, size: int, num_bins: int, bin_size: int
) -> np.ndarray:
    """Return the mean signal in the bins of windows; bases without a value and those off the chromosome count as 0.

    Args:
        bigwig: of the track.
        chrom: name in the file.
        starts: (n,) first bp of each window; may lie off the chromosome.
        size: bp of the chromosome.
        num_bins: of a window.
        bin_size: bp.

    Returns:
        (n, num_bins) float64.

    Raises:
        ValueError: an infinite value, or a damaged file.
    """
    starts = np.asarray(starts, np.int64)
    edges = bin_size * np.arange(num_bins + 1)
    length, end = num_bins * bin_size, min(size, bigwig.chrom_sizes[chrom])
    means, order = np.zeros((len(starts), num_bins)), np.argsort(starts, kind="stable")
    with open_bigwig(bigwig.path, bigwig.library) as file:
        i = 0
        while i < len(order):
            first = int(starts[order[i]])
            stop = i + int(np.searchsorted(starts[order[i:]], first + _CHUNK, side="right"))
            here = order[i:stop]
            low, high = max(0, first), min(end, int(starts[here[-1]]) + length)
            i = stop
            if low >= high:
                continue
            values = file.values(chrom, low, high).astype(np.float64)
            np.nan_to_num(values, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)
            if not np.isfinite(values).all():
                place = low + int(np.flatnonzero(~np.isfinite(values))[0])
                raise ValueError(
                    f"{bigwig.path} at {chrom}:{place}: signal must be finite; mend or leave out the track"
                )
            sums = np.concatenate([[0.0], np.cumsum(values)])
            for row in here:
                means[row] = np.diff(sums[np.clip(starts[row] + edges, low, high) - low]) / bin_size
    return means


def target_bins(fine: np.ndarray, grid: LandscapeGrid) -> np.ndarray:
    """Smooth fine bins and sum them up in the target's bins.

    Args:
        fine: (n, F) signal in bins of `grid.fine_bin_size`, from `fine_layout`.
        grid: the bins.

    Returns:
        (n, grid.num_bins) float32, mean signal.
    """
    _, margin, num_fine = fine_layout(grid)
    step = grid.bin_size // grid.fine_bin_size
    if grid.target_grid == "source":
        fine = _smooth(np.pad(fine, ((0, 0), (margin, margin)), mode="symmetric"), grid)
        wrapped = np.concatenate([fine, fine[:, : step - 1]], axis=1)  # the source rolls its bins in a circle
        return np.stack([wrapped[:, j : j + step].mean(1) for j in range(0, num_fine, step)], 1).astype(np.float32)
    return _smooth(fine, grid).reshape(len(fine), grid.num_bins, step).mean(2).astype(np.float32)


def fine_layout(grid: LandscapeGrid) -> tuple[int, int, int]:
    """Return where fine bins begin in bp from the start site, the margin that smoothing eats, and their number.

    The centred grid reads `margin` more bins on each side; the source mirrors what it has, and reads one bin more.
    """
    margin = int(_TRUNCATE * grid.smoothing / grid.fine_bin_size + 0.5)
    step = grid.bin_size // grid.fine_bin_size
    if grid.target_grid == "source":
        return grid.target_start, margin, (grid.num_bins - 1) * step + 1
    return grid.target_start - margin * grid.fine_bin_size, margin, grid.num_bins * step + 2 * margin


def _smooth(fine: np.ndarray, grid: LandscapeGrid) -> np.ndarray:
    """Convolve rows with a Gaussian cut at four standard deviations; the margins go."""
    margin = fine_layout(grid)[1]
    if margin == 0:
        return fine
    offsets = np.arange(-margin, margin + 1) * grid.fine_bin_size / grid.smoothing
    kernel = np.exp(-0.5 * offsets**2)
    kernel /= kernel.sum()
    return np.stack([np.convolve(row, kernel, mode="valid") for row in fine])
