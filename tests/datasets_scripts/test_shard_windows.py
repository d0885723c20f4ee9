import pickle

import numpy as np
import pytest
import torch
from chromhub.datasets_scripts.dataset import collate
from chromhub.datasets_scripts.shard_windows import ShardWindows
from datasets import load_dataset
from torch.utils.data import DataLoader

from tests.datasets_scripts.exported import AUGMENTED, assert_same, export_toy, same_from_store, which_windows


@pytest.mark.parametrize(
    "options",
    [{}, AUGMENTED, {**AUGMENTED, "mappability": True, "max_jitter": 16}, {"substitutions": 0.1, "seed": 3}],
)
def test_batches_are_those_of_the_store(toy, options) -> None:
    shards = export_toy(toy)
    found, expected = ShardWindows(shards, "train", **options), same_from_store(toy, shards, **options)
    assert len(found) == len(expected)
    order = np.random.default_rng(0).permutation(len(found)).tolist()
    for epoch in (0, 5):
        found.set_epoch(epoch)
        expected.set_epoch(epoch)
        assert_same(found.batch(order), expected.batch(order))
        assert_same(found[7], expected[7])
        assert_same(found.batch([]), expected.batch([]))


def test_chosen_rows_are_the_store_s_windows(toy) -> None:
    shards = export_toy(toy)
    rows = np.array([5, 40, 41, 80])
    found = ShardWindows(shards, "train", rows=rows, **AUGMENTED)
    expected = same_from_store(toy, shards, **AUGMENTED)
    expected.__init__(
        expected.store, shards.windows("train").iloc[rows], input_length=expected.input_length, **AUGMENTED
    )
    assert_same(found.batch([3, 0, 2]), expected.batch([3, 0, 2]))
    assert_same(pickle.loads(pickle.dumps(found)).batch([1]), expected.batch([1]))


@pytest.mark.enable_socket  # torch hands tensors over through a Unix socket
def test_two_ranks_of_two_workers_see_each_window_once(toy) -> None:
    shards = export_toy(toy)
    reference = same_from_store(toy, shards, **AUGMENTED)
    seen = []
    for rank in range(2):
        dataset = ShardWindows(shards, "train", **AUGMENTED)
        order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[rank::2].tolist()
        for batch in DataLoader(dataset, batch_size=7, sampler=order, num_workers=2, collate_fn=collate):
            seen += which_windows(reference, batch)
    assert sorted(seen) == list(range(len(reference)))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"max_jitter": 68}, "at most the margin 64 of .*, got 68; export it with a larger --margin"),
        ({"max_jitter": 6}, "multiple of the bin size 4, got 6"),
    ],
)
def test_what_the_rows_do_not_hold_is_refused(toy, options, match) -> None:
    with pytest.raises(ValueError, match=match):
        ShardWindows(export_toy(toy), "train", **options)


def test_another_export_of_the_same_name_is_not_mistaken_for_the_cached_one(toy) -> None:
    # `datasets` 5.2 keys its copy of a local folder by the card's configs and the folder's last name alone.
    before = ShardWindows(export_toy(toy), "train")[0]
    toy.build(overwrite=True, tracks=toy.inputs.tracks[::-1])
    shards = export_toy(toy, overwrite=True)
    after = ShardWindows(shards, "train")
    assert_same(after[0], same_from_store(toy, shards)[0])
    assert not np.array_equal(after[0]["labels"], before["labels"])


def test_a_copy_that_is_not_the_export_is_refused(toy, monkeypatch) -> None:
    shards = export_toy(toy)
    windows = shards.windows("train")
    monkeypatch.setattr(type(shards), "windows", lambda self, part: windows.assign(start=windows["start"] + 4))
    with pytest.raises(ValueError, match="are not those that it lists"):
        ShardWindows(shards, "train")


def test_mappability_that_was_not_exported_is_refused(toy) -> None:
    toy.build(unmappable=None)
    with pytest.raises(ValueError, match="does not say what is mappable"):
        ShardWindows(export_toy(toy), "train", mappability=True)


@pytest.mark.parametrize("form", ["numpy", "torch", None])
def test_no_format_of_datasets_shortens_a_row(toy, form) -> None:
    """Code 0 is A, and NumPy's strings lose the zeros at their end."""
    shards = export_toy(toy)
    whole = shards.layout.decode(load_dataset(shards.name, split="train").with_format("arrow")[:])
    assert (whole.codes[:, -1] == 0).sum() > 5
    assert (whole.mappable[:, -1] == 0).any()
    for row, codes, mappable in zip(
        load_dataset(shards.name, split="train").with_format(form), whole.codes, whole.mappable, strict=True
    ):
        assert np.array_equal(row["codes"], codes)
        assert np.array_equal(row["mappable"], mappable)
