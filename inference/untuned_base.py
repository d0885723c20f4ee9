"""The model that a run started from, on the same windows: what fine-tuning had to add to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.store_files import PADDING
from ..modeling import AtacConfig, AtacForTrackPrediction
from .averaging import BOTH_STRANDS
from .class_predictions import class_logits
from .floor import read_signal
from .load import Classifier, output_names
from .predict import predict_batches


@dataclass(frozen=True)
class UntunedBase:
    """A base.

    Attributes:
        name: folder's name or Hub id, as it is reported.
        model: in evaluation mode.
    """

    name: str
    model: AtacForTrackPrediction | Classifier


def output_mix(of_base: Sequence[str], tracks: Sequence[str]) -> tuple[np.ndarray, dict[str, str]]:
    """Say which outputs of a base stand for each track: that of its name, the only one, else the mean of all.

    Returns:
        (outputs of the base, T) weights that sum to 1 for each track, and in words the output of each track.
    """
    weights, words = np.zeros((len(of_base), len(tracks))), {}
    for i, track in enumerate(tracks):
        if track in of_base or len(of_base) == 1:
            row = list(of_base).index(track) if track in of_base else 0
            weights[row, i] = 1
            words[track] = of_base[row]
        else:
            weights[:, i] = 1 / len(of_base)
            words[track] = f"mean of {len(of_base)} outputs"
    return weights, words


def why_not_comparable(base: UntunedBase, model: Any) -> str:
    """Say why a base cannot stand beside a model; "" where it can."""
    one: Any = base.model.config
    other: Any = model.config
    if isinstance(base.model, AtacForTrackPrediction) != isinstance(model, AtacForTrackPrediction):
        return f"the base {base.name} predicts something else, it is a {type(base.model).__name__}"
    reach = abs(one.input_length - other.input_length) // 2
    if not isinstance(base.model, AtacForTrackPrediction):
        return "" if reach <= PADDING else f"windows of the base {base.name} reach more than {PADDING} bp further"
    for what, key in (("bin size", "bin_size"), ("summary", "target_summary")):
        if getattr(one, key) != getattr(other, key):
            return f"the {what} of the base {base.name} is {getattr(one, key)}, and the model's {getattr(other, key)}"
    if one.input_length < other.target_length or reach > PADDING // 2:
        return f"the base {base.name} reads {one.input_length} bp, which does not fit targets of {other.target_length}"
    return ""


def base_logits(
    base: UntunedBase, store: GenomeStore, windows: pd.DataFrame, tracks: Sequence[str], **options: Any
) -> np.ndarray:
    """Score windows with a base that is a classifier, on windows of its own length with the same centres.

    Args:
        base: a classifier.
        store: gives the bases.
        windows: columns chrom, start, end, of one length.
        tracks: T names; `output_mix` says which output stands for each.
        **options: `batch_size`, and what `class_logits` takes.

    Returns:
        (n, T) logits.
    """
    model: Any = base.model
    length, size = model.config.input_length, options.pop("batch_size", 64)
    starts = store.flat_starts(windows) + (windows["end"] - windows["start"]).to_numpy(np.int64) // 2 - length // 2
    batches = (store.gather_codes(starts[i : i + size], length) for i in range(0, len(starts), size))
    weights, _ = output_mix(output_names(model), tracks)
    return np.concatenate(list(class_logits(model, batches, **options))) @ weights.astype(np.float32)


def base_signal(
    base: UntunedBase,
    store: GenomeStore,
    windows: pd.DataFrame,
    config: AtacConfig,
    *,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    average_rc: bool = BOTH_STRANDS,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Predict the targets of a model's windows with its base, a track model, and read their true signal.

    Args:
        base: with the model's bin size and summary.
        store: with T tracks.
        windows: the model's.
        config: of the model.
        batch_size: windows predicted at once.
        device: as in `predict_batches`.
        average_rc: as in `predict_batches`.

    Yields:
        Chromosome, predicted and true signal of the targets, both (B, T, target bins) in raw units; NaN where masked.
    """
    model: Any = base.model
    weights, _ = output_mix(output_names(model), store.track_names)
    target, length = config.target_length, model.config.input_length
    before = (length - target) // 2 // config.bin_size * config.bin_size  # bp of the base's window before the target
    bins = slice(before // config.bin_size, (before + target) // config.bin_size)
    for chrom, rows in windows.groupby("chrom", sort=False):
        targets = store.flat_starts(rows) + config.crop_bins * config.bin_size
        for i in range(0, len(targets), batch_size):
            starts = targets[i : i + batch_size]
            codes = store.gather_codes(starts - before, length)
            options = {"device": device, "average_rc": average_rc, "target_only": False}
            (predictions,) = predict_batches(model, [codes], **options)
            signal = model.to_signal(torch.from_numpy(predictions[..., bins])).numpy()
            mixed = np.einsum("bon,ot->btn", signal, weights.astype(np.float32))
            yield str(chrom), mixed, read_signal(store, starts, target)[1]
