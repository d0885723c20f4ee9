"""How well a model predicts a part of a store: Pearson's r and squared error, streamed.

The measures are those of Grover et al. (BoevaLab/ASAP@527028b): all bins of all evaluation windows of a chromosome,
flattened, in log1p; beside it the raw scale, coarser bins, and all chromosomes pooled.
"""

from collections.abc import Iterator, Sequence
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
from .averaging import BOTH_STRANDS
from .beside import Beside, add_differences, beside_tracks, difference_sizes, measured
from .differences import DifferenceMoments
from .floor import FloorWindows, tile_length
from .peak_calls import CallRule, PeakComparison, default_cutoff
from .peak_shape import ShapeState, shapes_of_track
from .predict import Progress, predict_batches
from .provenance import library_versions, part_intervals
from .track_states import POOLED, States, add_bins, add_signal, pooled, results_of_track

SETS: dict[str, Literal["tile", "peaks"]] = {"genome_wide": "tile", "peaks": "peaks"}
TSV_COLUMNS = [
    "track",
    "set",
    "chrom",
    "bin_size",
    "scale",
    "n",
    "pearson",
    "mse",
    "spearman",
    "poisson_deviance",
    "of",
]
_CUTOFF_WINDOWS = 1000


def evaluate(
    model: AtacForTrackPrediction,
    store: GenomeStore,
    *,
    part: Part = "test",
    bin_sizes: Sequence[int] | None = None,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    average_rc: bool = BOTH_STRANDS,
    peak_cutoff: float | None = None,
    beside: Beside | None = None,
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
        bin_sizes: bp; None for 1, 4 and 32 bins of the store (4, 16 and 128 bp of 4), as far as they fit the target,
            and a floor's tile, 512 bp.
        batch_size: windows predicted at once.
        device: where the model is moved first; None leaves it where it is.
        average_rc: average both strands, as `predict_batches` does.
        peak_cutoff: least signal of a called peak; None for `default_cutoff` of each track's true signal in up to 1,000
            windows. The paper's is 1, of signal that is -log10 p.
        beside: floor, base and reads to measure on the same windows; None measures the model alone. With a floor the
            model is measured in its tiles too, whatever `bin_sizes` says.
        progress: told how many windows are done.

    Returns:
        What metrics.json holds: `part`, `data`, `intervals`, `reverse_complement`, `bf16`, `windows` (a report for each
        set), `results` and `versions`. `results[track][set]` has `pooled` and `chroms[chrom]`; each of these holds, by
        bin size as text and by scale ("log1p", "raw"), `n`, `pearson` and `mse`, None where it is not defined (one side
        is constant). A set without a window in this part has a report but no results. Of several tracks `differences`
        holds, by bin size from 128 bp on, how well differences of log1p signal between tracks are predicted genome-wide
        (`DifferenceMoments.summary`). With `beside` also `floor`, `base` and `ceiling` (`beside_tracks`).

    Raises:
        ValueError: model and store do not fit, a bin size does not fit the target, or no window is left.
    """
    check_fit(model.config, store)
    bin_sizes = _fitting_bin_sizes(model.config, bin_sizes)
    if beside is not None and isinstance(beside.floor, FloorWindows):
        bin_sizes = sorted({*bin_sizes, tile_length(model.config)})
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
    scores: dict[str, dict[str, States]] = {name: {} for name in windows}
    shapes: dict[str, list[ShapeState]] = {}
    context = model.config.crop_bins * store.bin_size
    calls = _comparisons(store, windows["genome_wide"], model.config, peak_cutoff)
    joining: Any = {"bin_size": store.bin_size, "summary": store.summary}
    moments = {size: DifferenceMoments(len(calls)) for size in difference_sizes(bin_sizes)} if len(calls) > 1 else {}
    for name, table in windows.items():
        pairs = predicted_and_true(model, store, table, batch_size=batch_size, device=device, average_rc=average_rc)
        of_chrom = {str(chrom): rows["start"].to_numpy() for chrom, rows in table.groupby("chrom", sort=False)}
        for chrom, predicted, true in pairs:
            states = scores[name].setdefault(chrom, {})
            add_signal(states, predicted, true, bin_sizes, **joining)
            if name == "peaks":
                _add_peak_signal(scores.setdefault(peak_signal.NAME, {}).setdefault(chrom, {}), predicted, true, store)
                tracks = shapes.setdefault(chrom, [ShapeState.empty(true.shape[-1]) for _ in calls])
                for i, shape in enumerate(tracks):
                    shape.update(predicted[:, i], true[:, i])
            else:
                starts, of_chrom[chrom] = np.split(of_chrom[chrom], [len(true)])
                add_differences(moments, predicted, true, **joining)
                for i, comparison in enumerate(calls):
                    comparison.add(chrom, starts + context, predicted[:, i], true[:, i])
            done += len(true)
            if progress:
                progress(done, total)
    options: dict[str, Any] = {"batch_size": batch_size, "device": device, "average_rc": average_rc}
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
            track: {name: results_of_track(by_chrom, i) for name, by_chrom in scores.items() if by_chrom}
            for i, track in enumerate(store.track_names)
        },
        "peak_calls": {track: calls[i].results() for i, track in enumerate(store.track_names)},
        "shape": {track: shapes_of_track(shapes, i) for i, track in enumerate(store.track_names) if shapes},
        "calibration": {
            track: _calibration(scores["genome_wide"], i, bin_sizes[0]) for i, track in enumerate(store.track_names)
        },
        **({"differences": {str(k): v.summary(store.track_names) for k, v in moments.items()}} if moments else {}),
        **({} if beside is None else beside_tracks(beside, model, store, windows, bin_sizes, **options)),
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
    average_rc: bool = BOTH_STRANDS,
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


def flatten_metrics(metrics: dict[str, Any]) -> pd.DataFrame:
    """Return the results of metrics.json as the rows of metrics.tsv.

    Returns:
        Columns `TSV_COLUMNS`, chrom "pooled" for all, `of` "model", "base", "floor" or "ceiling"; NaN where
        not defined, or not measured in that scale.
    """
    rows = [
        (track, name, chrom, int(bin_size), scale, *(numbers.get(column) for column in TSV_COLUMNS[5:-1]), of)
        for of, found in measured(metrics)
        for track, sets in found["results"].items()
        for name, result in sets.items()
        for chrom, by_bin in ((POOLED, result["pooled"]), *result["chroms"].items())
        for bin_size, by_scale in by_bin.items()
        for scale, numbers in by_scale.items()
    ]
    return pd.DataFrame(rows, columns=TSV_COLUMNS).astype(dict.fromkeys(TSV_COLUMNS[6:-1], np.float64))


def _fitting_bin_sizes(config: AtacConfig, bin_sizes: Sequence[int] | None) -> list[int]:
    """Return the bin sizes to evaluate, each once and ascending."""
    if bin_sizes is None:
        fitting = {size for size in (config.bin_size * k for k in (1, 4, 32)) if config.target_length % size == 0}
        return sorted(fitting | {tile_length(config)})
    for size in bin_sizes:
        if size <= 0 or size % config.bin_size or config.target_length % size:
            raise ValueError(
                f"bin sizes must be multiples of the data's {config.bin_size} bp that divide the target of "
                f"{config.target_length} bp, got {size}"
            )
    return sorted(set(bin_sizes))


def _comparisons(
    store: GenomeStore, windows: pd.DataFrame, config: AtacConfig, cutoff: float | None
) -> list[PeakComparison]:
    """Return what compares the peaks of each track."""
    cutoffs = [cutoff] * config.num_tracks if cutoff is not None else []
    if cutoff is None:
        some = windows.iloc[np.unique(np.linspace(0, len(windows) - 1, _CUTOFF_WINDOWS).astype(int))]
        starts = store.flat_starts(some) + config.crop_bins * store.bin_size
        true = store.gather(starts, config.target_length)[1]
        if store.has_masks:
            true = np.where(store.gather_mask(starts, config.target_length) > 0, true, np.nan)
        cutoffs = [default_cutoff(true[:, track]) for track in range(config.num_tracks)]
    return [PeakComparison(CallRule(each), bin_size=store.bin_size) for each in cutoffs]


def _add_peak_signal(states: States, predicted: np.ndarray, true: np.ndarray, store: GenomeStore) -> None:
    """Add the mean signal of a batch's peaks to the states of its chromosome."""
    width = peak_signal.peak_width(store.bin_size, true.shape[-1] * store.bin_size)
    add_bins(states, width, *(peak_signal.peak_means(side, bin_size=store.bin_size) for side in (predicted, true)))


def _calibration(by_chrom: dict[str, States], track: int, size: int) -> dict[str, Any]:
    """Return how the finest bins of a set agree where the prediction, or the quantile, is the same."""
    levels = pooled({chrom: {(track, size): states[track, size]} for chrom, states in by_chrom.items()})[track, size]
    return {"bins": levels.levels.calibration(), "quantiles": levels.levels.quantiles()}
