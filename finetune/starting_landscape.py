"""The landscape model a run starts from: a preset of CLASTER, or a base that fits the data."""

from typing import Any

import numpy as np
import torch

from ..datasets_scripts.landscape import LandscapeData
from ..inference.load import load_any
from ..modeling import CLASTER_PRESETS, ClasterConfig, ClasterForProfileRegression
from .landscape_data import ROW, choose_rows, statistics
from .recipe import Recipe


def starting_landscape(recipe: Recipe, data: LandscapeData) -> ClasterForProfileRegression:
    """Return the model that `recipe` starts from, normalised by the recipe's training genes.

    A base keeps the statistics of its inputs, which its weights were made for, and takes those of the new targets.

    Raises:
        FileNotFoundError: the base is no model.
        ValueError: an unknown preset or field, or the base does not fit the data.
    """
    model = _from_preset(recipe, data) if recipe.mode == "scratch" else _from_base(recipe, data)
    rows = choose_rows(recipe, data)[0][ROW].to_numpy(np.int64)
    contacts = model.config.structure is not None
    found = statistics(data, rows, flip=recipe.reverse_complement, contacts=contacts)
    if recipe.mode != "scratch":
        found = {name: value for name, value in found.items() if name.startswith("target_")}
    model.set_normalisation(**found)
    return model


def _grid(data: LandscapeData) -> dict[str, Any]:
    """Return the fields of a configuration that the data decide."""
    grid = data.grid
    return {
        "input_tracks": data.input_tracks,
        "num_input_bins": grid.num_input_bins,
        "input_bin_size": grid.input_bin_size,
        "num_tracks": len(data.track_names),
        "track_names": data.track_names,
        "num_bins": grid.num_bins,
        "bin_size": grid.bin_size,
        "target_grid": grid.target_grid,
        "genome": data.genome,
    }


def _from_preset(recipe: Recipe, data: LandscapeData) -> ClasterForProfileRegression:
    if recipe.preset not in CLASTER_PRESETS:
        raise ValueError(
            f"{recipe.data!r} is a landscape folder, for a preset of {', '.join(CLASTER_PRESETS)}, "
            f"got {recipe.preset!r}"
        )
    grid, wishes = _grid(data), dict(recipe.model)
    known = set(ClasterConfig().to_dict())
    for key, value in wishes.items():
        if key in grid and value != grid[key]:
            raise ValueError(f"`model.{key}` is {value!r} in the recipe and {grid[key]!r} in the data {recipe.data!r}")
        if key not in known:
            raise ValueError(f"`model` in the recipe has no key {key!r}; it takes the fields of ClasterConfig")
    preset = CLASTER_PRESETS[recipe.preset]
    if "structure" in preset or wishes.get("structure") is not None:
        form = {**preset.get("structure", {}), **wishes.get("structure", {})}.get("form", data.contact_form)
        if data.contacts is None or form != data.contact_form:
            raise ValueError(
                f"preset {recipe.preset!r} reads {form} contact maps and {recipe.data!r} has "
                f"{data.contact_form or 'none'}; build the data with --contacts and --contact-form {form}"
            )
        shape = {"form": form, "shape": list(data.contacts.shape[1:])}
        wishes["structure"] = {**wishes.get("structure", {}), **shape}
    return ClasterForProfileRegression(ClasterConfig.from_preset(recipe.preset, **{**wishes, **grid}))


def _from_base(recipe: Recipe, data: LandscapeData) -> ClasterForProfileRegression:
    assert recipe.base is not None  # the recipe holds it
    model = load_any(recipe.base)
    if not isinstance(model, ClasterForProfileRegression):
        raise ValueError(f"{recipe.data!r} is a landscape folder, which the base {recipe.base!r} cannot read")
    config, grid = model.config, _grid(data)
    for key in ("input_tracks", "num_input_bins", "input_bin_size"):
        if list(np.atleast_1d(getattr(config, key))) != list(np.atleast_1d(grid[key])):
            raise ValueError(
                f"the base {recipe.base!r} has {key} {getattr(config, key)!r} and the data {recipe.data!r} has "
                f"{grid[key]!r}; build the data with the base's value"
            )
    contacts = config.structure
    if contacts is not None and (
        data.contacts is None
        or contacts["form"] != data.contact_form
        or contacts["shape"] != list(data.contacts.shape[1:])
    ):
        raise ValueError(
            f"the base {recipe.base!r} reads {contacts['form']} contact maps of shape {contacts['shape']}, which "
            f"{recipe.data!r} does not have; build it with --contacts"
        )
    if recipe.model:
        key = next(iter(recipe.model))
        raise ValueError(f"`model.{key}` cannot change in a base, got one from {recipe.base!r}; leave it out")
    output = ("num_tracks", "num_bins", "bin_size")
    if any(getattr(config, key) != grid[key] for key in output) or recipe.new_head:
        if not recipe.new_head or recipe.mode == "lora":
            raise ValueError(
                f"the base {recipe.base!r} predicts {config.num_tracks} tracks in {config.num_bins} bins of "
                f"{config.bin_size} bp and the data {recipe.data!r} has {grid['num_tracks']} in {grid['num_bins']} of "
                f"{grid['bin_size']} bp; use --new-head with --mode full, head or two-stage"
            )
        model = _with_new_head(model, grid)
    model.config.track_names = data.track_names
    model.config.target_grid, model.config.genome = data.grid.target_grid, data.genome
    return model


def _with_new_head(model: ClasterForProfileRegression, grid: dict[str, Any]) -> ClasterForProfileRegression:
    fresh = ClasterForProfileRegression(ClasterConfig.from_dict({**model.config.to_dict(), **grid}))
    kept = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("head.")}
    with torch.no_grad():
        fresh.load_state_dict(kept, strict=False)
    return fresh
