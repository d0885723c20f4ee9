import threading

import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.datasets_scripts.dataset import WindowDataset
from chromhub.datasets_scripts.loader import WindowBatches, WindowLoader, ahead, collate_some, num_counted
from chromhub.datasets_scripts.store import GenomeStore

LENGTH = 512


@pytest.fixture
def dataset(store) -> WindowDataset:
    starts = np.arange(2000, 18_400, 400)  # 41
    windows = pd.DataFrame({"chrom": "chr1", "start": starts, "end": starts + LENGTH})
    return WindowDataset(store, windows, input_length=LENGTH, max_jitter=64, reverse_complement=True, mappability=True)


class MaskedStore(GenomeStore):
    """A store whose first track is missing over chr1:3000-4000."""

    has_masks = True

    def gather_mask(self, starts: np.ndarray, length: int) -> np.ndarray:
        """As the store's own."""
        first = self.offset("chr1") + np.array([3000, 4000])
        bins = starts[:, None] + np.arange(0, length, self.bin_size)
        mask = np.ones((len(starts), 2, length // self.bin_size), np.uint8)
        mask[:, 0] = (bins < first[0]) | (bins >= first[1])
        return mask


def batches(num_windows: int, **options) -> list[list[int]]:
    return list(WindowBatches(num_windows, **options))


def test_windows_in_their_order() -> None:
    assert batches(5, batch_size=2) == [[0, 1], [2, 3], [4]]
    assert len(WindowBatches(5, batch_size=2)) == 3
    assert batches(0, batch_size=2) == []


def test_the_order_is_the_seeds_and_the_epochs() -> None:
    sampler = WindowBatches(20, batch_size=8, seed=1)
    first = list(sampler)
    assert sorted(i for batch in first for i in batch) == list(range(20))
    assert first == list(sampler) != [list(range(8)), list(range(8, 16)), list(range(16, 20))]
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert batches(20, batch_size=8, seed=2) != first


def test_the_last_step_is_dealt_evenly() -> None:
    # Steps of 8 over 2 ranks; the last has 3 windows: 2 and 1.
    assert batches(11, batch_size=8, num_ranks=2) == [[0, 1, 2, 3], [8, 9]]
    assert batches(11, batch_size=8, num_ranks=2, rank=1) == [[4, 5, 6, 7], [10]]
    # In 2 accumulated parts of 2: 3 windows fill one turn of 2 parts, 5 windows two turns, of 2, 1, 1 and 1.
    assert batches(11, batch_size=8, num_ranks=2, accumulate=2) == [[0, 1], [4, 5], [8, 9]]
    assert batches(13, batch_size=8, num_ranks=2, accumulate=2, rank=1) == [[2, 3], [6, 7], [10], [12]]
    # One window for two ranks: one has none, and yields as many batches.
    assert batches(5, batch_size=4, num_ranks=2, rank=1) == [[2, 3], []]


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("num_windows", [1, 11, 12, 13, 25, 36])
def test_ranks_take_each_window_once_and_step_together(num_windows, accumulate, num_ranks) -> None:
    options = {"batch_size": 12, "num_ranks": num_ranks, "accumulate": accumulate, "seed": 0}
    ranks = [WindowBatches(num_windows, rank=rank, **options) for rank in range(num_ranks)]
    dealt = [list(rank) for rank in ranks]
    assert {len(rank) for rank in ranks} == {len(batches) for batches in dealt} == {len(dealt[0])}
    assert sorted(i for batches in dealt for batch in batches for i in batch) == list(range(num_windows))
    one = batches(num_windows, batch_size=12, seed=0)
    for step, whole in enumerate(one):
        parts = [batch for rank in dealt for batch in rank[step * accumulate : (step + 1) * accumulate]]
        assert sorted(i for part in parts for i in part) == sorted(whole)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_batch_that_does_not_divide() -> None:
    with pytest.raises(ValueError, match="`batch_size` must divide over 2 processes and 3 accumulated parts, got 8"):
        WindowBatches(10, batch_size=8, num_ranks=2, accumulate=3)


@pytest.mark.enable_socket  # torch hands tensors over through a Unix socket
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_workers_do_not_matter(dataset, num_workers) -> None:
    dataset.set_epoch(1)
    sampler = WindowBatches(len(dataset), batch_size=16, seed=0)
    loaded = list(WindowLoader(dataset, sampler, num_workers=num_workers))
    assert [len(batch["inputs"]) for batch in loaded] == [16, 16, 9]
    for indices, batch in zip(sampler, loaded, strict=True):
        expected = dataset.batch(indices)
        assert batch.keys() == expected.keys()
        for name, tensor in batch.items():
            assert np.array_equal(tensor.numpy(), expected[name])
            assert tensor.numpy().dtype == expected[name].dtype


@pytest.mark.enable_socket
def test_two_ranks_of_two_workers_see_each_window_once(dataset) -> None:
    seen = []
    for rank in range(2):
        sampler = WindowBatches(len(dataset), batch_size=8, seed=3, rank=rank, num_ranks=2)
        for batch in WindowLoader(dataset, sampler, num_workers=2):
            seen += list(batch["inputs"]) if num_counted(batch) else []  # 41 = 5 x 8 + 1: one rank's last is empty
    expected = dataset.batch(range(len(dataset)))["inputs"]
    assert len(seen) == len(np.unique(expected, axis=0)) == 41
    assert sorted(window.numpy().tobytes() for window in seen) == sorted(window.tobytes() for window in expected)


def test_an_empty_batch_counts_in_no_loss(dataset) -> None:
    batch = collate_some(dataset.batch([]))
    assert (batch["inputs"].shape, batch["inputs"].unique().tolist()) == ((1, LENGTH), [4])
    assert (batch["labels"].shape, batch["mask"].shape) == ((1, 2, 128), (1, 2, 128))
    assert num_counted(batch) == 0
    assert num_counted(collate_some(dataset.batch([0, 1]))) == 2 * 2 * 128


def test_masks_turn_with_their_window(toy, dataset) -> None:
    path = toy.folder / "store"
    dataset.store = MaskedStore.open(path)
    dataset.max_jitter = 0
    dataset.set_epoch(0)
    batch = dataset.batch(range(10))
    assert batch["mask"].dtype == np.uint8
    assert batch["mask"][:, 1].all()
    for i in range(10):
        start = 2000 + 400 * i
        counted = [not 3000 <= start + b < 4000 for b in range(0, LENGTH, 4)]
        assert batch["mask"][i, 0].tolist() == (counted[::-1] if dataset._reversed[i] else counted)
    assert 0 < dataset._reversed[:10].sum() < 10
    assert num_counted(collate_some(batch)) == batch["mask"].sum()


def test_ahead_keeps_the_order_and_works_while_the_items_are_used() -> None:
    assert list(ahead(iter(range(50)))) == list(range(50))
    threads = set()

    def items():
        for i in range(3):
            threads.add(threading.current_thread().name)
            yield i

    assert list(ahead(items())) == [0, 1, 2]
    assert threads == {"chromhub-reader"}


def test_ahead_raises_what_the_items_raise_and_stops_when_left() -> None:
    def items():
        yield 1
        raise ValueError("no more")

    reader = ahead(items())
    assert next(reader) == 1
    with pytest.raises(ValueError, match="no more"):
        next(reader)
    endless = ahead(iter(int, 1))
    assert next(endless) == 0
    endless.close()
    assert "chromhub-reader" not in {thread.name for thread in threading.enumerate()}


# CUDA branch: datasets_scripts/loader.py __init__
@pytest.mark.gpu
def test_a_gpu_is_fed_pinned_batches(dataset, device) -> None:
    sampler = WindowBatches(len(dataset), batch_size=16)
    for indices, batch in zip(sampler, WindowLoader(dataset, sampler, device=device), strict=True):
        assert batch["inputs"].is_pinned() == (device.type == "cuda")
        assert torch.equal(
            batch["inputs"].to(device, non_blocking=True).cpu(),
            torch.from_numpy(dataset.batch(indices)["inputs"]),
        )
