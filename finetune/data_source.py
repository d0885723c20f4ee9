"""What a recipe's `data` may be: the folder of a store, or exported windows in a folder or on the Hub."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..datasets_scripts.chosen_tracks import ChosenTracks
from ..datasets_scripts.dataset import WindowDataset, WindowPlan
from ..datasets_scripts.shard_windows import ShardWindows
from ..datasets_scripts.shards import LAYOUT_FILE, Shards, is_dataset_id
from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.streaming import StreamingWindows
from ..datasets_scripts.window_labels import LabelledWindows, LabelRule
from ..modeling import AtacConfig
from .recipe import Recipe, WindowRecipe
from .selection import select_windows

ROW = "row"  # column of a table of windows: its row among the exported windows of the part


def open_data(name: str, tracks: Sequence[str] | None = None) -> GenomeStore | Shards:
    """Open a recipe's data.

    Args:
        name: folder of a store or of exported windows, or ORG/NAME of exported windows on the Hub.
        tracks: names of a store's tracks to take; None for all.

    Raises:
        FileNotFoundError: none of these.
        ValueError: damaged, an unknown track, or tracks of an export.
        OSError: the Hub cannot be reached.
    """
    on_hub = not Path(name).expanduser().exists() and is_dataset_id(name)
    if on_hub or (Path(name).expanduser() / LAYOUT_FILE).is_file():
        shards = Shards.open(name)
        if tracks is not None and list(tracks) != list(shards.track_names):
            raise ValueError(f"{name} is an export, whose tracks {shards.track_names} are read together: drop `tracks`")
        return shards
    store = GenomeStore.open(name)
    return store if tracks is None else ChosenTracks.of(store, tracks)


def choose_windows(
    recipe: Recipe, data: GenomeStore | Shards, config: AtacConfig
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return the training windows, the validation windows, and a report of what was dropped, as `select_windows` does.

    Of exported windows, `fraction`, `max_windows` and `max_eval_windows` choose as they do of a store's; the other
    rules were applied when they were exported.

    Raises:
        ValueError: a part has no window, or the export does not fit the recipe or the model.
    """
    if isinstance(data, GenomeStore):
        return select_windows(recipe, data, config)
    _check_export(recipe, data, config)
    data.check_whole(*_parts(data))
    train, valid = (data.windows(part).assign(**{ROW: lambda table: np.arange(len(table))}) for part in _parts(data))
    keep = math.ceil(recipe.windows.fraction * len(train))
    keep = min(keep, recipe.windows.max_windows or keep)
    drawn = np.sort(np.random.default_rng(recipe.seed).permutation(len(train))[:keep])
    if recipe.max_eval_windows and recipe.max_eval_windows < len(valid):
        spread = np.linspace(0, len(valid) - 1, recipe.max_eval_windows).round().astype(int)
        valid = valid.iloc[spread].reset_index(drop=True)
    report = {
        "train": {**data.reports["train"], "drawn": keep},
        "valid": {**data.reports["valid"], "drawn": len(valid)},
    }
    return train.iloc[drawn].reset_index(drop=True), valid, report


def window_dataset(
    recipe: Recipe, data: GenomeStore | Shards, windows: pd.DataFrame, *, config: AtacConfig, train: bool
) -> WindowDataset | ShardWindows | LabelledWindows:
    """Return the map-style dataset of chosen windows; both kinds give the same batches for the same windows.

    Args:
        recipe: the run's.
        data: from `open_data`.
        windows: from `choose_windows`.
        config: of the model.
        train: for training, with the recipe's jitter, strand and substitutions, or for validation, without.
    """
    options: dict[str, Any] = {"seed": recipe.seed}
    if recipe.task == "tracks":
        options["mappability"] = config.mappability_weight > 0
    if train:
        options |= {"max_jitter": recipe.max_jitter, "reverse_complement": recipe.reverse_complement}
        options["substitutions"] = recipe.substitutions or 0.0
    if isinstance(data, GenomeStore):
        dataset = WindowDataset(data, windows, input_length=config.input_length, **options)
    else:
        dataset = ShardWindows(data, "train" if train else "valid", rows=windows[ROW].to_numpy(), **options)
    if recipe.task == "tracks":
        return dataset
    rule = LabelRule(**recipe.labels.model_dump())
    return LabelledWindows(dataset, rule, input_length=config.input_length, bin_size=data.bin_size)


def unmoved_training_windows(
    recipe: Recipe, data: GenomeStore | Shards, windows: pd.DataFrame, *, config: AtacConfig
) -> WindowDataset | ShardWindows | LabelledWindows:
    """Return the training windows as they lie, without any augmentation; arguments as of `window_dataset`."""
    unmoved = recipe.model_copy(update={"max_jitter": 0, "reverse_complement": False, "substitutions": 0.0})
    return window_dataset(unmoved, data, windows, config=config, train=True)


def training_stream(
    recipe: Recipe, data: Shards, *, config: AtacConfig, rank: int, world_size: int
) -> StreamingWindows:
    """Return a stream of the training windows, for data that no disk here holds.

    Args:
        recipe: the run's.
        data: from `open_data`.
        config: of the model.
        rank: this process.
        world_size: processes.

    Raises:
        ValueError: the recipe takes only some of the windows, or the export does not fit it.
    """
    _check_export(recipe, data, config)
    if recipe.windows.fraction < 1 or recipe.windows.max_windows is not None:
        raise ValueError(
            f"a stream has all windows of {data.name}, got windows.fraction {recipe.windows.fraction} and "
            f"windows.max_windows {recipe.windows.max_windows}; leave them out, or train without streaming"
        )
    return StreamingWindows(
        data,
        "train",
        batch_size=recipe.batch_size // (world_size * recipe.accumulate),
        max_jitter=recipe.max_jitter,
        reverse_complement=recipe.reverse_complement,
        mappability=config.mappability_weight > 0,
        substitutions=recipe.substitutions or 0.0,
        seed=recipe.seed,
        rank=rank,
        world_size=world_size,
    )


def training_dataset(
    recipe: Recipe,
    data: GenomeStore | Shards,
    windows: pd.DataFrame,
    *,
    config: AtacConfig,
    rank: int = 0,
    world_size: int = 1,
) -> WindowDataset | ShardWindows | LabelledWindows | StreamingWindows:
    """Return the training windows as the recipe reads them; arguments as of `window_dataset` and `training_stream`.

    Raises:
        ValueError: a stream of a store, or what those two refuse.
    """
    if not recipe.streaming:
        return window_dataset(recipe, data, windows, config=config, train=True)
    if isinstance(data, GenomeStore):
        raise ValueError(f"streaming is for exported windows, got the store {recipe.data!r}; leave `streaming` out")
    return training_stream(recipe, data, config=config, rank=rank, world_size=world_size)


def _parts(data: Shards) -> tuple[Any, Any]:
    """Return the names of the two parts that training needs."""
    for part in ("train", "valid"):
        if part not in data.files:
            raise ValueError(
                f"no window is left in the {part} part of {data.name!r}: export a store whose split has one"
            )
    return "train", "valid"


def _check_export(recipe: Recipe, data: Shards, config: AtacConfig) -> None:
    """Refuse an export that is not what the recipe asks for or the model reads."""
    for name in ("input_length", "target_length") if recipe.task == "tracks" else ("input_length",):
        made, wanted = getattr(data.layout, name), getattr(config, name)
        if made != wanted:
            raise ValueError(
                f"{data.name} was exported with {name} {made} and the model has {wanted}: export the store again with "
                f"--{name.replace('_', '-')} {wanted}"
            )
    defaults, made = WindowRecipe(), {**vars(WindowPlan()), **data.plan}
    for name in ("kind", "stride", "max_unmappable", "negative_ratio"):
        wanted = getattr(recipe.windows, name)
        if wanted not in (made[name], getattr(defaults, name)):
            raise ValueError(
                f"{data.name} was exported with {name} {made[name]!r}, got `windows.{name}` {wanted!r} in the recipe; "
                "leave it out, or export the store again with it"
            )
