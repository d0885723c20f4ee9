"""What stands beside a model's numbers: a floor, its untuned base, and the ceiling of the data.

Each is a dictionary of the form of the model's own numbers, under "floor", "base" and "ceiling" of metrics.json; where
one was not made it has no `results` but says `why`.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.store_inputs import TrackSource
from ..datasets_scripts.window_labels import LabelRule
from ..modeling import AtacForTrackPrediction
from .class_measures import ClassWindows
from .differences import DifferenceMoments
from .floor import (
    FloorWindows,
    fit_class_floor,
    fit_track_floor,
    predict_tiles,
    predict_windows,
    tile_length,
)
from .half_agreement import as_recorded, half_agreement
from .load import Classifier, output_names
from .track_states import POOLED, States, add_signal, rebin, results_of_track
from .untuned_base import UntunedBase, base_logits, base_signal, output_mix, why_not_comparable

BESIDE = ("base", "floor", "ceiling")
MODEL = "model"
DIFFERENCE_BIN = 128  # bp

Signals = Iterable[tuple[str, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Beside:
    """What to measure beside a model.

    Attributes:
        floor: windows to fit it on, or why there is none.
        base: the model that the run started from, or why there is none.
        reads: files of reads named for tracks of the store, whose halves make the ceiling.
    """

    floor: FloorWindows | str
    base: UntunedBase | str
    reads: Sequence[TrackSource] = ()


def measured(metrics: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield "model" and each of `BESIDE` that has numbers, with them."""
    yield MODEL, metrics
    for name in BESIDE:
        found = metrics.get(name) or {}
        if found.get("results"):
            yield name, found


def beside_classes(
    beside: Beside,
    model: Classifier,
    store: GenomeStore,
    scene: ClassWindows,
    logits: np.ndarray,
    rule: LabelRule,
    **options: Any,
) -> dict[str, Any]:
    """Measure floor and base on the windows of a classifier.

    Args:
        beside: what to measure.
        model: the classifier.
        store: with one track a label.
        scene: the windows.
        logits: (n, T) of the model.
        rule: when a window is open.
        **options: of `base_logits`: batch_size, device, average_rc.

    Returns:
        `floor` and `base`: what `ClassWindows.measure` gives of each and what is told of it; of the base also `outputs`
        and `gain`.

    Raises:
        ValueError: reads were given.
    """
    if beside.reads:
        raise ValueError("--reads is for track models: a classifier is compared with no signal, leave it out")
    found: dict[str, Any] = {"floor": {"why": beside.floor}, "base": {"why": beside.base}}
    if isinstance(beside.floor, FloorWindows):
        try:
            ridge, told = fit_class_floor(store, beside.floor, rule)
            found["floor"] = {**told, **scene.measure(predict_windows(ridge, store, scene.windows))}
        except ValueError as error:  # of the data: too little of it, or a track that was never measured
            found["floor"] = {"why": str(error)}
    base, why = _comparable(beside.base, model)
    if base is not None:
        scores = base_logits(base, store, scene.windows, scene.names, **options)
        _, outputs = output_mix(output_names(base.model), scene.names)
        gain = scene.gain(logits, scores)
        found["base"] = {"model": base.name, "outputs": outputs, **scene.measure(scores), "gain": gain}
    else:
        found["base"] = {"why": why}
    return found


def beside_tracks(
    beside: Beside,
    model: AtacForTrackPrediction,
    store: GenomeStore,
    windows: dict[str, pd.DataFrame],
    bin_sizes: Sequence[int],
    **options: Any,
) -> dict[str, Any]:
    """Measure floor, base and ceiling on the windows of a track model.

    Args:
        beside: what to measure.
        model: the track model.
        store: its data.
        windows: each set's, "genome_wide" among them.
        bin_sizes: bp.
        **options: of `base_signal`: batch_size, device, average_rc.

    Returns:
        `floor` (its tiles alone), `base` (every set) and `ceiling` (pooled Pearson of log1p).

    Raises:
        FileNotFoundError: a file of reads is missing.
        ValueError: reads of no track, or that do not fit.
    """
    config, names = model.config, store.track_names
    found: dict[str, Any] = {"floor": {"why": beside.floor}, "ceiling": {"why": "no reads were given (--reads)"}}
    if beside.reads:  # first: a wrong file is told before the long part
        found["ceiling"] = _ceiling(beside.reads, store, windows["genome_wide"], model, bin_sizes)
    if isinstance(beside.floor, FloorWindows):
        try:
            ridge, told = fit_track_floor(store, beside.floor, config)
            tile = tile_length(config)
            tiles = predict_tiles(ridge, store, windows["genome_wide"], config)
            found["floor"] = {**told, **_measure({"genome_wide": tiles}, store, [tile], bin_size=tile)}
        except ValueError as error:
            found["floor"] = {"why": str(error)}
    base, why = _comparable(beside.base, model)
    if base is not None:
        sets: dict[str, Signals] = {
            name: base_signal(base, store, table, config, **options) for name, table in windows.items()
        }
        _, outputs = output_mix(output_names(base.model), names)
        numbers = _measure(sets, store, bin_sizes, bin_size=store.bin_size)
        found["base"] = {"model": base.name, "outputs": outputs, **numbers}
    else:
        found["base"] = {"why": why}
    return found


def difference_sizes(bin_sizes: Sequence[int]) -> list[int]:
    """Return the bin sizes, of those evaluated, at which differences between tracks are compared: 128 bp and above."""
    return [size for size in bin_sizes if size >= DIFFERENCE_BIN] or list(bin_sizes[-1:])


def add_differences(
    moments: dict[int, DifferenceMoments], predicted: np.ndarray, true: np.ndarray, *, bin_size: int, summary: str
) -> None:
    """Add a batch (B, T, N), raw units, to the moments of each bin size, in log1p."""
    for size, state in moments.items():
        sides = (rebin(side, size // bin_size, summary=summary) for side in (predicted, true))
        state.add(*(np.log1p(side).transpose(0, 2, 1).reshape(-1, side.shape[1]) for side in sides))


def _measure(sets: dict[str, Signals], store: GenomeStore, sizes: Sequence[int], *, bin_size: int) -> dict[str, Any]:
    """Return `results` and, of several tracks, `differences` of what predicts bins of `bin_size` bp."""
    names = store.track_names
    scores: dict[str, dict[str, States]] = {name: {} for name in sets}
    moments = {size: DifferenceMoments(len(names)) for size in difference_sizes(sizes)} if len(names) > 1 else {}
    joining: Any = {"bin_size": bin_size, "summary": store.summary}
    for name, signals in sets.items():
        for chrom, predicted, true in signals:
            add_signal(scores[name].setdefault(chrom, {}), predicted, true, sizes, **joining)
            if name == "genome_wide":
                add_differences(moments, predicted, true, **joining)
    results = {
        track: {name: results_of_track(by_chrom, i) for name, by_chrom in scores.items() if by_chrom}
        for i, track in enumerate(names)
    }
    differences = {str(size): state.summary(names) for size, state in moments.items()}
    return {"results": results, **({"differences": differences} if differences else {})}


def _ceiling(
    reads: Sequence[TrackSource],
    store: GenomeStore,
    windows: pd.DataFrame,
    model: AtacForTrackPrediction,
    bin_sizes: Sequence[int],
) -> dict[str, Any]:
    began = time.monotonic()
    context = model.config.crop_bins * store.bin_size
    targets = windows.assign(start=windows["start"] + context, end=windows["end"] - context)
    results, files = {}, {}
    for given in reads:
        source = as_recorded(given, store)
        sizes = half_agreement(source, store, targets, bin_sizes)
        by_scale = {size: {"log1p": numbers} for size, numbers in sizes.items()}
        results[source.name] = {"genome_wide": {POOLED: by_scale, "chroms": {}}}
        files[source.name] = {"file": source.path.name, "tn5_shift": list(source.tn5_shift)}
    return {"reads": files, "results": results, "seconds": round(time.monotonic() - began, 1)}


def _comparable(base: UntunedBase | str, model: Any) -> tuple[UntunedBase | None, str]:
    """Return the base on the model's device, or None and why there is none."""
    if isinstance(base, str):
        return None, base
    why = why_not_comparable(base, model)
    if why:
        return None, why
    moved: Any = base.model
    return replace(base, model=moved.to(model.device)), ""
