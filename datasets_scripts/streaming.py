"""Exported windows as a shuffled stream, from a folder or from the Hub, without a copy on disk.

`datasets`' own shuffled streams forget their buffer when they are resumed, and pause for 5 seconds after each pass over
several Parquet shards. This reader knows its order beforehand (stream_order.py), so it can start at any batch.
"""

import math
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .augmentation import draw_augmentation, substitute_bases, turn_around
from .dataset import collate
from .folds import Part
from .row_layout import Rows
from .shard_windows import check_reading
from .shards import Shards
from .stream_order import Segment, StreamOrder

_BUFFER_BYTES = 32 << 20  # of a lane's buffer, of which it has two
_LOCAL_READERS, _HUB_READERS = 2, 16  # row groups read at a time: a disk wants few, the Hub's latency many


class StreamingWindows(IterableDataset):
    """Batches of exported windows, each window once an epoch over all ranks and workers.

    The batch holds what `WindowDataset` gives for the same windows, seed and epoch; only the order is the stream's own.
    It depends on seed, epoch, ranks and batch size, not on the number of workers. For a DataLoader with
    `batch_size=None`, such as `StreamLoader`; with `persistent_workers` the workers do not see `set_epoch`.

    Args:
        shards: where from.
        part: "train", "valid" or "test".
        batch_size: windows of a batch on this rank.
        max_jitter: largest shift in bp, whole bins, at most the margin.
        reverse_complement: turn half of the windows around.
        mappability: give `mappable` too.
        substitutions: share of bases that are replaced by another, see `substitute_bases`.
        shuffle: pieces of some hundred windows, and the windows of each buffer; else the order of the shards.
        seed: of order, jitter, strand and substitutions.
        rank: this process, from 0.
        world_size: processes in all.
        buffer_size: windows shuffled together; None takes 32 MiB of them.
        num_lanes: stretches read side by side, a multiple of the number of workers where each is to read its own.

    Raises:
        ValueError: no such part, or a value out of its range.
    """

    def __init__(
        self,
        shards: Shards,
        part: Part,
        *,
        batch_size: int,
        max_jitter: int = 0,
        reverse_complement: bool = False,
        mappability: bool = False,
        substitutions: float = 0.0,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        buffer_size: int | None = None,
        num_lanes: int = 4,
    ) -> None:
        check_reading(shards, max_jitter=max_jitter, mappability=mappability)
        self.shards = shards
        self.max_jitter = max_jitter
        self.reverse_complement = reverse_complement
        self.mappability = mappability
        self.substitutions = substitutions
        self.seed = seed
        self._files = shards.part_files(part)
        self._groups = [
            (file, group) for file, shard in enumerate(self._files) for group in range(len(shard.group_sizes))
        ]
        sizes = [size for shard in self._files for size in shard.group_sizes]
        self._piece_starts = np.cumsum([0, *sizes])  # index of each piece's first window in the part
        self._order = StreamOrder(
            sizes,
            batch_size=batch_size,
            buffer_size=buffer_size or max(1, _BUFFER_BYTES // shards.layout.row_bytes),
            num_lanes=num_lanes,
            shuffle=shuffle,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )
        self.epoch = 0
        self.handed_out = 0  # batches of this epoch, by this copy of the dataset or the loader around it
        self._start = self._unread = 0

    def __len__(self) -> int:
        """Return the number of batches of an epoch on this rank, the same on every rank."""
        return self._order.num_batches

    @property
    def num_windows(self) -> int:
        """Windows of the part, on all ranks."""
        return self._order.num_windows

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; one that is not the present one starts at its first batch."""
        self._unread = 0
        if epoch != self.epoch:
            self.epoch = epoch
            self.handed_out = self._start = 0

    def leave_unread(self, batches: int) -> None:
        """Let the next pass give its first so many batches empty, as a training loop that resumes drops them anyway.

        A call of `set_epoch` takes it back.
        """
        self._unread = batches

    def state_dict(self) -> dict[str, int]:
        """Return where the stream is: `epoch`, and `batches` of it that were handed out."""
        if self.handed_out >= len(self):
            return {"epoch": self.epoch + 1, "batches": 0}
        return {"epoch": self.epoch, "batches": self.handed_out}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next pass begin with the batch after `state`; the pass after that is whole again.

        Raises:
            ValueError: more batches than an epoch has: the state of other data, batch size or number of processes.
        """
        if not 0 <= state["batches"] < len(self):
            raise ValueError(f"the state to resume has {state['batches']} batches of {len(self)}: it is of another run")
        self.epoch = state["epoch"]
        self.handed_out = self._start = state["batches"]

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield batches as `WindowDataset` gives them, numpy arrays."""
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        mine = range(self._start + first, len(self), step)
        unread = len(range(mine.start, self._start + self._unread, step))
        self._start = self._unread = 0
        for batch in mine[:unread]:
            self.handed_out = batch + 1
            yield {}
        with _Reader(self, mine[unread:]) as reader:
            for batch in reader.batches:
                arrays = reader.read(batch)
                self.handed_out = batch + 1
                yield arrays


class StreamLoader(DataLoader):
    """A DataLoader of a stream that keeps the stream's place while workers read ahead of it.

    Args:
        stream: the dataset; its `state_dict` counts what this loader has handed out.
        **options: of `DataLoader`, e.g. num_workers, pin_memory.
    """

    def __init__(self, stream: StreamingWindows, **options: Any) -> None:
        super().__init__(stream, **{"batch_size": None, "collate_fn": collate, **options})
        self.stream = stream

    def __iter__(self) -> Any:
        """Yield batches of tensors, from where the stream is."""
        start = self.stream._start
        for i, batch in enumerate(super().__iter__()):
            self.stream._start = 0
            self.stream.handed_out = start + i + 1
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""
        self.stream.set_epoch(epoch)


class _Buffer:
    """Rows that are shuffled together, while they are read and after."""

    def __init__(self, number: int, rows: Rows, order: np.ndarray, indices: np.ndarray, reads: list[Future]) -> None:
        self.number = number
        self.rows = rows
        self.order = order
        self.indices = indices  # of each row's window in the part
        self.reads = reads


class _Lane:
    """Two buffers: one that batches are cut from, one that is being filled."""

    def __init__(self) -> None:
        self.present: _Buffer | None = None
        self.coming: _Buffer | None = None
        self.spare: list[Rows] = []  # fresh memory costs more than filling it


class _Reader:
    """One pass over some batches of an epoch, with the next buffers read in the background."""

    def __init__(self, stream: StreamingWindows, batches: range) -> None:
        self.stream = stream
        self.batches = batches
        self.order = stream._order
        self.epoch = stream.epoch
        self.layout = stream.shards.layout
        self.pieces = self.order.pieces(self.epoch)
        self.shifts, self.turned = draw_augmentation(
            self.order.num_windows,
            seed=stream.seed,
            epoch=self.epoch,
            max_jitter=stream.max_jitter,
            bin_size=self.layout.bin_size,
            reverse_complement=stream.reverse_complement,
        )
        self.lanes = [_Lane() for _ in range(self.order.num_lanes)]
        self.columns = self.layout.columns(mappability=stream.mappability)
        self.opened: dict[tuple[int, int], pq.ParquetFile] = {}  # by thread: a Parquet file is for one of them

    def __enter__(self) -> "_Reader":
        readers = _LOCAL_READERS if self.stream.shards.revision is None else _HUB_READERS
        self.pool = ThreadPoolExecutor(readers, thread_name_prefix="chromhub-shards")
        for batch in self.batches[: self.order.num_lanes]:
            number, buffer, _ = self.order.place(batch)
            if self.lanes[number].coming is None:
                self.lanes[number].coming = self._load(number, buffer)
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)

    def read(self, batch: int) -> dict[str, np.ndarray]:
        """Return a batch; they must be asked for in order."""
        number, wanted, place = self.order.place(batch)
        buffer = self.lanes[number].present
        if buffer is None or buffer.number != wanted:
            buffer = self._next_buffer(number, batch)
        rows = buffer.order[place]
        indices = buffer.indices[rows]
        arrays = self.layout.cut(buffer.rows, rows, self.shifts[indices])
        turn_around(arrays, self.turned[indices])
        share, seed = self.stream.substitutions, self.stream.seed
        substitute_bases(arrays["inputs"], indices, share=share, seed=seed, epoch=self.epoch)
        return arrays

    def _next_buffer(self, number: int, batch: int) -> _Buffer:
        """Return the buffer that `batch` needs, and begin to fill the one after it."""
        lane, wanted = self.lanes[number], self.order.place(batch)[1]
        if lane.present is not None:
            lane.spare.append(lane.present.rows)
        buffer = lane.coming or self._load(number, wanted)
        for read in buffer.reads:
            read.result()
        lane.present, lane.coming = buffer, None
        for later in range(batch, self.batches.stop, math.lcm(self.batches.step, self.order.num_lanes)):
            after = self.order.place(later)[1]
            if after != wanted:
                lane.coming = self._load(number, after)
                break
        return buffer

    def _load(self, number: int, buffer: int) -> _Buffer:
        """Begin to fill a buffer."""
        segments, order = self.order.buffer(self.pieces, number, buffer, epoch=self.epoch)
        spare = self.lanes[number].spare
        if spare:
            rows = spare.pop()
        else:
            size = min(self.order.buffer_size, self.order.num_windows)
            rows = self.layout.empty_rows(size, mappability=self.stream.mappability)
        indices = [np.arange(s.first, s.last) + self.stream._piece_starts[s.piece] for s in segments]
        reads, at = [], 0
        for segment in segments:
            reads.append(self.pool.submit(self._fill, rows, at, segment))
            at += segment.last - segment.first
        return _Buffer(buffer, rows, order, np.concatenate(indices), reads)

    def _fill(self, memory: Rows, at: int, segment: Segment) -> None:
        """Read a segment into its place."""
        file, group = self.stream._groups[segment.piece]
        table = self._open(file).read_row_group(group, columns=self.columns, use_threads=False)
        rows = self.layout.decode(table.slice(segment.first, segment.last - segment.first))
        for target, source in zip(memory, rows, strict=True):
            if target is not None and source is not None:
                target[at : at + len(source)] = source

    def _open(self, file: int) -> pq.ParquetFile:
        key = threading.get_ident(), file
        if key not in self.opened:
            self.opened[key] = self.stream.shards.open_file(self.stream._files[file])
        return self.opened[key]
