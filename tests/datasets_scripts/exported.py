"""The toy store exported with small shards, and the dataset of the store that its readers must equal."""

import numpy as np
from chromhub.datasets_scripts.dataset import WindowDataset, WindowPlan
from chromhub.datasets_scripts.export import ExportPlan, export_shards
from chromhub.datasets_scripts.shards import Shards
from chromhub.datasets_scripts.store import GenomeStore

from tests.datasets_scripts.conftest import Toy

LENGTH, MARGIN = 512, 64
PLAN = ExportPlan(
    training=WindowPlan(stride=400), input_length=LENGTH, target_length=256, margin=MARGIN, shard_size=25_000
)
AUGMENTED = {"max_jitter": MARGIN, "reverse_complement": True, "seed": 3}


def export_toy(toy: Toy, name: str = "shards", **changes) -> Shards:
    """Export the toy: 92 training windows of 640 codes and 320 float32 each."""
    if not (toy.folder / "store").exists():
        toy.build()
    return export_shards(GenomeStore.open(toy.folder / "store"), toy.folder / name, PLAN, **changes)


def same_from_store(toy: Toy, shards: Shards, **options) -> WindowDataset:
    """Return the store's own dataset of the exported training windows."""
    store = GenomeStore.open(toy.folder / "store")
    return WindowDataset(store, shards.windows("train"), input_length=LENGTH, **options)


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        assert np.asarray(found[name]).dtype == np.asarray(expected[name]).dtype, name
        assert np.array_equal(found[name], expected[name]), name


def which_windows(dataset: WindowDataset, batch: dict) -> list[int]:
    """Return the index of each window of a batch, whose every value must be that of the store."""
    whole = dataset.batch(range(len(dataset)))
    known = {}
    for index in range(len(dataset)):
        key = b"".join(whole[name][index].tobytes() for name in sorted(whole))
        assert key not in known, "two windows of the toy are the same"
        known[key] = index
    names = sorted(whole)
    return [
        known[b"".join(np.asarray(batch[name][i]).tobytes() for name in names)] for i in range(len(batch["inputs"]))
    ]
