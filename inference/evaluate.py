"""How well a model predicts a part of a store: Pearson's r and squared error, streamed.

The measures are those of Grover et al. (BoevaLab/ASAP@527028b): all bins of all evaluation windows of a chromosome,
flattened, in log1p; beside it the raw scale, coarser bins, and all chromosomes pooled.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.dataset import WindowDataset, evaluation_windows
from ..datasets_scripts.folds import Part
from ..datasets_scripts.loader import WindowLoader
from ..datasets_scripts.store import GenomeStore
from ..modeling import AtacConfig, AtacForTrackPrediction
from . import peak_signal
from .metrics import PearsonState
from .predict import Progress, predict_batches
from .provenance import library_versions, part_intervals

SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"log1p": np.log1p, "raw": np.asarray}
SETS: dict[str, Literal["tile", "peaks"]] = {"genome_wide": "tile", "peaks": "peaks"}
TSV_COLUMNS = ["track", "set", "chrom", "bin_size", "scale", "n", "pearson", "mse"]
POOLED = "pooled"

_Key = tuple[int, int, str]  # track, bin size, scale
_States = dict[_Key, PearsonState]


def evaluate(
    model: AtacForTrackPrediction,
    store: GenomeStore,
    *,
    part: Part = "test",
    bin_sizes: Sequence[int] | None = None,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    average_rc: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare predicted with true signal over a part of a store; memory does not grow with the genome.

    Two sets of windows: "genome_wide", targets that tile the part, and, where the store has peaks, "peaks", targets
    centred on summits (which may overlap, and then count twice). Of the latter a third set of results, "peak_signal",
    compares one number a peak, the mean signal of its central 200 bp (peak_signal.py). Only the central `target_length`
    bp of each window are compared. For coarser bins, raw predicted and raw true bins are both summarised as the store
    summarises bases: the maximum of maxima, the mean of means, the sum of sums; then comes log1p.

    Args:
        model: in evaluation mode.
        store: its bin size, summary and number of tracks must be the model's.
        part: "train", "valid" or "test".
        bin_sizes: bp; None for 1, 4 and 32 bins of the store (4, 16 and 128 bp of 4), as far as they fit the target.
        batch_size: windows predicted at once.
        device: where the model is moved first; None leaves it where it is.
        average_rc: average both strands, as `predict_batches` does.
        progress: told how many windows are done.

    Returns:
        What metrics.json holds: `part`, `data`, `intervals`, `reverse_complement`, `bf16`, `windows` (a report for each
        set), `results` and `versions`. `results[track][set]` has `pooled` and `chroms[chrom]`; each of these holds, by
        bin size as text and by scale ("log1p", "raw"), `n`, `pearson` and `mse`, None where it is not defined (one side
        is constant). A set without a window in this part has a report but no results.

    Raises:
        ValueError: model and store do not fit, a bin size does not fit the target, or no window is left.
    """
    check_fit(model.config, store)
    bin_sizes = _fitting_bin_sizes(model.config, bin_sizes)
    lengths = {"input_length": model.config.input_length, "target_length": model.config.target_length}
    windows: dict[str, pd.DataFrame] = {}
    reports: dict[str, Any] = {}
    for name, kind in SETS.items():
        if kind == "peaks" and store.peaks.empty:
            continue
        windows[name], reports[name] = evaluation_windows(store, part, kind=kind, **lengths)
    if windows["genome_wide"].empty:
        raise ValueError(
            f"no window of the {part} part of {store.path} is left of {reports['genome_wide']['candidates']}; "
            f"left out: {reports['genome_wide']['dropped']}"
        )
    done, total = 0, sum(map(len, windows.values()))
    if progress:
        progress(0, total)
    scores: dict[str, dict[str, _States]] = {name: {} for name in windows}
    for name, table in windows.items():
        pairs = predicted_and_true(model, store, table, batch_size=batch_size, device=device, average_rc=average_rc)
        for chrom, predicted, true in pairs:
            states = scores[name].setdefault(chrom, {})
            _add(states, predicted, true, bin_sizes=bin_sizes, store=store)
            if name == "peaks":
                _add_peak_signal(scores.setdefault(peak_signal.NAME, {}).setdefault(chrom, {}), predicted, true, store)
            done += len(true)
            if progress:
                progress(done, total)
    return {
        "part": part,
        "data": {
            "name": store.path.resolve().name,
            "genome": store.genome,
            "fingerprint": store.fingerprint,
            "bin_size": store.bin_size,
            "summary": store.summary,
            "tracks": store.track_names,
        },
        "intervals": [f"{c.chrom}:{start}-{end}" for c in part_intervals(store, part) for start, end in c.intervals],
        "reverse_complement": average_rc,
        "bf16": torch.is_autocast_enabled(model.device.type),
        "windows": reports,
        "results": {
            track: {name: _results(by_chrom, i) for name, by_chrom in scores.items() if by_chrom}
            for i, track in enumerate(store.track_names)
        },
        "versions": library_versions(),
    }


def check_fit(config: AtacConfig, store: GenomeStore) -> None:
    """Refuse a store whose signal is not what a model predicts.

    One track is compared with one track whatever their names; of several, the names must be the same, in order.

    Raises:
        ValueError: bin size, summary or tracks differ.
    """
    for what, of_model, of_store in (
        ("bin size", config.bin_size, store.bin_size),
        ("summary", config.target_summary, store.summary),
        ("number of tracks", config.num_tracks, len(store.track_names)),
    ):
        if of_model != of_store:
            raise ValueError(
                f"the model's {what} is {of_model}, but that of {store.path} is {of_store}; "
                "build the data anew to fit the model"
            )
    names = list(config.track_names or ())
    if len(names) > 1 and names != store.track_names:
        raise ValueError(
            f"the model's tracks are {', '.join(names)}, but those of {store.path} are {', '.join(store.track_names)}; "
            "build the data anew with the same names in the same order"
        )


def predicted_and_true(
    model: AtacForTrackPrediction,
    store: GenomeStore,
    windows: pd.DataFrame,
    *,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    average_rc: bool = False,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Predict windows and read their true signal, a batch of one chromosome at a time.

    Args:
        model: in evaluation mode.
        store: the genome.
        windows: columns chrom, start, end; `input_length` bp each, on the store's bins.
        batch_size: windows predicted at once.
        device: as in `predict_batches`.
        average_rc: as in `predict_batches`.

    Yields:
        Chromosome, predicted and true signal of the targets, both (B, T, target bins) float32 in raw units; the true
        one is NaN where the store masks a track.
    """
    crop = model.config.crop_bins
    dataset = WindowDataset(store, windows, input_length=model.config.input_length)
    of_chrom = dataset.windows.groupby("chrom", sort=False).indices
    batches = [rows[i : i + batch_size].tolist() for rows in of_chrom.values() for i in range(0, len(rows), batch_size)]
    for indices, batch in zip(batches, WindowLoader(dataset, batches, device=device or model.device), strict=True):
        (predictions,) = predict_batches(model, [batch["inputs"].numpy()], device=device, average_rc=average_rc)
        signal = model.to_signal(torch.from_numpy(predictions)).numpy()
        true = batch["labels"] if "mask" not in batch else batch["labels"].where(batch["mask"] > 0, torch.nan)
        chrom = str(dataset.windows["chrom"].iloc[indices[0]])
        yield chrom, signal, true[..., crop : true.shape[-1] - crop].numpy()


def rebin(values: np.ndarray, factor: int, *, summary: str) -> np.ndarray:
    """Join every `factor` bins of (..., N) into one by "max", "mean" or "sum"; `factor` divides N."""
    if factor == 1:
        return values
    groups = values.reshape(*values.shape[:-1], -1, factor)
    return {"max": np.max, "mean": np.mean, "sum": np.sum}[summary](groups, axis=-1)


def flatten_metrics(metrics: dict[str, Any]) -> pd.DataFrame:
    """Return the results of metrics.json as the rows of metrics.tsv.

    Returns:
        Columns track, set, chrom ("pooled" for all), bin_size, scale, n, pearson, mse; NaN where not defined.
    """
    rows = [
        (track, name, chrom, int(bin_size), scale, numbers["n"], numbers["pearson"], numbers["mse"])
        for track, sets in metrics["results"].items()
        for name, result in sets.items()
        for chrom, by_bin in ((POOLED, result["pooled"]), *result["chroms"].items())
        for bin_size, by_scale in by_bin.items()
        for scale, numbers in by_scale.items()
    ]
    return pd.DataFrame(rows, columns=TSV_COLUMNS).astype({"pearson": np.float64, "mse": np.float64})


def _fitting_bin_sizes(config: AtacConfig, bin_sizes: Sequence[int] | None) -> list[int]:
    """Return the bin sizes to evaluate, each once and ascending."""
    if bin_sizes is None:
        return [size for size in (config.bin_size * k for k in (1, 4, 32)) if config.target_length % size == 0]
    for size in bin_sizes:
        if size <= 0 or size % config.bin_size or config.target_length % size:
            raise ValueError(
                f"bin sizes must be multiples of the data's {config.bin_size} bp that divide the target of "
                f"{config.target_length} bp, got {size}"
            )
    return sorted(set(bin_sizes))


def _add(
    states: _States, predicted: np.ndarray, true: np.ndarray, *, bin_sizes: Sequence[int], store: GenomeStore
) -> None:
    """Add a batch (B, T, bins), raw units, to the states of its chromosome."""
    for size in bin_sizes:
        coarse = [rebin(values, size // store.bin_size, summary=store.summary) for values in (predicted, true)]
        for scale, transform in SCALES.items():
            x, y = map(transform, coarse)
            for track in range(true.shape[1]):
                known = ~np.isnan(y[:, track])  # a coarse bin with a masked one in it counts no more
                states.setdefault((track, size, scale), PearsonState()).update(x[:, track][known], y[:, track][known])


def _add_peak_signal(states: _States, predicted: np.ndarray, true: np.ndarray, store: GenomeStore) -> None:
    """Add the mean signal of a batch's peaks to the states of its chromosome."""
    width = peak_signal.peak_width(store.bin_size, true.shape[-1] * store.bin_size)
    means = [peak_signal.peak_means(values, bin_size=store.bin_size) for values in (predicted, true)]
    for scale, transform in SCALES.items():
        x, y = map(transform, means)
        for track in range(true.shape[1]):
            known = ~np.isnan(y[:, track])
            states.setdefault((track, width, scale), PearsonState()).update(x[:, track][known], y[:, track][known])


def _results(by_chrom: dict[str, _States], track: int) -> dict[str, Any]:
    """Return the numbers of a track and set, pooled and for each chromosome."""
    pooled: _States = {}
    for states in by_chrom.values():
        for key, state in states.items():
            pooled.setdefault(key, PearsonState()).merge(state)
    return {
        "pooled": _by_bin_and_scale(pooled, track),
        "chroms": {chrom: _by_bin_and_scale(states, track) for chrom, states in by_chrom.items()},
    }


def _by_bin_and_scale(states: _States, track: int) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for (i, bin_size, scale), state in states.items():
        if i == track:
            table.setdefault(str(bin_size), {})[scale] = state.summary()
    return table
