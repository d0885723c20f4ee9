"""The one way windows come to a model, in training, evaluation and prediction: whole batches of codes, in a set order.

A batch is gathered at once and stays codes (1 byte a base) until it is on the device, where the model makes the
one-hot. Which windows a batch holds depends on the seed and the epoch alone: not on the number of worker processes,
and over several ranks the batches of one step are together the batch of one process.
"""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from .batch_dataset import BatchDataset
from .dataset import collate
from .fasta import N_CODE

T = TypeVar("T")


class WindowBatches(Sampler[list[int]]):
    """Batches of window indices: every window once an epoch, over all ranks together.

    Step s is windows [s * `batch_size`, (s + 1) * `batch_size`) of the epoch's order, dealt to `num_ranks` x
    `accumulate` parts; a rank yields its part of each of the `accumulate`. The last, smaller step is dealt as evenly,
    so parts may differ by a window and one may be empty; every rank yields as many parts as the others.

    Args:
        num_windows: of the dataset.
        batch_size: windows of one step, over all ranks; a multiple of `num_ranks` * `accumulate`.
        seed: of the order; None keeps the windows in theirs.
        rank: of this process.
        num_ranks: processes.
        accumulate: parts of a step that one process takes one after the other.

    Raises:
        ValueError: a batch size that does not divide so.
    """

    def __init__(
        self,
        num_windows: int,
        *,
        batch_size: int,
        seed: int | None = None,
        rank: int = 0,
        num_ranks: int = 1,
        accumulate: int = 1,
    ) -> None:
        if batch_size < 1 or batch_size % (num_ranks * accumulate):
            raise ValueError(
                f"`batch_size` must divide over {num_ranks} processes and {accumulate} accumulated parts, "
                f"got {batch_size}"
            )
        self.num_windows = num_windows
        self.step_size = batch_size
        self.seed = seed
        self.rank = rank
        self.num_ranks = num_ranks
        self.part_size = batch_size // (num_ranks * accumulate)
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of batches of this rank."""
        return -(-self.num_windows // (self.num_ranks * self.part_size))

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the windows of each batch."""
        order = np.arange(self.num_windows)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_windows)
        for first in range(0, self.num_windows, self.step_size):
            step = order[first : first + self.step_size]
            turns = -(-len(step) // (self.num_ranks * self.part_size))
            for part in np.array_split(step, self.num_ranks * turns)[self.rank :: self.num_ranks]:
                yield part.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and so the order."""
        self.epoch = epoch


class _WholeBatches(Dataset):
    """Windows as the DataLoader underneath reads them: a batch at once, whole."""

    def __init__(self, windows: BatchDataset) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(cast(Any, self.windows))

    def __getitems__(self, indices: list[int]) -> dict[str, np.ndarray]:
        return self.windows.batch(indices)


class WindowLoader(DataLoader):
    """A torch DataLoader of whole batches of windows: `inputs` (B, L) uint8 codes, `labels` (B, T, N) float32, ...

    Without worker processes a CUDA device is fed by a thread that gathers and pins the next batch while the model
    computes. A CPU is not: it gathers a batch of 64 in some 40 microseconds, and trains on it for milliseconds or more.

    Args:
        dataset: the windows, of a store (`WindowDataset`) or an export (`ShardWindows`), with signal or with labels.
        batches: their indices; a sampler, or lists.
        num_workers: processes that gather; 0 gathers in this one.
        device: where the batches go, by the caller.
        **options: more of DataLoader's.
    """

    def __init__(
        self,
        dataset: BatchDataset,
        batches: Iterable[list[int]],
        *,
        num_workers: int = 0,
        device: torch.device | str = "cpu",
        **options: Any,
    ) -> None:
        pin = torch.device(device).type == "cuda"
        super().__init__(
            _WholeBatches(dataset),
            batch_sampler=cast(Any, batches),  # torch needs no more than an Iterable
            collate_fn=cast(Any, collate_some),
            num_workers=num_workers,
            pin_memory=pin,
            **options,
        )
        self.read_ahead = pin and num_workers == 0

    def __iter__(self) -> Any:
        """Yield the batches in order."""
        return ahead(super().__iter__()) if self.read_ahead else super().__iter__()


def collate_some(batch: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return a batch as tensors; an empty one becomes one window of N that counts in no loss (`mask` is 0).

    A rank whose part of the last step is empty computes on it, since the others wait for its gradient.
    """
    if not len(batch["inputs"]):
        batch = {name: np.zeros((1, *array.shape[1:]), array.dtype) for name, array in batch.items()}
        batch["inputs"] += np.uint8(N_CODE)
        batch["mask"] = np.zeros(batch["labels"].shape, np.uint8)
    return collate(batch)


def num_counted(batch: dict[str, torch.Tensor]) -> int:
    """Return how many bins of a batch's labels count in a loss."""
    return int(batch["mask"].sum()) if "mask" in batch else batch["labels"].numel()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield the items in order, each made by a thread while the one before is being used."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not stop.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where the items are used
            put("error", error)
        else:
            put("end", None)

    thread = threading.Thread(target=work, name="chromhub-reader", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join()
