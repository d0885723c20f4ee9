"""Exported windows as a map-style torch dataset, from the memory-mapped copy that `load_dataset` keeps."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset as ArrowDataset
from datasets import load_dataset

from .augmentation import draw_augmentation, substitute_bases, turn_around
from .batch_dataset import BatchDataset
from .folds import Part
from .row_layout import Rows, flat_values
from .shards import Shards


class ShardWindows(BatchDataset):
    """Windows of exported shards: the batches that `WindowDataset` gives for the same windows and seed.

    `load_dataset` makes an uncompressed Arrow copy in its cache the first time. Sent to another process, it is mapped
    there anew.

    Args:
        shards: where from.
        part: "train", "valid" or "test".
        rows: (n,) which rows of the part, in order; None takes all.
        max_jitter: largest shift in bp, whole bins, at most the margin.
        reverse_complement: turn half of the windows around.
        mappability: give `mappable` too.
        substitutions: share of bases that are replaced by another, see `substitute_bases`.
        seed: of jitter, strand and substitutions.
        cache_dir: where `load_dataset` keeps its copy; None is its own cache.

    Raises:
        ValueError: no such part, more jitter than margin, no mappability in the rows, or another export in the cache.
    """

    def __init__(
        self,
        shards: Shards,
        part: Part,
        *,
        rows: np.ndarray | None = None,
        max_jitter: int = 0,
        reverse_complement: bool = False,
        mappability: bool = False,
        substitutions: float = 0.0,
        seed: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        check_reading(shards, max_jitter=max_jitter, mappability=mappability)
        shards.check_whole(part)
        self.shards = shards
        self.max_jitter = max_jitter
        self.reverse_complement = reverse_complement
        self.mappability = mappability
        self.substitutions = substitutions
        self.seed = seed
        starts = shards.windows(part)["start"].to_numpy()
        loaded: Any = load_dataset(shards.name, split=part, revision=shards.revision, cache_dir=cache_dir)
        if not np.array_equal(loaded.data.column("start").to_numpy(), starts):
            raise ValueError(
                f"the windows that `datasets` has of {shards.name} are not those that it lists: delete its copy in the "
                "cache, or export the store again"
            )
        self._dataset: ArrowDataset = loaded
        self._rows = np.arange(len(starts)) if rows is None else np.asarray(rows, np.int64)
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the jitter, the strand and the substitutions of every window anew."""
        self.epoch = epoch
        self._shifts, self._turned = draw_augmentation(
            len(self),
            seed=self.seed,
            epoch=epoch,
            max_jitter=self.max_jitter,
            bin_size=self.shards.bin_size,
            reverse_complement=self.reverse_complement,
        )

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return a batch: `inputs` (B, L) uint8 codes and `labels` (B, T, N) float32 raw units.

        With `mappability` also `mappable` (B, L) uint8, 1 where a base is mappable. Where parts of tracks
        were not measured also `mask` (B, T, N) uint8, 1 where a bin counts.
        """
        chosen = np.asarray(indices, np.int64)
        batch = self._cut(self._rows[chosen], self._shifts[chosen])
        turn_around(batch, self._turned[chosen])
        substitute_bases(batch["inputs"], chosen, share=self.substitutions, seed=self.seed, epoch=self.epoch)
        return batch

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_columns"}

    @cached_property
    def _columns(self) -> "dict[str, _MappedColumn]":
        table = self._dataset.data.table
        names = self.shards.layout.columns(mappability=self.mappability)
        return {name: _MappedColumn(table.column(name)) for name in names}

    def _cut(self, rows: np.ndarray, shifts: np.ndarray) -> dict[str, np.ndarray]:
        layout = self.shards.layout
        taken = {name: column.take(rows) for name, column in self._columns.items()}
        taken["signal"] = taken["signal"].reshape(len(rows), len(layout.track_names), layout.row_bins)
        return layout.cut(Rows(**taken), np.arange(len(rows)), shifts)


def check_reading(shards: Shards, *, max_jitter: int, mappability: bool) -> None:
    """Refuse what the rows do not hold.

    Raises:
        ValueError: jitter off the bins or beyond the margin, or mappability where none was exported.
    """
    if max_jitter < 0 or max_jitter % shards.bin_size:
        raise ValueError(f"`max_jitter` must be a multiple of the bin size {shards.bin_size}, got {max_jitter}")
    if max_jitter > shards.layout.margin:
        raise ValueError(
            f"`max_jitter` must be at most the margin {shards.layout.margin} of {shards.name}, got {max_jitter}; "
            "export it with a larger --margin"
        )
    if mappability and not shards.layout.mappability:
        raise ValueError(f"{shards.name} does not say what is mappable: its store was built without --unmappable")


class _MappedColumn:
    """The rows of a column of fixed width, in the chunks of a memory-mapped table."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        self._chunks = [flat_values(chunk).reshape(len(chunk), -1) for chunk in chunks]
        self._ends = np.cumsum([len(chunk) for chunk in chunks])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return rows, (B, width)."""
        chunk = np.searchsorted(self._ends, rows, side="right")
        within = rows - self._ends[chunk] + np.array([len(c) for c in self._chunks])[chunk]
        taken = np.empty((len(rows), self._chunks[0].shape[1]), self._chunks[0].dtype)
        for i, (c, row) in enumerate(zip(chunk.tolist(), within.tolist(), strict=True)):
            taken[i] = self._chunks[c][row]
        return taken
