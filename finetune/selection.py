"""The windows a run trains and validates on."""

import math
from typing import Any

import numpy as np
import pandas as pd

from ..datasets_scripts.dataset import WindowPlan, evaluation_windows, training_windows
from ..datasets_scripts.store import GenomeStore
from ..modeling import AtacConfig
from .recipe import Recipe


def select_windows(
    recipe: Recipe, store: GenomeStore, config: AtacConfig
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return the training windows, the validation windows, and a report of what was dropped.

    Training windows are drawn by the recipe's seed where it asks for some of them; validation windows tile the
    validation part, every one or so many evenly spread. Those of a classifier are chosen as its training windows are.

    Raises:
        ValueError: a part of the split has no window.
    """
    if recipe.max_jitter % store.bin_size:
        raise ValueError(f"`max_jitter` must be a multiple of the bin size {store.bin_size}, got {recipe.max_jitter}")
    chosen = recipe.windows
    plan = WindowPlan(
        kind=chosen.kind,
        stride=chosen.stride,
        max_unmappable=chosen.max_unmappable,
        negative_ratio=chosen.negative_ratio,
        seed=recipe.seed,
    )
    train_windows, train_report = training_windows(
        store, plan, input_length=config.input_length, max_jitter=recipe.max_jitter
    )
    if recipe.task == "classification":
        valid_windows, valid_report = training_windows(
            store, plan, input_length=config.input_length, max_jitter=0, part="valid"
        )
    else:
        valid_windows, valid_report = evaluation_windows(
            store, "valid", input_length=config.input_length, target_length=config.target_length, kind="tile"
        )
    for part, windows in (("train", train_windows), ("valid", valid_windows)):
        if len(windows) == 0:
            raise ValueError(f"no window of {config.input_length} bp is left in the {part} part of {recipe.data!r}")
    keep = math.ceil(chosen.fraction * len(train_windows))
    keep = min(keep, chosen.max_windows or keep)
    drawn = np.sort(np.random.default_rng(recipe.seed).permutation(len(train_windows))[:keep])
    train_report = {**train_report, "drawn": keep}
    if recipe.max_eval_windows and recipe.max_eval_windows < len(valid_windows):
        spread = np.linspace(0, len(valid_windows) - 1, recipe.max_eval_windows).round().astype(int)
        valid_windows = valid_windows.iloc[spread].reset_index(drop=True)
    return (
        train_windows.iloc[drawn].reset_index(drop=True),
        valid_windows,
        {"train": train_report, "valid": {**valid_report, "drawn": len(valid_windows)}},
    )
