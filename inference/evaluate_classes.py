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
"differences" asks the same of two types: Pearson's r of the difference of two logits with that of two signals.

Beside the model's numbers stand those of a floor and of the base that the run started from (beside.py).
"""

from typing import Any

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.chosen_tracks import ChosenTracks
from ..datasets_scripts.dataset import WindowPlan, training_windows
from ..datasets_scripts.folds import Part
from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.window_labels import rule_of
from .averaging import BOTH_STRANDS
from .beside import Beside, beside_classes, measured
from .class_measures import MEAN, ClassWindows
from .class_predictions import class_logits
from .load import Classifier, output_names
from .predict import Progress
from .provenance import library_versions, part_intervals

TASK = "classification"
TSV_COLUMNS = ["track", "set", "n", "positives", "auroc", "auprc", "of"]


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
    beside: Beside | None = None,
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
        beside: floor and base to measure on the same windows; None measures the model alone.
        progress: told how many windows are done.

    Returns:
        What metrics.json holds: `task`, `part`, `data`, `intervals`, `reverse_complement`, `bf16`, `labels` (the rule),
        `windows` (a report), `results`, `peak_signal` and `versions`. `results[track][set]` holds `n`, `positives`,
        `auroc` and `auprc`, None where one kind of window is missing; `mean[set]` the means over tracks that have them;
        `peak_signal[track]` a correlation, None where peaks of a track do not differ; of several tracks `differences`
        (`ClassWindows.measure`); with `beside` also `floor` and `base` (`beside_classes`).

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
    logits = np.concatenate(scores)
    scene = ClassWindows.of(store, windows, rule, negative_ratio=negative_ratio, seed=seed)
    options: dict[str, Any] = {"batch_size": batch_size, "device": device, "average_rc": average_rc}
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
        **scene.measure(logits),
        **({} if beside is None else beside_classes(beside, model, store, scene, logits, rule, **options)),
        "versions": library_versions(),
    }


def store_for(names: list[str], store: GenomeStore) -> GenomeStore:
    """Return the store with the tracks that a model names, in its order; the store itself where it has not all."""
    if names == store.track_names or not set(names) <= set(store.track_names):
        return store
    return ChosenTracks.of(store, names)


def flatten_class_metrics(metrics: dict[str, Any]) -> pd.DataFrame:
    """Return the results of a classifier's metrics.json as the rows of metrics.tsv, each predictor's means last."""
    keys, rows = TSV_COLUMNS[2:-1], []
    for of, found in measured(metrics):
        for track, sets in (*found["results"].items(), (MEAN, found[MEAN])):
            rows += [(track, name, *(result.get(key) for key in keys), of) for name, result in sets.items()]
    return pd.DataFrame(rows, columns=TSV_COLUMNS).astype(
        {"auroc": float, "auprc": float, "n": "Int64", "positives": "Int64"}
    )
