"""Windows of a store as a torch dataset, and the one home of the rules which windows there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from .augmentation import draw_augmentation, substitute_bases, turn_around
from .batch_dataset import BatchDataset
from .bed import sizes_of
from .folds import Part
from .store import GenomeStore
from .store_files import PADDING
from .windows import background_windows, drop_covered, drop_overlapping, peak_windows, tile_intervals

MAX_N_FRACTION = 0.35  # of a training window, or of an evaluation target
WindowKind = Literal["tile", "peaks", "peaks+background"]


class WindowDataset(BatchDataset):
    """Windows of a store: base codes and raw signal, a batch in one gather.

    For torch's DataLoader and transformers' Trainer as they are; `WindowLoader` is faster.

    Jitter, strand and substitutions of a window depend on the seed, the epoch and its index alone, so the batch of
    (seed, epoch, indices) is the same at any batch size, number of workers, or after a resume. Workers that outlive an
    epoch (`persistent_workers`) do not see `set_epoch`.

    Args:
        store: the genome.
        windows: columns chrom, start, end, each `input_length` long and starting on a bin.
        input_length: bp of a window.
        max_jitter: largest shift in bp, a multiple of the bin size; shifts are whole bins, both ways.
        reverse_complement: turn half of the windows around.
        mappability: give `mappable` too, for a model with that head.
        substitutions: share of bases that are replaced by another, see `substitute_bases`.
        seed: of jitter, strand and substitutions.

    Raises:
        ValueError: windows of another length, off the bins, or that with jitter leave the padded chromosome.
    """

    def __init__(
        self,
        store: GenomeStore,
        windows: pd.DataFrame,
        *,
        input_length: int,
        max_jitter: int = 0,
        reverse_complement: bool = False,
        mappability: bool = False,
        substitutions: float = 0.0,
        seed: int = 0,
    ) -> None:
        _check_windows(store, windows, input_length, max_jitter)
        self.store = store
        self.windows = windows.reset_index(drop=True)
        self.input_length = input_length
        self.max_jitter = max_jitter
        self.reverse_complement = reverse_complement
        self.mappability = mappability
        self.substitutions = substitutions
        self.seed = seed
        self._starts = store.flat_starts(windows)
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the jitter, the strand and the substitutions of every window anew."""
        self.epoch = epoch
        self._jitter, self._reversed = draw_augmentation(
            len(self),
            seed=self.seed,
            epoch=epoch,
            max_jitter=self.max_jitter,
            bin_size=self.store.bin_size,
            reverse_complement=self.reverse_complement,
        )

    def __len__(self) -> int:
        return len(self._starts)

    def batch(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return a batch: `inputs` (B, L) uint8 codes and `labels` (B, T, N) float32 raw units.

        With `mappability` also `mappable` (B, L) uint8, 1 where a base is mappable. From a store that masks
        parts of its tracks also `mask` (B, T, N) uint8, 1 where a bin counts. Both turn with their window.
        """
        chosen = np.asarray(indices, np.int64)
        starts = self._starts[chosen] + self._jitter[chosen]
        codes, signal = self.store.gather(starts, self.input_length)
        batch = {"inputs": codes, "labels": signal}
        if self.mappability:
            batch["mappable"] = self.store.gather_mappable(starts, self.input_length)
        if self.store.has_masks:
            batch["mask"] = self.store.gather_mask(starts, self.input_length)
        turn_around(batch, self._reversed[chosen])
        substitute_bases(batch["inputs"], chosen, share=self.substitutions, seed=self.seed, epoch=self.epoch)
        return batch


def collate(batch: Mapping[str, np.ndarray] | Sequence[Mapping[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Return a batch as tensors; for `DataLoader(dataset, collate_fn=collate)`."""
    if not isinstance(batch, Mapping):
        batch = {name: np.stack([item[name] for item in batch]) for name in batch[0]}
    return {name: torch.from_numpy(array) for name, array in batch.items()}


@dataclass(frozen=True)
class WindowPlan:
    """Which windows a model is trained on.

    Attributes:
        kind: "tile" (every `stride` bp), "peaks" (centred on summits), or "peaks+background" (peaks, and windows of the
            same GC content away from them).
        stride: bp between tiles.
        max_unmappable: largest part of a window (with its jitter) that may be unmappable.
        negative_ratio: background windows per peak window.
        seed: of the choice of background.

    Raises:
        ValueError: a value out of its range.
    """

    kind: WindowKind = "tile"
    stride: int = 1024
    max_unmappable: float = 0.35
    negative_ratio: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("tile", "peaks", "peaks+background"):
            raise ValueError(f"`kind` must be tile, peaks or peaks+background, got {self.kind!r}")
        if self.stride <= 0:
            raise ValueError(f"`stride` must be positive, got {self.stride}")
        if not 0 <= self.max_unmappable <= 1:
            raise ValueError(f"`max_unmappable` must lie in [0, 1], got {self.max_unmappable}")
        if self.negative_ratio < 0:
            raise ValueError(f"`negative_ratio` must not be negative, got {self.negative_ratio}")


def training_windows(
    store: GenomeStore, plan: WindowPlan, *, input_length: int, max_jitter: int, part: Part = "train"
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the input windows to train on, and what was left out.

    Every rule is applied to the window with its jitter, `input_length + 2 * max_jitter` bp: it lies inside one interval
    of the part, shares no base with the blacklist, is at most `plan.max_unmappable` unmappable and at most 35 % N.

    Args:
        store: the genome.
        plan: which windows.
        input_length: bp the model reads.
        max_jitter: largest shift in bp.
        part: whose intervals; classifiers are validated and tested on windows chosen as those of training are.

    Returns:
        Columns chrom, start, end of the windows without jitter, in the order of the genome; and the report: `kind`,
        `candidates`, `dropped` by reason, `kept`.

    Raises:
        ValueError: lengths off the bins, peak windows from a store without peaks, or no window left.
    """
    _check_on_bins(store, input_length=input_length, max_jitter=max_jitter, stride=plan.stride)
    length, what = input_length + 2 * max_jitter, "training" if part == "train" else part
    intervals = store.split.intervals(part, store.chrom_sizes)
    if plan.kind == "tile":
        candidates = tile_intervals(intervals, length=length, stride=plan.stride, align=store.bin_size)
    else:
        candidates = peak_windows(_peaks(store), length=length, align=store.bin_size)
    report = _Report(plan.kind, len(candidates))
    wide = store.split.select(candidates, part, store.chrom_sizes)
    report.drop(f"outside the {what} intervals", len(candidates) - len(wide))
    wide = _drop_masked(store, wide, plan, report)
    if plan.kind == "peaks+background" and len(wide):
        count = round(plan.negative_ratio * len(wide))
        background = background_windows(store, length=length, like=wide, count=count, seed=plan.seed, within=intervals)
        report.candidates += len(background)
        background = _drop_masked(store, background, plan, report)
        report.background = len(background)
        both = pd.concat([wide, background], ignore_index=True)
        wide = both.iloc[np.argsort(store.flat_starts(both), kind="stable")].reset_index(drop=True)
    if wide.empty:
        raise ValueError(f"{store.path}: no {what} window is left of {report.candidates}; left out: {report.dropped}")
    return wide.assign(start=wide["start"] + max_jitter, end=wide["end"] - max_jitter), report.as_dict(len(wide))


def evaluation_windows(
    store: GenomeStore,
    part: Part,
    *,
    input_length: int,
    target_length: int,
    kind: Literal["tile", "peaks"] = "tile",
    stride: int | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the input windows whose central `target_length` bp are evaluated, and what was left out.

    The target lies inside one interval of the part, shares no base with the blacklist and is at most 35 % N; the input
    has no unmappable base. The input may reach into other intervals, where only its bases are used, and hang off the
    chromosome, where it reads N.

    Args:
        store: the genome.
        part: "train", "valid" or "test".
        input_length: bp the model reads.
        target_length: bp that are compared.
        kind: "tile" (targets one after the other) or "peaks" (targets centred on summits).
        stride: bp between tiled targets; `target_length` when None, so that none overlap.

    Returns:
        Columns chrom, start, end of the input windows, in the order of the genome, maybe none; and the report, as of
        `training_windows`.

    Raises:
        ValueError: lengths off the bins, a part without intervals, or peak windows from a store without peaks.
    """
    stride = target_length if stride is None else stride
    _check_on_bins(store, input_length=input_length, target_length=target_length, stride=stride)
    if not 0 < target_length <= input_length or (input_length - target_length) % (2 * store.bin_size):
        raise ValueError(
            f"`target_length` must lie in the middle of `input_length` by whole bins of {store.bin_size} bp, "
            f"got {target_length} of {input_length}"
        )
    context = (input_length - target_length) // 2
    intervals = store.split.intervals(part, store.chrom_sizes)
    if intervals.empty:
        raise ValueError(f"{store.path} has no {part} part: build it with a split that has one")
    if kind == "tile":
        targets = tile_intervals(intervals, length=target_length, stride=stride, align=store.bin_size)
    elif kind == "peaks":
        targets = peak_windows(_peaks(store), length=target_length, align=store.bin_size)
    else:
        raise ValueError(f"`kind` must be tile or peaks, got {kind!r}")
    report = _Report(kind, len(targets))
    kept = store.split.select(targets, part, store.chrom_sizes)
    report.drop(f"outside the {part} intervals", len(targets) - len(kept))
    kept, num_dropped = drop_overlapping(kept, store.blacklist)
    report.drop("blacklist", num_dropped)
    kept, num_dropped = drop_covered(kept, store.gaps, max_fraction=MAX_N_FRACTION)
    report.drop("N", num_dropped)
    inputs = kept.assign(start=kept["start"] - context, end=kept["end"] + context)
    inputs, num_dropped = drop_overlapping(inputs, store.unmappable)
    report.drop("unmappable", num_dropped)
    return inputs, report.as_dict(len(inputs))


class _Report:
    """Counts of windows, by the reason they were left out."""

    def __init__(self, kind: str, candidates: int) -> None:
        self.kind = kind
        self.candidates = candidates
        self.background = 0
        self.dropped: dict[str, int] = {}

    def drop(self, reason: str, number: int) -> None:
        if number:
            self.dropped[reason] = self.dropped.get(reason, 0) + number

    def as_dict(self, kept: int) -> dict[str, Any]:
        report = {"kind": self.kind, "candidates": self.candidates, "dropped": self.dropped, "kept": kept}
        return report | ({"background": self.background} if self.kind == "peaks+background" else {})


def _drop_masked(store: GenomeStore, windows: pd.DataFrame, plan: WindowPlan, report: _Report) -> pd.DataFrame:
    """Leave out training windows by the masks."""
    windows, num_dropped = drop_overlapping(windows, store.blacklist)
    report.drop("blacklist", num_dropped)
    windows, num_dropped = drop_covered(windows, store.unmappable, max_fraction=plan.max_unmappable)
    report.drop("unmappable", num_dropped)
    windows, num_dropped = drop_covered(windows, store.gaps, max_fraction=MAX_N_FRACTION)
    report.drop("N", num_dropped)
    return windows


def _peaks(store: GenomeStore) -> pd.DataFrame:
    """Return the store's peaks, of which there must be some."""
    if store.peaks.empty:
        raise ValueError(f"{store.path} was built without peaks: build it with --peaks, or take tiled windows")
    return store.peaks


def _check_on_bins(store: GenomeStore, **lengths: int) -> None:
    """Refuse lengths that are not whole bins."""
    for name, value in lengths.items():
        if value < 0 or value % store.bin_size:
            raise ValueError(f"`{name}` must be a multiple of the store's bin size {store.bin_size}, got {value}")


def _check_windows(store: GenomeStore, windows: pd.DataFrame, input_length: int, max_jitter: int) -> None:
    """Refuse windows that cannot be gathered."""
    _check_on_bins(store, input_length=input_length, max_jitter=max_jitter)
    starts, ends = windows["start"].to_numpy(np.int64), windows["end"].to_numpy(np.int64)
    if wrong := [int(length) for length in ends - starts if length != input_length]:
        raise ValueError(f"windows must be `input_length` {input_length} bp long, got one of {wrong[0]}")
    if (off := starts[starts % store.bin_size > 0]).size:
        raise ValueError(f"windows must start on bins of {store.bin_size} bp, got a start of {off[0]}")
    reach = PADDING - max_jitter
    if np.any(starts < -reach) or np.any(ends > sizes_of(windows, store.chrom_sizes) + reach):
        raise ValueError(f"windows with their jitter must lie within {PADDING} bp of their chromosome")
