"""How well a classifier tells open from closed windows of a part of a store, and one cell type's from another's.

Windows are chosen as for training: one around each cluster of summits of any track of the store, and windows of the
same GC content away from all peaks; each lies whole inside the part and off the blacklist. Labels are made from the
store's signal by the model's `label_rule`. Of each track the windows that are open in it, its positives, are told
from two kinds of others:

* "closed": windows without a peak of any track, drawn so that their GC content is distributed as that of this track's
  positives. A low bar: open sites have much in common whatever the cell type.
* "other_types": windows around peaks of other tracks that are not open in this one. What is specific to a cell type
  must be known to pass.

AUROC is by ranks and AUPRC is average precision (ranking.py); with `positives` and `n` beside them, since a random
order has an AUPRC of positives / n.

Where tracks hold how strong a peak is, "peak_signal" says whether a stronger peak gets a higher score: the Pearson
correlation of the logit with log1p of the mean signal of the central 200 bp, over the windows with a peak of any track.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.chosen_tracks import ChosenTracks
from ..datasets_scripts.dataset import WindowPlan, training_windows
from ..datasets_scripts.folds import Part
from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.window_labels import rule_of, window_labels
from ..datasets_scripts.windows import NUM_GC_BINS, covered_bp, gc_bins
from .averaging import BOTH_STRANDS
from .class_predictions import class_logits
from .load import Classifier, output_names
from .metrics import PearsonState, finite_or_none
from .peak_signal import window_peak_means
from .predict import Progress
from .provenance import library_versions, part_intervals
from .ranking import auroc, average_precision

TASK = "classification"
SETS = ("closed", "other_types")
TSV_COLUMNS = ["track", "set", "n", "positives", "auroc", "auprc"]
MEAN = "mean"


def evaluate_classes(
    model: Classifier,
    store: GenomeStore,
    *,
    part: Part = "test",
    negative_ratio: float = 1.0,
    seed: int = 0,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    average_rc: bool = BOTH_STRANDS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate a classifier; every window is scored once, whatever it is compared with.

    Args:
        model: in evaluation mode.
        store: with one track a label, in the order of the labels (`store_for`).
        part: "train", "valid" or "test".
        negative_ratio: closed windows per positive; where GC content runs out there are fewer.
        seed: of the choice of closed windows.
        batch_size: windows scored at once.
        device: where the model is moved first; None leaves it where it is.
        average_rc: average both strands' logits.
        progress: told how many windows are done.

    Returns:
        What metrics.json holds: `task`, `part`, `data`, `intervals`, `reverse_complement`, `bf16`, `labels` (the rule),
        `windows` (a report), `results`, `peak_signal` and `versions`. `results[track][set]` holds `n`, `positives`,
        `auroc` and `auprc`, None where one kind of window is missing; `mean[set]` the means over tracks that have them;
        `peak_signal[track]` a correlation, None where peaks of a track do not differ.

    Raises:
        ValueError: a store without peaks, of other tracks, or whose bins do not fit the label rule.
    """
    names, rule = output_names(model), rule_of(model.config.label_rule)
    if len(names) != len(store.track_names):
        raise ValueError(f"the model has labels {names}, but {store.path} has tracks {store.track_names}")
    plan = WindowPlan("peaks+background", negative_ratio=negative_ratio, seed=seed)
    windows, report = training_windows(store, plan, input_length=model.config.input_length, max_jitter=0, part=part)
    if progress:
        progress(0, len(windows))
    starts, scores = store.flat_starts(windows), []
    batches = (
        store.gather_codes(starts[i : i + batch_size], model.config.input_length)
        for i in range(0, len(windows), batch_size)
    )
    for logits in class_logits(model, batches, device=device, average_rc=average_rc):
        scores.append(logits)
        if progress:
            progress(sum(map(len, scores)), len(windows))
    labels, known = window_labels(store, windows, rule)
    has_peak = covered_bp(windows, store.peaks) > 0
    gc = gc_bins(store, windows)
    logits = np.concatenate(scores)
    results = {
        name: class_scores(logits[:, i], labels[:, i], known[:, i], has_peak, gc, negative_ratio, seed)
        for i, name in enumerate(store.track_names)
    }
    signal = np.log1p(window_peak_means(store, windows))
    correlations = {
        name: _pearson(logits[has_peak & known[:, i], i], signal[has_peak & known[:, i], i])
        for i, name in enumerate(store.track_names)
    }
    return {
        "task": TASK,
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
        "labels": {"width": rule.width, "threshold": rule.threshold, "min_covered": rule.min_covered},
        "negative_ratio": negative_ratio,
        "windows": report,
        "results": results,
        "peak_signal": correlations,
        MEAN: {name: _mean([result[name] for result in results.values()]) for name in SETS},
        "versions": library_versions(),
    }


def class_scores(
    scores: np.ndarray,
    labels: np.ndarray,
    known: np.ndarray,
    has_peak: np.ndarray,
    gc: np.ndarray,
    negative_ratio: float,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return the numbers of one track.

    Args:
        scores: (n,) any rising function of the probability.
        labels: (n,) bool.
        known: (n,) bool, whether the track was measured there.
        has_peak: (n,) bool, whether a window has a peak of any track.
        gc: (n,) bin of each window's GC content, below `NUM_GC_BINS`.
        negative_ratio: closed windows per positive.
        seed: of their choice.
    """
    positives = np.flatnonzero(labels & known)
    others = {
        "closed": np.flatnonzero(~has_peak & ~labels & known),
        "other_types": np.flatnonzero(has_peak & ~labels & known),
    }
    others["closed"] = matched_rows(gc[positives], others["closed"], gc, ratio=negative_ratio, seed=seed)
    found = {}
    for name, negatives in others.items():
        chosen = np.concatenate([positives, negatives])
        is_open = np.arange(len(chosen)) < len(positives)
        measures = {"auroc": auroc(scores[chosen], is_open), "auprc": average_precision(scores[chosen], is_open)}
        found[name] = {"n": len(chosen), "positives": len(positives)} | {
            k: finite_or_none(v) for k, v in measures.items()
        }
    return found


def matched_rows(wanted: np.ndarray, rows: np.ndarray, gc: np.ndarray, *, ratio: float, seed: int) -> np.ndarray:
    """Draw rows whose GC content is distributed as wanted.

    Args:
        wanted: (m,) GC bins to match.
        rows: candidates.
        gc: (n,) GC bin by row.
        ratio: rows per wanted one; a bin that runs out takes none from others.
        seed: of the draw.

    Returns:
        Some of `rows`, ascending.
    """
    order = np.random.default_rng(seed).permutation(rows)
    quota = np.round(np.bincount(wanted, minlength=NUM_GC_BINS) * ratio).astype(int)
    drawn = [order[gc[order] == b][: quota[b]] for b in np.flatnonzero(quota)]
    return np.sort(np.concatenate(drawn)) if drawn else np.zeros(0, np.int64)


def store_for(names: list[str], store: GenomeStore) -> GenomeStore:
    """Return the store with the tracks that a model names, in its order; the store itself where it has not all."""
    if names == store.track_names or not set(names) <= set(store.track_names):
        return store
    return ChosenTracks.of(store, names)


def flatten_class_metrics(metrics: dict[str, Any]) -> pd.DataFrame:
    """Return the results of a classifier's metrics.json as the rows of metrics.tsv, the means last."""
    rows = [
        (track, name, *(result[key] for key in TSV_COLUMNS[2:]))
        for track, sets in metrics["results"].items()
        for name, result in sets.items()
    ]
    rows += [(MEAN, name, *(result.get(key) for key in TSV_COLUMNS[2:])) for name, result in metrics[MEAN].items()]
    return pd.DataFrame(rows, columns=TSV_COLUMNS).astype(
        {"auroc": float, "auprc": float, "n": "Int64", "positives": "Int64"}
    )


def _mean(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean of each measure over the tracks that have it."""
    found = {}
    for key in ("auroc", "auprc"):
        values = [result[key] for result in results if result[key] is not None]
        found[key] = sum(values) / len(values) if values else None
    return found


def _pearson(scores: np.ndarray, signal: np.ndarray) -> float | None:
    """Correlate two (n,) arrays; None where one of them is constant."""
    state = PearsonState()
    state.update(scores, signal)
    return finite_or_none(state.compute())
