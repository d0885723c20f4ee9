"""The ceiling of a track: how well two halves of its own reads agree.

Reads are drawn into two halves by chance, each half is counted as the track was, and the two are compared as a model's
prediction is with the truth. It is what two experiments of half the depth share; noise keeps any model below it, if not
exactly there, since the whole track is deeper than its halves.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..datasets_scripts.fragments import Insertions, bin_positions
from ..datasets_scripts.read_spool import ReadSpool, spool_reads
from ..datasets_scripts.reads import ReadRules
from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.store_inputs import TrackSource
from ..datasets_scripts.track_kinds import READ_KINDS
from .metrics import PearsonState
from .track_states import rebin

_STREAM = 0x68616C66  # of random numbers: reads that were simulated by the same seed are not cut along its draws


@dataclass(frozen=True)
class HalfSpool(ReadSpool):
    """One of two random halves of a file's reads; each read is in one of them.

    Attributes:
        half: 0 or 1.
        seed: of the draw.
        collapse: draw reads with the same two ends once, so that no copy of one lies in either half.
    """

    half: int = 0
    seed: int = 0
    collapse: bool = False

    def ends(self, chrom: str, cell_type: str = "") -> np.ndarray:
        """Return first and last base of the half's reads of a chromosome, (n, 2) int32."""
        ends = super().ends(chrom, cell_type)
        if self.collapse:
            ends = np.unique(ends, axis=0)
        rng = np.random.default_rng([_STREAM, self.seed, list(self.numbers).index(chrom)])
        return ends[rng.integers(0, 2, len(ends)) == self.half]


def as_recorded(reads: TrackSource, store: GenomeStore) -> TrackSource:
    """Return reads as a store's track of that name was made: Tn5 shift, duplicates and mapping quality.

    Where the track was not made of reads, nothing of it is recorded, and they stay as they are.

    Raises:
        ValueError: the store has no such track.
    """
    store.track_metadata(reads.name)  # refuses an unknown one
    entry = next(entry for entry in store.description["tracks"] if entry["name"] == reads.name)
    if entry.get("kind") not in READ_KINDS:
        return reads
    rules = {key: entry[key] for key in ("min_mapping_quality", "duplicates") if key in entry}
    shift = tuple(entry.get("tn5_shift", reads.tn5_shift))
    return TrackSource(reads.name, reads.path, reads.kind, shift, ReadRules(**rules))


def half_agreement(
    reads: TrackSource, store: GenomeStore, targets: pd.DataFrame, bin_sizes: Sequence[int], *, seed: int = 0
) -> dict[str, dict[str, float | int | None]]:
    """Compare two random halves of the reads of a track, counted in the store's bins.

    Memory holds a chromosome's reads and bins; the file is read once, into a temporary folder (8 bytes a read).

    Args:
        reads: the file, and how it is read.
        store: its chromosomes, bin size and summary.
        targets: columns chrom, start, end: where the halves are compared; what does not fill a bin is left out.
        bin_sizes: bp, multiples of the store's.
        seed: of the draw.

    Returns:
        By bin size as text, `n`, `pearson` and `mse` of log1p of the two halves.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no reads, bins that do not fit, or chromosomes that are not the store's.
    """
    if not reads.path.is_file():
        raise FileNotFoundError(f"{reads.path} does not exist or is not a file")
    if wrong := [size for size in bin_sizes if size <= 0 or size % store.bin_size]:
        raise ValueError(f"bin sizes must be multiples of the store's {store.bin_size} bp, got {wrong[0]}")
    states = {size: PearsonState() for size in bin_sizes}
    with tempfile.TemporaryDirectory(prefix="chromhub-reads-") as folder:
        spool = spool_reads(reads.path, Path(folder), kind=reads.kind, rules=reads.rules)
        collapse = reads.rules.duplicates == "collapse"
        halves = [
            Insertions(
                HalfSpool(**vars(spool), half=half, seed=seed, collapse=collapse),
                store.chrom_sizes,
                tn5_shift=reads.tn5_shift,
                what=str(reads.path),
            )
            for half in (0, 1)
        ]
        for chrom, rows in targets.groupby("chrom", sort=False):
            size, spans = store.chrom_sizes[str(chrom)], rows[["start", "end"]].to_numpy(np.int64)
            options: dict[str, Any] = {"num_bins": -(-size // store.bin_size), "bin_size": store.bin_size}
            first, second = (
                bin_positions(np.concatenate(half.cuts(str(chrom))), summary=store.summary, **options)
                for half in halves
            )
            add_agreement(states, first, second, spans, bin_size=store.bin_size, summary=store.summary)
    return {str(size): state.summary() for size, state in states.items()}


def add_agreement(
    states: dict[int, PearsonState],
    first: np.ndarray,
    second: np.ndarray,
    spans: np.ndarray,
    *,
    bin_size: int,
    summary: str,
) -> None:
    """Add the bins of two halves of a chromosome to the states of each bin size.

    Args:
        states: by bin size in bp; changed.
        first: (bins,) of the chromosome.
        second: (bins,) likewise.
        spans: (m, 2) starts and ends in bp.
        bin_size: bp per bin.
        summary: of the bins that are joined.
    """
    for size, state in states.items():
        sides: list[list[np.ndarray]] = [[], []]
        for start, end in spans:
            low = -(-int(start) // bin_size)
            high = low + (int(end) // bin_size - low) * bin_size // size * size // bin_size
            for side, values in zip(sides, (first, second), strict=True):
                side.append(rebin(values[low : max(low, high)], size // bin_size, summary=summary))
        one, other = (np.log1p(np.concatenate(side)) for side in sides)
        state.update(one, other)
