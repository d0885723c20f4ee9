"""The floor beside a model: a ridge regression on 6-mers, fitted on the training windows that the model had.

Of a classifier it predicts the labels of whole windows, of a track model log1p of the signal of 512-bp tiles. It is
measured on the very windows or tiles that the model is measured on.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.window_labels import LabelRule, window_labels
from ..datasets_scripts.windows import tile_intervals
from ..modeling import AtacConfig
from .kmer_ridge import K, KmerRidge, fit_kmer_ridge
from .track_states import rebin

TILE = 512  # bp
MAX_TRAINING = 100_000  # windows or tiles fitted on
MAX_VALIDATION = 10_000  # whose features are held at once: 8 kB each
_BATCH = 1000  # windows whose k-mers are counted together


@dataclass(frozen=True)
class FloorWindows:
    """The windows that a floor is fitted on.

    Attributes:
        train: columns chrom, start, end of the model's training windows, as it reads them, without jitter.
        valid: windows that choose the penalty; without any, the largest is taken.
        source: in words, where they come from.
        seed: of the choice where there are more than `MAX_TRAINING` or `MAX_VALIDATION`.
    """

    train: pd.DataFrame
    valid: pd.DataFrame
    source: str
    seed: int = 0


def tile_length(config: AtacConfig) -> int:
    """Return the bp of a floor's tile: 512, or the longest below that is whole bins and divides the target."""
    sizes = range(config.bin_size, min(TILE, config.target_length) + 1, config.bin_size)
    return max(size for size in sizes if config.target_length % size == 0)


def fit_class_floor(store: GenomeStore, chosen: FloorWindows, rule: LabelRule) -> tuple[KmerRidge, dict[str, Any]]:
    """Fit a floor to the labels, 0 and 1, of the training windows.

    Args:
        store: with one track a label.
        chosen: windows of one length.
        rule: when a window is open.

    Returns:
        The floor, and what is told of it: `windows`, `training_windows`, `of_windows`, `validation_windows`, `k`,
        `penalties` by track, and `seconds`.

    Raises:
        ValueError: no training window, or a track that was measured in none.
    """

    def batches(windows: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for part, starts, length in _pieces(store, windows):
            labels, known = window_labels(store, part, rule)
            yield store.gather_codes(starts, length), np.where(known, labels, np.nan)

    return _fit(store, chosen, chosen.train, chosen.valid, batches)


def fit_track_floor(store: GenomeStore, chosen: FloorWindows, config: AtacConfig) -> tuple[KmerRidge, dict[str, Any]]:
    """Fit a floor to log1p of the signal of tiles; arguments and results as of `fit_class_floor`.

    The tiles lie side by side in what the targets of the training windows cover, so that a share of the windows gives
    that share of the tiles. A tile's signal is summarised as the store's bins are; where it is masked, it does not
    count.
    """
    length = tile_length(config)
    context = config.crop_bins * config.bin_size

    def batches(tiles: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for _, starts, _ in _pieces(store, tiles):
            codes, signal = read_signal(store, starts, length)
            yield codes, np.log1p(rebin(signal, length // store.bin_size, summary=store.summary)[..., 0])

    train, valid = (covered_tiles(windows, length, context) for windows in (chosen.train, chosen.valid))
    ridge, told = _fit(store, chosen, train, valid, batches)
    return ridge, {"tile": length, **told}


def covered_tiles(windows: pd.DataFrame, length: int, context: int = 0) -> pd.DataFrame:
    """Return tiles of `length` bp side by side in what windows, less their context on either side, cover."""
    stretches = []
    for chrom, rows in windows.groupby("chrom", sort=False):
        rows = rows.sort_values("start", kind="stable")
        starts, ends = (rows[key].to_numpy(np.int64) + add for key, add in (("start", context), ("end", -context)))
        reach = np.maximum.accumulate(ends)
        first = np.flatnonzero(np.append(True, starts[1:] > reach[:-1]))
        last = np.append(first[1:], len(starts)) - 1
        stretches.append(pd.DataFrame({"chrom": chrom, "start": starts[first], "end": reach[last]}))
    if not stretches:
        return windows
    return tile_intervals(pd.concat(stretches, ignore_index=True), length=length, stride=length)


def predict_windows(ridge: KmerRidge, store: GenomeStore, windows: pd.DataFrame) -> np.ndarray:
    """Predict windows of one length, (n, T)."""
    pieces = _pieces(store, windows)
    return np.concatenate([ridge.predict(store.gather_codes(starts, length)) for _, starts, length in pieces])


def predict_tiles(
    ridge: KmerRidge, store: GenomeStore, windows: pd.DataFrame, config: AtacConfig
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Predict the tiles of windows' targets and read their true signal, some windows of one chromosome at a time.

    Yields:
        Chromosome, predicted and true signal of the tiles, both (B, T, tiles) in raw units; NaN where masked.
    """
    length, target = tile_length(config), config.target_length
    for chrom, rows in windows.groupby("chrom", sort=False):
        for _, starts, _ in _pieces(store, rows, size=max(1, _BATCH * length // target)):
            codes, signal = read_signal(store, starts + config.crop_bins * config.bin_size, target)
            scores = ridge.predict(codes.reshape(-1, length)).reshape(len(codes), target // length, -1)
            predicted = np.expm1(np.maximum(scores, 0)).transpose(0, 2, 1)
            yield str(chrom), predicted, rebin(signal, length // store.bin_size, summary=store.summary)


def read_signal(store: GenomeStore, starts: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes (B, length) and signal (B, T, bins) of `GenomeStore.gather`, the signal NaN where masked."""
    codes, signal = store.gather(starts, length)
    if store.has_masks:
        signal = np.where(store.gather_mask(starts, length) > 0, signal, np.float32(np.nan))
    return codes, signal


def _fit(
    store: GenomeStore, chosen: FloorWindows, train: pd.DataFrame, valid: pd.DataFrame, batches: Any
) -> tuple[KmerRidge, dict[str, Any]]:
    began = time.monotonic()
    drawn, held_out = _drawn(train, MAX_TRAINING, chosen.seed), _drawn(valid, MAX_VALIDATION, chosen.seed)
    ridge = fit_kmer_ridge(batches(drawn), list(batches(held_out)))
    return ridge, {
        "windows": chosen.source,
        "training_windows": len(drawn),
        "of_windows": len(train),
        "validation_windows": len(held_out),
        "k": K,
        "penalties": dict(zip(store.track_names, ridge.penalties.tolist(), strict=True)),
        "seconds": round(time.monotonic() - began, 1),
    }


def _drawn(windows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Return at most `count` windows, in their order."""
    rows = np.random.default_rng(seed).permutation(len(windows))[:count]
    return windows.iloc[np.sort(rows)].reset_index(drop=True)


def _pieces(
    store: GenomeStore, windows: pd.DataFrame, *, size: int = _BATCH
) -> Iterator[tuple[pd.DataFrame, np.ndarray, int]]:
    """Yield some windows at a time, where they start in the flat arrays, and their length."""
    starts = store.flat_starts(windows)
    for i in range(0, len(windows), size):
        part = windows.iloc[i : i + size]
        yield part, starts[i : i + size], int(part["end"].iloc[0] - part["start"].iloc[0])
