import numpy as np
import pytest
from chromhub.datasets_scripts.dataset import WindowPlan
from chromhub.datasets_scripts.export import ExportPlan, export_shards
from chromhub.datasets_scripts.shards import Shards
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.streaming import StreamingWindows
from chromhub.finetune.data_source import (
    choose_windows,
    open_data,
    training_dataset,
    training_stream,
    unmoved_training_windows,
    window_dataset,
)
from chromhub.finetune.recipe import Recipe
from chromhub.finetune.record import run_provenance
from chromhub.hub_models.publish_dataset import push_dataset
from chromhub.inference.provenance import find_leak
from chromhub.modeling import AtacConfig

from tests.finetune.small_store import small_store

CONFIG = AtacConfig.from_preset("convnext-dcnn-tiny")


@pytest.fixture
def store(tmp_path) -> GenomeStore:
    return small_store(tmp_path / "store")


@pytest.fixture
def shards(store, tmp_path) -> Shards:
    plan = ExportPlan(
        training=WindowPlan(stride=512), input_length=CONFIG.input_length, target_length=CONFIG.target_length, margin=64
    )
    return export_shards(store, tmp_path / "shards", plan)


def recipe(data: object, **changes) -> Recipe:
    values = {"data": str(data), "preset": "convnext-dcnn-tiny", "max_jitter": 64, "windows": {"stride": 512}}
    return Recipe(**{**values, **changes})


def test_a_recipe_s_data_is_a_store_a_folder_or_a_dataset(hub, store, shards) -> None:
    assert isinstance(open_data(str(store.path)), GenomeStore)
    assert open_data(shards.name).name == shards.name
    push_dataset(shards.name, "org/windows", license="mit")
    assert open_data("org/windows").fingerprint == shards.fingerprint
    with pytest.raises(FileNotFoundError, match="is not a chromhub store"):
        open_data("nowhere")
    with pytest.raises(FileNotFoundError, match="is neither a folder here nor a dataset"):
        open_data("no/where")


def test_training_and_validation_are_those_of_the_store(store, shards) -> None:
    changes = {"max_eval_windows": 4, "windows": {"stride": 512, "fraction": 0.5}}
    mine, theirs = recipe(shards.name, **changes), recipe(store.path, **changes)
    found, expected = choose_windows(mine, shards, CONFIG), choose_windows(theirs, store, CONFIG)
    for i, train in enumerate((True, False)):
        assert found[i][["chrom", "start", "end"]].equals(expected[i])
        one = window_dataset(mine, shards, found[i], config=CONFIG, train=train)
        other = window_dataset(theirs, store, expected[i], config=CONFIG, train=train)
        for dataset in (one, other):
            dataset.set_epoch(1)
        for name, array in other.batch([2, 0, 3]).items():
            assert np.array_equal(one.batch([2, 0, 3])[name], array)
    assert found[2] == expected[2]


def test_unmoved_windows_are_those_of_the_training_part_as_they_lie(store, shards) -> None:
    for data, name in ((store, store.path), (shards, shards.name)):
        made = recipe(name, substitutions=0.5)
        train, _, _ = choose_windows(made, data, CONFIG)
        batch = unmoved_training_windows(made, data, train, config=CONFIG).batch([2, 0, 3])
        codes, signal = store.gather(store.flat_starts(train.iloc[[2, 0, 3]]), CONFIG.input_length)
        assert np.array_equal(batch["inputs"], codes)
        assert np.array_equal(batch["labels"], signal)


def test_provenance_knows_the_very_intervals(store, shards) -> None:
    seen = []
    for data in (store, shards):
        made = recipe(store.path)
        train, valid, _ = choose_windows(made, data, CONFIG)
        seen.append(run_provenance(made, data, parent=None, train_windows=train, valid_windows=valid, context=512))
    assert seen[0].trained_on == seen[1].trained_on
    assert seen[0].selected_on == seen[1].selected_on
    assert seen[1].data_fingerprint == shards.fingerprint
    assert find_leak(seen[1], store, "train")
    assert find_leak(seen[1], shards, "test") == []


def test_a_recipe_chooses_the_stream(store, shards) -> None:
    mine = recipe(shards.name, streaming=True)
    windows, _, _ = choose_windows(mine, shards, CONFIG)
    assert isinstance(training_dataset(mine, shards, windows, config=CONFIG), StreamingWindows)
    with pytest.raises(ValueError, match="streaming is for exported windows, got the store"):
        training_dataset(recipe(store.path, streaming=True), store, windows, config=CONFIG)


def test_a_stream_is_dealt_over_ranks_and_accumulated_parts(shards) -> None:
    mine = recipe(shards.name, batch_size=16, accumulate=2)
    streams = [training_stream(mine, shards, config=CONFIG, rank=rank, world_size=2) for rank in range(2)]
    sizes = [[len(batch["inputs"]) for batch in stream] for stream in streams]
    assert len(sizes[0]) == len(sizes[1])
    assert max(map(max, sizes)) == 4  # 16 over 2 ranks and 2 parts
    assert sum(map(sum, sizes)) == len(shards.windows("train"))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"windows": {"stride": 256}}, "exported with stride 512, got `windows.stride` 256 in the recipe"),
        ({"windows": {"kind": "peaks"}}, "exported with kind 'tile', got `windows.kind` 'peaks'"),
    ],
)
def test_an_export_of_other_windows_is_refused(shards, changes, match) -> None:
    with pytest.raises(ValueError, match=match):
        choose_windows(recipe(shards.name, **changes), shards, CONFIG)


def test_an_export_that_does_not_fit_is_refused(shards) -> None:
    other = AtacConfig.from_preset("convnext-dcnn-tiny", input_length=4096)
    with pytest.raises(ValueError, match="exported with input_length 2048 and the model has 4096"):
        choose_windows(recipe(shards.name), shards, other)
    wide = recipe(shards.name, max_jitter=128)
    train, _, _ = choose_windows(wide, shards, CONFIG)
    with pytest.raises(ValueError, match="at most the margin 64"):
        window_dataset(wide, shards, train, config=CONFIG, train=True)
    some = recipe(shards.name, windows={"fraction": 0.5})
    with pytest.raises(ValueError, match=r"a stream has all windows of .*, got windows.fraction 0.5"):
        training_stream(some, shards, config=CONFIG, rank=0, world_size=1)
    del shards.files["valid"]
    with pytest.raises(ValueError, match="no window is left in the valid part"):
        choose_windows(recipe(shards.name), shards, CONFIG)
