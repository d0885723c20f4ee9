"""A floor gets the windows of its run where they can be known, and all windows where not."""

import pytest
from chromhub.finetune.floor_windows import OWN, floor_windows
from chromhub.finetune.recipe import load_recipe
from chromhub.finetune.train import train
from chromhub.inference.load import load_model

from .small_store import small_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("data") / "store")


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    recipe = load_recipe(
        data=str(store.path), preset="cnn-tiny", max_steps=1, batch_size=4, max_jitter=256, windows={"fraction": 0.1}
    )
    train(recipe, folder, device="cpu", progress=False)
    return folder


def test_a_share_of_the_windows_is_the_runs_own(run, store):
    model = load_model(run)
    found = floor_windows(run, model, store)
    assert (len(found.train), found.source) == (6, OWN)  # a tenth of 57, as the run had it
    (run / "recipe.yaml").rename(run / "r")
    assert len(floor_windows(run, model, store).train) == 6  # the record holds the recipe too
    (run / "r").rename(run / "recipe.yaml")


def test_other_data_and_no_record_give_all_windows(run, store, tmp_path):
    model = load_model(run)
    other = small_store(tmp_path / "other", seed=1)
    found = floor_windows(run, model, other)
    assert len(found.train) == 57
    assert found.source.endswith("by the default plan, since the run was trained on other data")
    model.save_pretrained(tmp_path / "bare")
    assert floor_windows(tmp_path / "bare", model, store).source.endswith("has no record of its training")


def test_data_without_a_training_part_has_no_floor(run, tmp_path):
    store = small_store(tmp_path / "s", seed=2, split={"train": [], "valid": ["two"], "test": ["three"]})
    assert "no training window is left" in floor_windows(run, load_model(run), store)
    store = small_store(tmp_path / "t", seed=3, split={"train": ["one"], "valid": [], "test": ["three"]})
    assert len(floor_windows(run, load_model(run), store).valid) == 0
