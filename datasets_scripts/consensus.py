"""Tracks of a store -> one track that sums them up: the mean, the largest, or how many cell types are open."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from .build import extended_store
from .interval_runs import Runs
from .pieces import piece_key
from .store import GenomeStore
from .store_inputs import InputReport
from .store_tracks import write_track
from .track_jobs import piece_name

How = Literal["mean", "max", "open"]


def add_consensus(
    store: str | Path,
    name: str,
    *,
    how: How,
    tracks: Sequence[str] | None = None,
    threshold: float | None = None,
) -> GenomeStore:
    """Add a track made of others, bin by bin.

    A bin that was not measured in a track does not count for it; one that no track measured is masked.

    Args:
        store: its folder.
        name: of the new track.
        how: "mean" or "max" of the tracks, or "open": the number of cell types (metadata `cell_type`; a track without
            is its own) of which a track reaches `threshold`.
        tracks: names; None takes all that are not such a summary themselves.
        threshold: raw units a bin, for "open" alone.

    Returns:
        The store with another fingerprint, its arrays mapped.

    Raises:
        ValueError: a wrong option, an unknown track, or a name that is taken.
    """
    old = GenomeStore.open(store, in_memory=False)
    if how not in get_args(How):
        raise ValueError(f"--how must be one of {', '.join(get_args(How))}, got {how!r}")
    if (how == "open") != (threshold is not None):
        raise ValueError(f"--threshold must be given for --how open, and for that alone, got {threshold} for {how}")
    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(f"--threshold must be a finite number, got {threshold}")
    if not name or not name.replace(".", "_").replace("+", "_").replace("-", "_").isidentifier():
        raise ValueError(f"--name must be letters, digits and _ . + -, not first a digit, got {name!r}")
    entries = {entry["name"]: entry for entry in old.description["tracks"]}
    if tracks is None:
        tracks = [track for track, entry in entries.items() if entry.get("kind") != "consensus"]
    for track in tracks:
        old.track_metadata(track)  # refuses an unknown one
    if len(set(tracks)) < 2:
        raise ValueError(f"a consensus needs two different tracks or more, got {list(tracks)}")
    masked: list[tuple[str, int, int]] = []
    with extended_store(old, [name]) as (pieces, add):
        path = pieces.folder / "tracks" / f"{name}.npy"
        stats = write_track(path, _bins(old, tracks, how, threshold, masked), bin_size=old.bin_size)
        files = [f"tracks/{name}.npy"]
        if masked:
            table = pd.DataFrame(masked, columns=pd.Index(["chrom", "start", "end"]))
            table.to_csv(path.with_suffix(".mask.tsv"), sep="\t", index=False, lineterminator="\n")
            stats["masked_bp"] = sum(end - start for _, start, end in masked)
            files.append(f"tracks/{name}.mask.tsv")
        entry = {"name": name, "kind": "consensus", "how": how, "of": list(tracks), "threshold": threshold} | stats
        report = InputReport(f"track {name}", unit="tracks", read=len(tracks), kept=len(tracks))
        value = {"entry": entry, "report": asdict(report)}
        digests = [entries[track].get("digest") for track in tracks]
        pieces.record(piece_name(name), piece_key("consensus", how, threshold, digests), value, files=files)
        add([entry], [asdict(report)])
    return GenomeStore.open(old.path, in_memory=False)


def _bins(
    store: GenomeStore, tracks: Sequence[str], how: How, threshold: float | None, masked: list[tuple[str, int, int]]
) -> Iterator[np.ndarray]:
    """Yield the consensus of each chromosome; add where no track was measured to `masked`."""
    groups = {track: store.track_metadata(track).get("cell_type") or f"track {track}" for track in tracks}
    for chrom, size in store.chrom_sizes.items():
        num_bins = -(-size // store.bin_size)
        total = np.zeros(num_bins, np.float64 if how == "mean" else np.float32)
        num_measured = np.zeros(num_bins, np.uint32)
        for group in dict.fromkeys(groups.values()):
            is_open = np.zeros(num_bins, bool)
            for track in (t for t, g in groups.items() if g == group):
                bins, measured = store.signal(chrom, track), _measured(store, chrom, track, num_bins)
                num_measured += measured
                if how == "mean":
                    total += np.where(measured, bins, 0)
                elif how == "max":
                    total = np.maximum(total, np.where(measured, bins, 0))
                else:
                    is_open |= measured & (bins >= threshold)
            if how == "open":
                total += is_open
        if how == "mean":
            total /= num_measured.clip(1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], num_measured == 0, [False]]))) * store.bin_size
        masked += [(chrom, start, min(end, size)) for start, end in edges.reshape(-1, 2).tolist()]
        yield total.astype(np.float32)


def _measured(store: GenomeStore, chrom: str, track: str, num_bins: int) -> np.ndarray:
    """Return which bins of a chromosome a track was measured in."""
    mask = store.track_mask(track)
    is_here = mask["chrom"].to_numpy() == chrom
    starts, ends = (mask[column].to_numpy(np.int64)[is_here] for column in ("start", "end"))
    runs = Runs.of(starts, ends, unit=store.bin_size)
    return runs.outside(np.arange(num_bins)).astype(bool)
