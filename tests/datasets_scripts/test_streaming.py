import time

import numpy as np
import pytest
from chromhub.datasets_scripts.streaming import StreamingWindows, StreamLoader
from datasets import load_dataset
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

from tests.datasets_scripts.exported import AUGMENTED, assert_same, export_toy, same_from_store, which_windows

SMALL = {"batch_size": 7, "buffer_size": 14, "num_lanes": 4}


@pytest.mark.parametrize("options", [{}, {**AUGMENTED, "substitutions": 0.1}, {**AUGMENTED, "mappability": True}])
def test_every_window_once_with_the_values_of_the_store(toy, options) -> None:
    shards = export_toy(toy)
    reference = same_from_store(toy, shards, **options)
    for epoch in (0, 1):
        reference.set_epoch(epoch)
        seen = []
        for rank in range(2):
            stream = StreamingWindows(shards, "train", **SMALL, **options, rank=rank, world_size=2)
            stream.set_epoch(epoch)
            batches = list(stream)
            assert len(batches) == len(stream)
            for batch in batches:
                seen += which_windows(reference, batch)
        assert sorted(seen) == list(range(len(reference)))
        assert seen != sorted(seen)


def test_unshuffled_it_is_the_store_in_order(toy) -> None:
    shards = export_toy(toy)
    stream = StreamingWindows(shards, "train", batch_size=7, num_lanes=1, shuffle=False, **AUGMENTED)
    reference = same_from_store(toy, shards, **AUGMENTED)
    for i, batch in enumerate(stream):
        assert_same(batch, reference.batch(range(7 * i, min(7 * i + 7, len(reference)))))


@pytest.mark.enable_socket  # torch hands tensors over through a Unix socket
def test_two_ranks_of_two_workers_see_each_window_once_in_the_order_of_none(toy) -> None:
    shards = export_toy(toy)
    reference = same_from_store(toy, shards, **AUGMENTED)
    seen = []
    for rank in range(2):
        options = {**SMALL, **AUGMENTED, "rank": rank, "world_size": 2}
        alone = list(StreamingWindows(shards, "train", **options))
        together = list(StreamLoader(StreamingWindows(shards, "train", **options), num_workers=2))
        assert len(alone) == len(together)
        for one, other in zip(alone, together, strict=True):
            assert_same({name: tensor.numpy() for name, tensor in other.items()}, one)
            seen += which_windows(reference, other)
    assert sorted(seen) == list(range(len(reference)))


@pytest.mark.parametrize("num_lanes", [1, 2, 4])
@pytest.mark.parametrize("num_workers", [2, 3, 5])
def test_workers_that_do_not_divide_the_lanes_lose_nothing(toy, monkeypatch, num_workers, num_lanes) -> None:
    # Workers in this process, one after the other: what matters is which batches each makes.
    shards = export_toy(toy)
    options = {**SMALL, **AUGMENTED, "buffer_size": 7, "num_lanes": num_lanes}
    whole = list(StreamingWindows(shards, "train", **options))
    for worker in range(num_workers):
        info = type("Info", (), {"id": worker, "num_workers": num_workers})
        monkeypatch.setattr("chromhub.datasets_scripts.streaming.get_worker_info", lambda info=info: info)
        share = list(StreamingWindows(shards, "train", **options))
        assert len(share) == len(whole[worker::num_workers])
        for one, other in zip(whole[worker::num_workers], share, strict=True):
            assert_same(other, one)


@pytest.mark.parametrize("killed_after", [0, 1, 5, 13])
def test_a_killed_epoch_goes_on_with_the_very_next_window(toy, killed_after) -> None:
    shards = export_toy(toy)
    reference = same_from_store(toy, shards, **AUGMENTED)
    reference.set_epoch(3)
    options = {**SMALL, **AUGMENTED}
    stream = StreamingWindows(shards, "train", **options)
    stream.set_epoch(3)
    seen, state = [], stream.state_dict()
    for i, batch in enumerate(stream):
        if i == killed_after:
            break  # the kill: this batch was never used
        seen += which_windows(reference, batch)
        state = stream.state_dict()
    assert len(seen) == 7 * killed_after

    resumed = StreamingWindows(shards, "train", **options)
    resumed.load_state_dict(state)
    resumed.set_epoch(3)  # as a training loop does at the start of an epoch
    for batch in resumed:
        seen += which_windows(reference, batch)
    assert sorted(seen) == list(range(len(reference)))
    assert len(list(resumed)) == len(resumed)  # the pass after is whole
    resumed.set_epoch(4)
    assert len(list(resumed)) == len(resumed)


@pytest.mark.enable_socket  # torch hands tensors over through a Unix socket
def test_a_loader_resumes_with_another_number_of_workers(toy) -> None:
    shards = export_toy(toy)
    options = {**SMALL, **AUGMENTED}
    whole = list(StreamingWindows(shards, "train", **options))
    killed = StreamingWindows(shards, "train", **options)
    for i, _ in enumerate(StreamLoader(killed, num_workers=2)):
        if i == 4:
            break
    assert killed.state_dict() == {"epoch": 0, "batches": 5}  # though the workers had read further
    resumed = StreamingWindows(shards, "train", **options)
    resumed.load_state_dict(killed.state_dict())
    rest = list(StreamLoader(resumed, num_workers=0))
    assert len(rest) == len(whole) - 5
    for one, other in zip(whole[5:], rest, strict=True):
        assert_same({name: tensor.numpy() for name, tensor in other.items()}, one)
    assert resumed.state_dict() == {"epoch": 1, "batches": 0}


@pytest.mark.parametrize("left", [1, 3, 4])
@pytest.mark.parametrize("worker", [None, 0, 1, 2])
def test_what_a_resumed_training_drops_is_not_read(toy, monkeypatch, worker, left) -> None:
    stream = StreamingWindows(export_toy(toy), "train", **SMALL, **AUGMENTED)
    whole = list(stream)
    if worker is not None:
        info = type("Info", (), {"id": worker, "num_workers": 3})
        monkeypatch.setattr("chromhub.datasets_scripts.streaming.get_worker_info", lambda: info)
    mine = range(len(whole)) if worker is None else range(worker, len(whole), 3)
    stream.leave_unread(left)
    found = list(stream)
    for i, batch in zip(mine, found, strict=True):
        assert_same(batch, whole[i] if i >= left else {})
    assert all(list(stream))  # the pass after is whole again
    stream.leave_unread(left)
    stream.set_epoch(0)
    assert all(list(stream))


def test_a_plain_dataloader_takes_it(toy) -> None:
    stream = StreamingWindows(export_toy(toy), "valid", batch_size=8)
    batches = list(DataLoader(stream, batch_size=None))
    assert batches[0]["inputs"].shape == (8, 512)
    assert sum(len(batch["inputs"]) for batch in batches) == stream.num_windows


def test_the_state_of_another_run_is_refused(toy) -> None:
    stream = StreamingWindows(export_toy(toy), "train", batch_size=8)
    with pytest.raises(ValueError, match=r"has 900 batches of \d+: it is of another run"):
        stream.load_state_dict({"epoch": 0, "batches": 900})


def test_a_shuffled_pass_over_several_shards_does_not_pause(toy) -> None:
    shards = export_toy(toy)
    assert len(shards.files["train"]) > 3
    started = time.monotonic()
    list(StreamingWindows(shards, "train", batch_size=8))
    assert time.monotonic() - started < 4  # `datasets` sleeps for 5 seconds


def test_a_damaged_shard_ends_the_stream_with_its_name(toy) -> None:
    shards = export_toy(toy)
    (toy.folder / "shards" / shards.files["train"][2].path).write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"train-00002-of-\d+.parquet is no whole Parquet file"):
        list(StreamingWindows(shards, "train", batch_size=8))


def test_datasets_own_split_over_two_nodes_has_each_row_once(toy) -> None:
    shards = export_toy(toy)
    starts = []
    for rank in range(2):
        stream = load_dataset(shards.name, split="train", streaming=True).with_format("arrow")
        for table in split_dataset_by_node(stream, rank=rank, world_size=2).iter(16):
            starts += table["start"].to_pylist()
    assert np.array_equal(np.sort(starts), np.sort(shards.windows("train")["start"]))
