"""A linear model of landscapes: the floor that a network has to beat.

Each target bin is a weighted sum of the tracks in the bins around it, in log1p on both sides, with the same weights
everywhere; they are fitted by ridge regression.
"""

from dataclasses import dataclass

import numpy as np

from ..datasets_scripts.landscape import LandscapeData
from ..datasets_scripts.landscape_signal import LandscapeGrid

_BATCH = 64  # genes in memory at a time
_MAX_GENES = 2000  # fitted on: weights are few


@dataclass(frozen=True)
class LinearLandscape:
    """The fitted model.

    Args:
        grid: of the landscapes.
        reach: bins on either side of a target bin that it reads, of the target's size.
        mean: (F,) of the training features, F = R (2 reach + 1) in the order of rows.
        std: (F,), 1 for a constant one.
        weights: (F + 1, T) of the standardised features and a constant.
    """

    grid: LandscapeGrid
    reach: int
    mean: np.ndarray
    std: np.ndarray
    weights: np.ndarray

    def predict(self, landscapes: np.ndarray) -> np.ndarray:
        """Return (B, T, N) in raw units, at least 0, of landscapes (B, R, P)."""
        found = local_features(landscapes, self.grid, reach=self.reach)
        flat = (found.reshape(-1, found.shape[-1]) - self.mean) / self.std
        signal = np.expm1(np.maximum(flat @ self.weights[:-1] + self.weights[-1], 0))
        return signal.reshape(*found.shape[:2], -1).transpose(0, 2, 1)


def target_bin_means(landscapes: np.ndarray, grid: LandscapeGrid, *, reach: int) -> np.ndarray:
    """Return the tracks' means in bins of the target's size, `reach` more on either side, (B, R, N + 2 reach).

    A target bin that cuts an input bin takes its share of it; what lies off the landscape is 0.
    """
    edges = grid.target_start + grid.bin_size * np.arange(-reach, grid.num_bins + reach + 1)
    origin = -(grid.num_input_bins * grid.input_bin_size) // 2
    places = (edges - origin) / grid.input_bin_size  # in input bins
    sums = np.concatenate([np.zeros_like(landscapes[..., :1], np.float64), landscapes.cumsum(-1, np.float64)], -1)
    places = places.clip(0, grid.num_input_bins)
    left = places.astype(np.int64).clip(max=grid.num_input_bins - 1)
    running = sums[..., left] + (places - left) * (sums[..., left + 1] - sums[..., left])
    return np.diff(running, axis=-1) * grid.input_bin_size / grid.bin_size


def local_features(landscapes: np.ndarray, grid: LandscapeGrid, *, reach: int) -> np.ndarray:
    """Return what each target bin is predicted from, (B, N, F) float64: log1p of the tracks around it."""
    means = np.log1p(np.maximum(target_bin_means(landscapes, grid, reach=reach), 0))
    around = np.lib.stride_tricks.sliding_window_view(means, 2 * reach + 1, axis=-1)  # B, R, N, 2 reach + 1
    return around.transpose(0, 2, 1, 3).reshape(len(means), grid.num_bins, -1)


def fit_linear(data: LandscapeData, rows: np.ndarray, *, reach: int = 5, penalty: float = 1.0) -> LinearLandscape:
    """Fit the linear model.

    Args:
        data: the landscapes.
        rows: of the training genes; of many, `_MAX_GENES` spread over them are taken.
        reach: as of `LinearLandscape`.
        penalty: of the squared weights of standardised features, for a sum of squared errors.

    Raises:
        ValueError: no row.
    """
    if not len(rows):
        raise ValueError("a linear model needs training genes, got none")
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MAX_GENES)).round().astype(int))]
    width = len(data.input_tracks) * (2 * reach + 1) + 1
    num_tracks = len(data.track_names)
    gram, moment = np.zeros((width, width)), np.zeros((width, num_tracks))
    for i in range(0, len(rows), _BATCH):
        part = rows[i : i + _BATCH]
        counted = np.asarray(data.mask[part], bool)
        found = local_features(np.asarray(data.landscapes[part]), data.grid, reach=reach)[counted]
        targets = np.asarray(data.targets[part], np.float64).transpose(0, 2, 1)[counted]
        found = np.concatenate([found, np.ones((len(found), 1))], axis=1)
        gram += found.T @ found
        moment += found.T @ np.log1p(np.maximum(targets, 0))
    count = gram[-1, -1]
    mean = gram[-1, :-1] / count
    std = np.sqrt(np.maximum(np.diag(gram)[:-1] / count - mean**2, 0))
    std[std < 1e-9] = 1.0
    # the normal equations of standardised, centred features
    gram = (gram[:-1, :-1] - count * np.outer(mean, mean)) / np.outer(std, std)
    centre = moment[-1] / count
    moment = (moment[:-1] - count * np.outer(mean, centre)) / std[:, None]
    weights = np.linalg.solve(gram + penalty * np.eye(width - 1), moment)
    return LinearLandscape(data.grid, reach, mean, std, np.concatenate([weights, centre[None]]))
