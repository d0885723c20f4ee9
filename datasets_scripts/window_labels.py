"""Labels of windows, made from their signal: open or closed at the centre, track by track."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from .batch_dataset import BatchDataset
from .dataset import WindowDataset
from .shard_windows import ShardWindows
from .store import GenomeStore

_GATHER = 4096  # windows looked at together
_BATCH = 1024  # windows whose bases are read together


@dataclass(frozen=True)
class LabelRule:
    """When a window is open in a track.

    It is 1 where at least `min_covered` of the bins of the central `width` bp have a signal above `threshold`, else 0.
    Of a track made from peaks, which is above 0 inside them and 0 outside, that reads: where peaks cover at least half
    of the centre. A peak of 200 bp does so as long as its middle is at most 100 bp away, so labels follow jitter. Of a
    track that counts cell types, a threshold of k - 1 reads: open in at least k of them.

    Attributes:
        width: bp in the middle of the window that are looked at; a multiple of the bin size.
        threshold: raw units.
        min_covered: share of these bins, above 0.

    Raises:
        ValueError: a value out of its range.
    """

    width: int = 200
    threshold: float = 0.0
    min_covered: float = 0.5

    def __post_init__(self) -> None:
        if self.width <= 0 or self.threshold < 0 or not 0 < self.min_covered <= 1:
            raise ValueError(
                f"labels need a width above 0, a threshold of at least 0 and min_covered in (0, 1], got {asdict(self)}"
            )

    def check(self, *, input_length: int, bin_size: int) -> None:
        """Refuse a centre that does not lie on whole bins.

        Raises:
            ValueError: `width` is no multiple of the bin size, or longer than the window.
        """
        if self.width % bin_size or self.width > input_length:
            raise ValueError(
                f"`labels.width` must be a multiple of the data's bin size {bin_size} up to `input_length` "
                f"{input_length}, got {self.width}"
            )


def centre_bins(num_bins: int, *, width: int, bin_size: int) -> slice:
    """Return the bins of the central `width` bp; of an odd rest of bins one more lies on the right."""
    first = (num_bins - width // bin_size) // 2
    return slice(first, first + width // bin_size)


def labels_of(
    signal: np.ndarray, rule: LabelRule, *, bin_size: int, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the labels of windows.

    Args:
        signal: (B, T, N) raw units.
        rule: when a window is open.
        bin_size: bp per bin.
        mask: (B, T, N), 1 where a bin was measured.

    Returns:
        Labels (B, T) float32 of 0 and 1; and, with a mask, (B, T) uint8, 1 where the whole centre was measured.
    """
    centre = centre_bins(signal.shape[-1], width=rule.width, bin_size=bin_size)
    covered = (signal[..., centre] > rule.threshold).mean(-1)
    measured = None if mask is None else np.asarray(mask[..., centre].all(-1), np.uint8)
    return (covered >= rule.min_covered).astype(np.float32), measured


class LabelledWindows(BatchDataset):
    """Windows with labels in place of signal: `inputs` (B, L) uint8 and `labels` (B, T) float32 of 0 and 1.

    Jitter and strand are drawn by the windows underneath, and labels made from what they give, so a label is that of
    the bases beside it. Where a track was not measured, `mask` (B, T) is 0.

    Args:
        windows: of a store or of an export, with their signal.
        rule: when a window is open.
        bin_size: bp per bin of that signal.

    Raises:
        ValueError: a rule that does not fit the windows.
    """

    def __init__(self, windows: WindowDataset | ShardWindows, rule: LabelRule, *, input_length: int, bin_size: int):
        rule.check(input_length=input_length, bin_size=bin_size)
        self.signal = windows
        self.rule = rule
        self.bin_size = bin_size

    def set_epoch(self, epoch: int) -> None:
        """Draw the jitter and the strand of every window anew."""
        self.signal.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.signal)

    def batch(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return a batch."""
        batch: Mapping[str, np.ndarray] = self.signal.batch(indices)
        labels, measured = labels_of(batch["labels"], self.rule, bin_size=self.bin_size, mask=batch.get("mask"))
        return {"inputs": batch["inputs"], "labels": labels} | ({} if measured is None else {"mask": measured})


def labelled_batches(windows: LabelledWindows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield all windows in their order, batch by batch.

    Yields:
        Base codes (B, L) uint8, and labels (B, T) float64 of 0 and 1, NaN where not known.
    """
    for i in range(0, len(windows), _BATCH):
        batch = windows.batch(range(i, min(i + _BATCH, len(windows))))
        labels = batch["labels"].astype(np.float64)
        yield batch["inputs"], np.where(batch["mask"] > 0, labels, np.nan) if "mask" in batch else labels


def window_labels(store: GenomeStore, windows: pd.DataFrame, rule: LabelRule) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of windows as they lie, without jitter.

    Args:
        store: the genome.
        windows: columns chrom, start, end, of one length, on its bins.
        rule: when a window is open.

    Returns:
        Labels (n, T) bool, and whether they are known (n, T) bool.
    """
    num_tracks, bin_size = len(store.track_names), store.bin_size
    labels = np.zeros((len(windows), num_tracks), bool)
    known = np.ones((len(windows), num_tracks), bool)
    if not len(windows):
        return labels, known
    length = int(windows["end"].iloc[0] - windows["start"].iloc[0])
    rule.check(input_length=length, bin_size=bin_size)
    first = centre_bins(length // bin_size, width=rule.width, bin_size=bin_size).start * bin_size
    starts = store.flat_starts(windows) + first
    for i in range(0, len(windows), _GATHER):
        rows = slice(i, i + _GATHER)
        mask = store.gather_mask(starts[rows], rule.width) if store.has_masks else None
        found, measured = labels_of(store.gather(starts[rows], rule.width)[1], rule, bin_size=bin_size, mask=mask)
        labels[rows] = found > 0
        if measured is not None:
            known[rows] = measured > 0
    return labels, known


def balanced_weights(labels: np.ndarray, known: np.ndarray) -> list[float]:
    """Return factors on the loss of 0 and of 1 under which both weigh the same, n / (2 n of the class).

    Args:
        labels: (n, T) bool.
        known: (n, T) bool; others do not count.

    Raises:
        ValueError: one of the classes is missing.
    """
    positive, total = int((labels & known).sum()), int(known.sum())
    if not 0 < positive < total:
        raise ValueError(
            f"class_weights balanced needs both classes among the training labels, got {positive} open of {total}; "
            "change `labels` or `windows`, or leave it out"
        )
    return [total / (2 * (total - positive)), total / (2 * positive)]


def rule_of(values: Mapping[str, Any] | None) -> LabelRule:
    """Return the rule that a model's configuration or a recipe holds; the default one for None."""
    return LabelRule(**(values or {}))
