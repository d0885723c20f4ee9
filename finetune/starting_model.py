"""The model a run starts from: a preset, or a base that fits the data."""

from typing import Any

import numpy as np
import torch

from ..datasets_scripts.shards import Shards
from ..datasets_scripts.store import GenomeStore
from ..inference.load import load_sequence_model
from ..modeling import AtacConfig, AtacForTrackPrediction, head_modules
from .recipe import Recipe

_SAMPLE = 256  # windows whose totals are counted


def starting_model(recipe: Recipe, store: GenomeStore | Shards) -> AtacForTrackPrediction:
    """Return the model that `recipe` starts from, on the grid and with the tracks of `store`.

    Its new weights are drawn from torch's global generator.

    Raises:
        FileNotFoundError: the base is no model.
        ValueError: an unknown preset or field, or the base does not fit the data.
    """
    if recipe.mode == "scratch":
        model = _from_preset(recipe, store)
        _check_mappability(model.config, recipe, store)
        return model
    assert recipe.base is not None  # the recipe holds it
    model = load_sequence_model(recipe.base)
    if not isinstance(model, AtacForTrackPrediction):
        raise ValueError(
            f"the base {recipe.base!r} holds a {type(model).__name__}, not an AtacForTrackPrediction: fine-tune a "
            "classifier by --set task=classification, or give a base that predicts tracks"
        )
    _check_mappability(model.config, recipe, store)
    _check_grid(model.config, recipe, store)
    config = model.config
    if len(store.track_names) != config.num_tracks:
        if not recipe.new_head:
            raise ValueError(
                f"the base {recipe.base!r} predicts {config.num_tracks} tracks and the data {recipe.data!r} has "
                f"{len(store.track_names)} ({', '.join(store.track_names)}); use --new-head to start a head for them"
            )
        if recipe.mode == "lora":
            raise ValueError(
                f"mode lora keeps the base's {config.num_tracks} tracks, got {len(store.track_names)} in the data: an "
                "adapter is loaded onto the base's own head; use --mode head or --mode full with --new-head"
            )
    if recipe.new_head:
        model = _with_new_head(model, num_tracks=len(store.track_names))
    if recipe.loss is not None:
        model.config.loss = recipe.loss
    model.config.track_names = list(store.track_names)
    model.config.genome = store.genome
    return model


def set_count_weight(config: AtacConfig, recipe: Recipe, train_windows: Any) -> None:
    """Write the weight of the total in loss "profile_count" into a model's configuration.

    A tenth of the median total of a window and track, as ChromBPNet has it (doi 10.1101/2024.12.25.630221), over up to
    256 training windows, evenly spread; at least .1. A weight in the recipe stays, and a stream, whose windows are not
    all at hand, needs it there or in the base.

    Args:
        config: of the model; changed.
        recipe: the run's.
        train_windows: the training windows.

    Raises:
        ValueError: a stream from scratch without `model.count_weight`.
    """
    if config.loss != "profile_count" or "count_weight" in recipe.model:
        return
    if recipe.streaming:
        if recipe.mode == "scratch":
            raise ValueError(
                "loss profile_count weighs a window's total by the median of the training windows, which a stream does "
                "not know, got no `model.count_weight`; say it, or train without streaming"
            )
        return
    spread = np.linspace(0, len(train_windows) - 1, min(_SAMPLE, len(train_windows))).round().astype(int)
    batch = train_windows.batch(spread.tolist())
    totals = np.nansum(batch["labels"] * batch.get("mask", 1), axis=-1, dtype=np.float64)  # (n, T)
    config.count_weight = max(1.0, float(np.median(totals))) / 10


def _from_preset(recipe: Recipe, store: GenomeStore | Shards) -> AtacForTrackPrediction:
    grid: dict[str, Any] = {
        "bin_size": store.bin_size,
        "target_summary": store.summary,
        "num_tracks": len(store.track_names),
        "track_names": list(store.track_names),
        "genome": store.genome,
        "loss": recipe.loss or "poisson",
    }
    known = set(AtacConfig().to_dict())
    for key, value in recipe.model.items():
        if key in grid and value != grid[key]:
            raise ValueError(f"`model.{key}` is {value!r} in the recipe and {grid[key]!r} in the data {recipe.data!r}")
        if key not in known:
            raise ValueError(f"`model` in the recipe has no key {key!r}; it takes the fields of AtacConfig")
    assert recipe.preset is not None  # the recipe holds it
    return AtacForTrackPrediction(AtacConfig.from_preset(recipe.preset, **{**recipe.model, **grid}))


def _check_mappability(config: AtacConfig, recipe: Recipe, store: GenomeStore | Shards) -> None:
    """Refuse to learn mappability where nothing is unmappable."""
    known = store.layout.mappability if isinstance(store, Shards) else not store.unmappable.empty
    if config.mappability_weight and not known:
        raise ValueError(
            f"the model has a mappability head and the data {recipe.data!r} has no unmappable intervals; build the "
            "data with --unmappable, or leave out `model.mappability_weight`"
        )


def _check_grid(config: AtacConfig, recipe: Recipe, store: GenomeStore | Shards) -> None:
    """Refuse data, or wishes in `recipe.model`, that the base was not made for."""
    for key, found in (("bin_size", store.bin_size), ("target_summary", store.summary)):
        expected = getattr(config, key)
        if found != expected:
            raise ValueError(
                f"the base {recipe.base!r} has {key} {expected!r} and the data {recipe.data!r} has {found!r}; "
                "build the data with the base's value"
            )
    for key, wish in recipe.model.items():
        if not hasattr(config, key) or getattr(config, key) != wish:
            raise ValueError(
                f"`model.{key}` is {wish!r} in the recipe and {getattr(config, key, None)!r} in the base "
                f"{recipe.base!r}, which cannot change; leave it out"
            )


def _with_new_head(model: AtacForTrackPrediction, *, num_tracks: int) -> AtacForTrackPrediction:
    """Return a copy of `model` with a fresh head for `num_tracks` tracks."""
    fields = model.config.to_dict()
    fields.update(num_tracks=num_tracks, track_names=None)
    fresh = AtacForTrackPrediction(AtacConfig.from_dict(fields))
    heads = tuple(f"{name}." for name in head_modules(model))
    kept = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(heads)}
    with torch.no_grad():
        fresh.load_state_dict(kept, strict=False)
    return fresh
