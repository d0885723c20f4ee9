"""The windows that a run's floor is fitted on: those that the run itself was trained and chosen on."""

from pathlib import Path
from typing import Any

import pandas as pd

from ..datasets_scripts.dataset import WindowPlan, evaluation_windows, training_windows
from ..datasets_scripts.store import GenomeStore
from ..inference.floor import FloorWindows
from ..inference.load import Classifier
from ..inference.names import resolve
from ..inference.provenance import find_provenance
from ..modeling import AtacForTrackPrediction
from .data_source import choose_windows
from .recipe import Recipe, load_recipe

OWN = "the run's own training windows"


def floor_windows(
    run: str | Path, model: AtacForTrackPrediction | Classifier, store: GenomeStore
) -> FloorWindows | str:
    """Choose the windows for the floor of a run.

    Where the run's recipe is not known, or it was trained on other data than `store`, they are all windows of the
    store's training part by the default plan, and `source` says so.

    Args:
        run: folder or Hub id.
        model: what the run holds.
        store: the data it is evaluated on, with the model's tracks.

    Returns:
        The windows, or why there are none.
    """
    task = "tracks" if isinstance(model, AtacForTrackPrediction) else "classification"
    recipe, why = _recipe_of(run, store)
    if recipe is not None and recipe.task != task:
        recipe, why = None, f"its recipe is of task {recipe.task}"
    try:
        if recipe is not None:
            return recipe_windows(recipe, model, store)
        return _default_windows(model, store, f"all training windows of the data by the default plan, since {why}")
    except ValueError as error:
        return str(error)


def recipe_windows(recipe: Recipe, model: AtacForTrackPrediction | Classifier, store: GenomeStore) -> FloorWindows:
    """Return the windows that a recipe draws from its own data.

    Raises:
        ValueError: a part of the data has no window.
    """
    config: Any = model.config
    train, valid, _ = choose_windows(recipe, store, config)
    return FloorWindows(train, valid, OWN, recipe.seed)


def _recipe_of(run: str | Path, store: GenomeStore) -> tuple[Recipe | None, str]:
    """Return the recipe of a run on this data; or None, and why."""
    try:
        provenance = find_provenance(run)
    except OSError:
        provenance = None
    here = resolve(run).folder
    file = (here or Path(run)) / "recipe.yaml"
    on_disk = here is not None and file.is_file()
    if provenance is None or not (on_disk or provenance.recipe):
        return None, "the run has no record of its training"
    if provenance.data_fingerprint != store.fingerprint:
        return None, "the run was trained on other data"
    try:
        return (load_recipe(file) if on_disk else Recipe.model_validate(provenance.recipe)), ""
    except ValueError:
        return None, "the run's recipe cannot be read"


def _default_windows(model: AtacForTrackPrediction | Classifier, store: GenomeStore, source: str) -> FloorWindows:
    config: Any = model.config
    of_tracks, length = isinstance(model, AtacForTrackPrediction), config.input_length
    plan = WindowPlan("tile", stride=config.target_length) if of_tracks else WindowPlan("peaks+background")
    train, _ = training_windows(store, plan, input_length=length, max_jitter=0)
    try:
        if of_tracks:
            valid, _ = evaluation_windows(store, "valid", input_length=length, target_length=config.target_length)
        else:
            valid, _ = training_windows(store, plan, input_length=length, max_jitter=0, part="valid")
    except ValueError:  # without a validation part the strongest penalty is taken
        valid = pd.DataFrame({"chrom": [], "start": [], "end": []})
    return FloorWindows(train, valid, source)
