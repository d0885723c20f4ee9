"""How well a landscape model predicts transcription: by bin and by gene, beside a linear model.

Measures as in RasmussenLab/CLASTER: bin-wise all bins of all genes of the part, flattened, in log2(1 + signal);
gene-wise the area by Simpson's rule over a gene's body by its width, in raw units. A bin past a chromosome's end does
not count, and a gene does that is wholly predicted.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.folds import Part
from ..datasets_scripts.landscape import LandscapeData
from ..modeling import ClasterForProfileRegression
from .gene_effects import gene_bins, simpson
from .linear_landscape import fit_linear
from .perturb import check_shape, predict_profiles
from .provenance import library_versions, part_intervals
from .ranking import spearman

TASK = "landscape"
LEVELS = ("bins", "genes", "start_sites")
SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"log2p1": lambda x: np.log2(1 + x), "raw": np.asarray}
MEASURES = ("pearson", "spearman", "r2", "mse", "mae")
TSV_COLUMNS = ["track", "level", "predictor", "scale", "n", *MEASURES]


def evaluate_landscape(
    model: ClasterForProfileRegression,
    data: LandscapeData,
    *,
    part: Part = "test",
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], np.ndarray]:
    """Evaluate a landscape model, and a linear one fitted on the training part of the same data.

    Args:
        model: in evaluation mode.
        data: landscapes of the model's shape.
        part: "train", "valid" or "test".
        batch_size: genes predicted at once.
        progress: told how many genes are done.

    Returns:
        What metrics.json holds, and the model's predictions (n, T, N) in raw units. `results[track][level][predictor]`
        has "log2p1" and "raw", each with `n` and `MEASURES`, None where one is not defined. Levels: "bins"; "genes",
        their mean signal; "start_sites", that of two bins before the start site to three after it. Predictors: "model";
        "linear", where the data have a training part.

    Raises:
        ValueError: the model reads other landscapes, or the part has no gene.
    """
    check_shape(model, data)
    names = list(model.config.track_names or ())
    if len(names) != len(data.track_names) or (len(names) > 1 and names != data.track_names):
        raise ValueError(
            f"the model's tracks are {', '.join(names)}, but those of {data.path} are {', '.join(data.track_names)}; "
            "build the data anew with the same names in the same order"
        )
    rows = data.rows(part)
    if not len(rows):
        raise ValueError(f"no gene lies in the {part} part of {data.path}; build it with --valid and --test")
    if progress:
        progress(0, len(rows))
    trained_on = data.rows("train")
    linear = fit_linear(data, trained_on) if len(trained_on) else None
    sides: dict[str, list[np.ndarray]] = {"model": [], "linear": []}
    for i in range(0, len(rows), batch_size):
        chosen = rows[i : i + batch_size]
        landscapes = np.asarray(data.landscapes[chosen])
        sides["model"].append(predict_profiles(model, data, list(chosen), landscapes))
        if linear is not None:
            sides["linear"].append(linear.predict(landscapes))
        if progress:
            progress(min(i + batch_size, len(rows)), len(rows))
    predicted = {name: np.concatenate(pieces) for name, pieces in sides.items() if pieces}
    true = np.asarray(data.targets[rows], np.float64)
    results = {
        track: track_results({name: array[:, t] for name, array in predicted.items()}, true[:, t], data, rows)
        for t, track in enumerate(data.track_names)
    }
    metrics = {
        "task": TASK,
        "part": part,
        "data": {
            "name": data.path.resolve().name,
            "genome": data.genome,
            "fingerprint": data.fingerprint,
            "bin_size": data.grid.bin_size,
            "input_tracks": data.input_tracks,
            "tracks": data.track_names,
        },
        "intervals": [f"{c.chrom}:{start}-{end}" for c in part_intervals(data, part) for start, end in c.intervals],
        "reverse_complement": False,
        "bf16": torch.is_autocast_enabled(model.device.type),
        "windows": {"genes": len(rows), "linear_fitted_on": len(trained_on)},
        "results": results,
        "versions": library_versions(),
    }
    return metrics, predicted["model"]


def gene_signal(profiles: np.ndarray, genes: pd.DataFrame, data: LandscapeData, *, measure: str) -> np.ndarray:
    """Return the mean signal of each gene in the profile around it: its area by its width.

    Args:
        profiles: (n, N) raw signal.
        genes: (n) rows of the folder's table.
        data: the folder.
        measure: as of `gene_bins`.

    Returns:
        (n,), NaN for a gene that is not wholly predicted.
    """
    grid, found = data.grid, np.full(len(genes), np.nan)
    for i, gene in enumerate(genes.to_dict("records")):
        bins = gene_bins(
            gene["start"],
            gene["end"],
            gene["tss"],
            gene["strand"],
            origin=gene["tss"] + grid.target_start,
            num_bins=grid.num_bins,
            bin_size=grid.bin_size,
            measure=measure,
        )
        if bins is not None:
            found[i] = simpson(np.asarray(profiles[i, slice(*bins)], np.float64)) / max(bins[1] - bins[0] - 1, 1)
    return found


def compare_sides(predicted: np.ndarray, true: np.ndarray) -> dict[str, dict[str, float | int | None]]:
    """Return n and `MEASURES` of two sides (n,) in each of `SCALES`; None where one is not defined."""
    return {scale: _measures(transform(predicted), transform(true)) for scale, transform in SCALES.items()}


def flatten_landscape_metrics(metrics: dict[str, Any]) -> pd.DataFrame:
    """Return the results of a landscape model's metrics.json as the rows of metrics.tsv."""
    rows = [
        (track, level, predictor, scale, *(numbers[key] for key in TSV_COLUMNS[4:]))
        for track, levels in metrics["results"].items()
        for level, predictors in levels.items()
        for predictor, scales in predictors.items()
        for scale, numbers in scales.items()
    ]
    return pd.DataFrame(rows, columns=TSV_COLUMNS).astype(dict.fromkeys(MEASURES, float))


def track_results(
    predicted: dict[str, np.ndarray], true: np.ndarray, data: LandscapeData, rows: np.ndarray
) -> dict[str, Any]:
    """Return one track's numbers of predictors' profiles (n, N)."""
    genes, counted = data.genes.iloc[rows], np.asarray(data.mask[rows], bool)
    found: dict[str, Any] = {level: {} for level in LEVELS}
    found["bins"] = {name: compare_sides(array[counted], true[counted]) for name, array in predicted.items()}
    for level, measure in (("genes", "gene"), ("start_sites", "tss")):
        signal = gene_signal(true, genes, data, measure=measure)
        known = ~np.isnan(signal)
        for name, array in predicted.items():
            of_genes = gene_signal(array, genes, data, measure=measure)
            found[level][name] = compare_sides(of_genes[known], signal[known])
    return found


def _measures(predicted: np.ndarray, true: np.ndarray) -> dict[str, float | int | None]:
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    found: dict[str, float | int | None] = {"n": len(true), **dict.fromkeys(MEASURES)}
    if not len(true):
        return found
    error = predicted - true
    found["mse"], found["mae"] = float(np.square(error).mean()), float(np.abs(error).mean())
    if np.ptp(true) > 0:
        found["r2"] = float(1 - np.square(error).sum() / np.square(true - true.mean()).sum())
        if np.ptp(predicted) > 0:
            found["pearson"] = float(np.corrcoef(predicted, true)[0, 1])
            found["spearman"] = spearman(predicted, true)
    return found
