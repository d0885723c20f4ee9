"""The order of a shuffled stream: which windows come in which batch, known without reading any.

The row groups of all shards, the pieces, are put in a random order. Each rank takes an equal stretch of the windows in
that order, and cuts it into the same number of batches as every other rank. Batch k belongs to lane k modulo the number
of lanes; a lane is a stretch of the rank's windows, shuffled within buffers of some thousand. So the order depends on
seed, epoch, rank and batch size, not on the number of workers: any worker can make any batch, and a worker that makes
every second one reads every second lane only.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Segment:
    """Consecutive rows [first, last) of a piece."""

    piece: int
    first: int
    last: int


class StreamOrder:
    """The batches of one rank.

    Args:
        piece_sizes: windows of each piece, in the order of the shards.
        batch_size: windows of a batch. The last batch has what is left, or the last two share it, so that every rank
            takes as many steps.
        buffer_size: windows that are shuffled together; taken up to a multiple of `batch_size`.
        num_lanes: stretches read side by side, a multiple of the number of workers where each is to read its own.
        shuffle: whether to, or to keep the order of the shards.
        seed: of the order.
        rank: this process, from 0.
        world_size: processes in all.

    Raises:
        ValueError: a value out of its range, or too few windows for every rank to take as many steps.
    """

    def __init__(
        self,
        piece_sizes: list[int],
        *,
        batch_size: int,
        buffer_size: int,
        num_lanes: int,
        shuffle: bool,
        seed: int,
        rank: int,
        world_size: int,
    ) -> None:
        if batch_size < 1 or buffer_size < 1 or num_lanes < 1:
            raise ValueError(
                f"`batch_size`, `buffer_size` and `num_lanes` must be positive, got {batch_size}, {buffer_size} and "
                f"{num_lanes}"
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"`rank` must be one of the {world_size} processes, got {rank}")
        self.piece_sizes = np.asarray(piece_sizes, np.int64)
        self.num_windows = int(self.piece_sizes.sum())
        if self.num_windows < world_size or (batch_size == 1 and self.num_windows % world_size):
            raise ValueError(
                f"{self.num_windows} windows in batches of {batch_size} do not give {world_size} processes as many "
                "steps each; use fewer processes"
            )
        self.batch_size = batch_size
        self.buffer_size = -(-buffer_size // batch_size) * batch_size
        self.shuffle = shuffle
        self.seed = seed
        self._first = self.num_windows * rank // world_size
        sizes = self._sizes(self.num_windows * (rank + 1) // world_size - self._first, world_size)
        self.num_batches = len(sizes)
        self.num_lanes = min(num_lanes, len(sizes))
        # Where each batch lies in its lane, and each lane in the epoch's order.
        ends = [np.cumsum(sizes[lane :: self.num_lanes]) for lane in range(self.num_lanes)]
        self._lane_ends = ends
        self._lane_starts = self._first + np.cumsum([0, *(int(end[-1]) for end in ends)])

    def _sizes(self, windows: int, world_size: int) -> np.ndarray:
        """Return the size of each batch of a rank with so many windows."""
        number = -(-self.num_windows // (world_size * self.batch_size))
        sizes = np.full(number, self.batch_size)
        sizes[-1] = windows - (number - 1) * self.batch_size
        if sizes[-1] == 0:  # the other ranks have one window more, which is their last batch
            sizes[-2:] = self.batch_size - 1, 1
        return sizes

    def place(self, batch: int) -> tuple[int, int, slice]:
        """Return the lane of a batch, the number of its buffer in the lane, and its windows in the shuffled buffer."""
        lane, i = batch % self.num_lanes, batch // self.num_lanes
        ends = self._lane_ends[lane]
        start = int(ends[i - 1]) if i else 0
        buffer = start // self.buffer_size
        first = buffer * self.buffer_size
        return lane, buffer, slice(start - first, int(ends[i]) - first)

    def num_buffers(self, lane: int) -> int:
        """Return how many buffers a lane has."""
        return -(-int(self._lane_ends[lane][-1]) // self.buffer_size)

    def pieces(self, epoch: int) -> np.ndarray:
        """Return the order of the pieces in an epoch."""
        number = len(self.piece_sizes)
        return np.random.default_rng([self.seed, epoch, 1]).permutation(number) if self.shuffle else np.arange(number)

    def buffer(self, pieces: np.ndarray, lane: int, buffer: int, *, epoch: int) -> tuple[list[Segment], np.ndarray]:
        """Return what to read for a buffer, and the order in which its rows are handed out.

        Args:
            pieces: from `pieces(epoch)`.
            lane: of the rank.
            buffer: number in the lane.
            epoch: from 0.

        Returns:
            Segments, whose rows fill the buffer one after the other; and (R,) int64, its shuffled rows.
        """
        ends = np.cumsum(self.piece_sizes[pieces])
        start = int(self._lane_starts[lane]) + buffer * self.buffer_size
        stop = min(start + self.buffer_size, int(self._lane_starts[lane + 1]))
        segments = []
        at, i = start, int(np.searchsorted(ends, start, side="right"))
        while at < stop:
            begin = int(ends[i] - self.piece_sizes[pieces[i]])
            last = min(stop, int(ends[i]))
            segments.append(Segment(int(pieces[i]), at - begin, last - begin))
            at, i = last, i + 1
        if self.shuffle:
            return segments, np.random.default_rng([self.seed, epoch, 2, start]).permutation(stop - start)
        return segments, np.arange(stop - start)
