"""GenomeStore: a genome and its tracks as flat arrays, from which a batch of windows is one gather.

A store is a folder made by build.py's `build_store`:

    store.json             names, sizes, digests, and what is known of each track
    codes.npy              uint8, flat: A0 C1 G2 T3 N4
    tracks/NAME.npy        flat: one value per bin, raw units, in the narrowest type that holds them (store_tracks.py)
    tracks/NAME.mask.tsv   where the track was not measured; only for tracks that have such places
    peaks.tsv, blacklist.tsv, unmappable.tsv, gaps.tsv (runs of N), split.json, report.json, pieces.json

Chromosomes lie one after the other with PADDING bp of N and zero signal before, between and after them, so a window
that hangs off a chromosome's end reads N and 0 without a branch.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .atomic import heal
from .bed import sizes_of
from .chrom_names import shown
from .folds import Split
from .interval_runs import Runs
from .listed_files import check_listed
from .store_files import (
    PADDING,
    check_fingerprint,
    check_present,
    flat_layout,
    map_array,
    read_description,
    read_json,
    read_table,
    release_pages,
)

FORMAT = "chromhub-store"
VERSION = 1
TRACK_DTYPES = ("uint8", "uint16", "float16", "float32")
_IN_MEMORY_BELOW = 4 << 30  # bytes


class GenomeStore:
    """A genome, its tracks, its masks and its split, opened with `GenomeStore.open`.

    Sent to another process, it is opened there anew.

    Attributes:
        path: the folder.
        genome: name of the assembly, or "".
        assay: what its tracks measure, or "".
        chrom_sizes: bp of each chromosome.
        chrom_digests: first 16 hex digits of the SHA-256 of each chromosome's codes.
        bin_size: bp per bin.
        summary: "max", "mean" or "sum" of the bases of a bin.
        track_names: of the tracks, in the order of the signal's axis T.
        split: training, validation and test intervals.
        fingerprint: 16 hex digits that change when any of the content does.
        description: what store.json holds.
    """

    def __init__(self, path: Path, description: Mapping[str, Any], in_memory: bool | None) -> None:
        self.path = path
        self.description = dict(description)
        self.genome: str = description["genome"]
        self.assay: str = description.get("assay", "")
        self.chrom_sizes: dict[str, int] = {c["name"]: c["size"] for c in description["chroms"]}
        self.chrom_digests: dict[str, str] = {c["name"]: c["digest"] for c in description["chroms"]}
        self.bin_size: int = description["bin_size"]
        self.summary: str = description["summary"]
        self.track_names: list[str] = [track["name"] for track in description["tracks"]]
        for name in self.track_names:  # files are called so
            check_listed(name, listed_in=path / "store.json")
            if "/" in name:
                raise ValueError(f"{path / 'store.json'} names the track {name!r}, which is no name: build it again")
        self.fingerprint: str = description["fingerprint"]
        self.split = Split.from_json(path / "split.json")
        self._offsets, self._length = flat_layout(self.chrom_sizes)
        self._in_memory = in_memory
        self._windows: dict[tuple[int, int], np.ndarray] = {}
        self._codes = map_array(path / "codes.npy", np.uint8, self._length)
        self._tracks = [self._map(track) for track in description["tracks"]]
        if in_memory or (in_memory is None and self.num_bytes < _IN_MEMORY_BELOW):
            self.load_into_memory()

    @classmethod
    def open(cls, path: str | Path, *, in_memory: bool | None = None) -> "GenomeStore":
        """Open a store.

        Args:
            path: its folder.
            in_memory: load the arrays (True), map them (False), or load them when they take less than 4 GiB (None).

        Raises:
            FileNotFoundError: no such folder, or a file of the store is missing.
            ValueError: not a store, one of another version, or a file that is damaged.
        """
        path = Path(path)
        heal(path)
        if not (path / "store.json").is_file():
            raise FileNotFoundError(
                f"{path} is not a chromhub store (no store.json): make one with `chromhub data build`"
            )
        description = read_description(path / "store.json", form=FORMAT, version=VERSION)
        store = cls(path, description, in_memory)
        check_fingerprint(description, path)
        return store

    def __reduce__(self) -> tuple[Callable, tuple]:
        return type(self), (self.path, self.description, self._in_memory)  # without reading every table again

    @property
    def num_bytes(self) -> int:
        """Size of the codes and tracks in bytes."""
        return self._codes.nbytes + sum(track.nbytes for track in self._tracks)

    @cached_property
    def peaks(self) -> pd.DataFrame:
        """Columns chrom, start, end, summit; empty when the store was built without peaks."""
        return read_table(self.path / "peaks.tsv")

    @cached_property
    def blacklist(self) -> pd.DataFrame:
        """Columns chrom, start, end."""
        return read_table(self.path / "blacklist.tsv")

    @cached_property
    def unmappable(self) -> pd.DataFrame:
        """Columns chrom, start, end."""
        return read_table(self.path / "unmappable.tsv")

    @cached_property
    def gaps(self) -> pd.DataFrame:
        """Runs of N, columns chrom, start, end."""
        return read_table(self.path / "gaps.tsv")

    def report(self) -> list[dict[str, Any]]:
        """Return what was read, kept and dropped of each input when the store was built."""
        return read_json(self.path / "report.json", list)

    def track_metadata(self, track: int | str = 0) -> dict[str, str]:
        """Return what the sample sheet says of a track: sample, cell_type, assembly, licence, ...; maybe nothing."""
        return self.description["tracks"][self._index(track)].get("metadata", {})

    def track_mask(self, track: int | str = 0) -> pd.DataFrame:
        """Return where a track was not measured, columns chrom, start, end; maybe nowhere."""
        entry = self.description["tracks"][self._index(track)]
        if not entry.get("masked_bp"):
            return pd.DataFrame({"chrom": pd.Series([], dtype=str), "start": np.empty(0, int), "end": np.empty(0, int)})
        return read_table(self._mask_file(entry))

    def load_into_memory(self) -> None:
        """Read the arrays into memory; random windows of a cold map are several times slower."""
        self._codes = np.array(self._codes)
        self._tracks = [np.array(track) for track in self._tracks]
        self._windows.clear()

    def release_pages(self) -> None:
        """Give back the memory that reading mapped arrays has taken up; what is read again comes from the disk's cache.

        A pass over a whole genome that calls it now and then holds only what it is reading.
        """
        for array in (self._codes, *self._tracks):
            release_pages(array)

    def offset(self, chrom: str) -> int:
        """Return where a chromosome starts in the flat arrays, in bp."""
        if chrom not in self._offsets:
            raise ValueError(f"{self.path} has no chromosome {chrom!r}: it has {shown(self._offsets)}")
        return self._offsets[chrom]

    def codes(self, chrom: str) -> np.ndarray:
        """Return a chromosome's codes, (size,) uint8, a read-only view."""
        start = self.offset(chrom)
        return self._read_only(self._codes[start : start + self.chrom_sizes[chrom]])

    def signal(self, chrom: str, track: int | str = 0) -> np.ndarray:
        """Return a chromosome's signal, (ceil(size / bin_size),) float32 raw units, read-only."""
        first = self.offset(chrom) // self.bin_size
        bins = self._tracks[self._index(track)][first : first - (-self.chrom_sizes[chrom] // self.bin_size)]
        return self._read_only(bins.astype(np.float32, copy=False))

    def bins_of(self, chrom: str, start: int, end: int) -> slice:
        """Return which bins of a chromosome a region touches.

        Raises:
            ValueError: an unknown chromosome, or a region that is empty or leaves it.
        """
        self.offset(chrom)
        if not 0 <= start < end <= self.chrom_sizes[chrom]:
            raise ValueError(f"a region must lie in {chrom}:0-{self.chrom_sizes[chrom]}, got {chrom}:{start}-{end}")
        return slice(start // self.bin_size, -(-end // self.bin_size))

    def flat_starts(self, windows: pd.DataFrame) -> np.ndarray:
        """Return where windows (columns chrom, start) begin in the flat arrays, (B,) int64 bp."""
        if unknown := set(windows["chrom"].unique()) - set(self._offsets):
            raise ValueError(f"{self.path} has no chromosome {sorted(unknown)}: it has {shown(self._offsets)}")
        return sizes_of(windows, self._offsets) + windows["start"].to_numpy(np.int64)

    def gather_codes(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Return the codes of windows, (B, length) uint8; `starts` as in `gather`, on any bp."""
        self._check_inside(starts, length)
        return self._view(0, self._codes, length)[starts]

    def gather(self, starts: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a batch of windows at once.

        Args:
            starts: (B,) int64, flat bp (`flat_starts`, or `offset(chrom) + start`), multiples of `bin_size`.
            length: bp of every window, a multiple of `bin_size`.

        Returns:
            (B, length) uint8 codes and (B, T, length / bin_size) float32 signal in raw units.

        Raises:
            ValueError: a window off the padded genome or off the bins.
        """
        starts = np.asarray(starts, np.int64)
        if length % self.bin_size or (starts % self.bin_size).any():
            raise ValueError(
                f"windows must start on bins of {self.bin_size} bp and be whole bins long, got length {length}"
            )
        codes = self.gather_codes(starts, length)
        num_bins = length // self.bin_size
        signal = np.empty((len(starts), len(self._tracks), num_bins), np.float32)
        for i, track in enumerate(self._tracks):
            signal[:, i] = self._view(1 + i, track, num_bins)[starts // self.bin_size]
        return codes, signal

    def gather_mappable(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Return 1 where a base of a window is mappable and 0 where not, (B, length) uint8; `starts` as in `gather`."""
        self._check_inside(starts, length)
        return self._unmappable_runs.outside(np.asarray(starts, np.int64)[:, None] + np.arange(length))

    def gather_mask(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Return 1 where a bin of a window was measured in a track and 0 where any of its bases was not.

        Args:
            starts: (B,) int64, as in `gather`.
            length: bp of every window, a multiple of `bin_size`.

        Returns:
            (B, T, length / bin_size) uint8, the `mask` of a model's loss.

        Raises:
            ValueError: a window off the padded genome.
        """
        starts = np.asarray(starts, np.int64)
        self._check_inside(starts, length)
        num_bins = length // self.bin_size
        mask = np.ones((len(starts), len(self._tracks), num_bins), np.uint8)
        first_bins = starts // self.bin_size
        for track, runs in self._unmeasured_runs.items():
            rows = runs.touched(first_bins, num_bins)
            mask[rows, track] = runs.outside(first_bins[rows, None] + np.arange(num_bins))
        return mask

    @cached_property
    def has_masks(self) -> bool:
        """Whether any track has places that were not measured."""
        return bool(self._unmeasured_runs)

    @cached_property
    def _unmappable_runs(self) -> Runs:
        return self._runs(self.unmappable)

    @cached_property
    def _unmeasured_runs(self) -> dict[int, Runs]:
        """Runs of bins, of the tracks that have some."""
        masks = {i: self.track_mask(i) for i in range(len(self._tracks))}
        return {i: self._runs(mask, unit=self.bin_size) for i, mask in masks.items() if len(mask)}

    def _runs(self, table: pd.DataFrame, unit: int = 1) -> Runs:
        starts = self.flat_starts(table)
        return Runs.of(starts, starts + (table["end"] - table["start"]).to_numpy(np.int64), unit=unit)

    def _index(self, track: int | str) -> int:
        if isinstance(track, str) and track not in self.track_names:
            raise ValueError(f"{self.path} has no track {track!r}: it has {shown(self.track_names)}")
        return self.track_names.index(track) if isinstance(track, str) else track

    def _check_inside(self, starts: np.ndarray, length: int) -> None:
        if len(starts) and (starts.min() < 0 or starts.max() + length > self._length):
            raise ValueError(f"windows must lie within the genome and {PADDING} bp of padding, got one outside")

    def _view(self, array_id: int, array: np.ndarray, length: int) -> np.ndarray:
        """Return all windows of a flat array as a view; indexing it with starts is the gather."""
        key = array_id, length
        if key not in self._windows:
            self._windows[key] = np.lib.stride_tricks.sliding_window_view(array, length)
        return self._windows[key]

    @staticmethod
    def _read_only(view: np.ndarray) -> np.ndarray:
        view.flags.writeable = False
        return view

    def _mask_file(self, entry: Mapping[str, Any]) -> Path:
        return self.path / "tracks" / f"{entry['name']}.mask.tsv"

    def _map(self, entry: Mapping[str, Any]) -> np.ndarray:
        """Return a track's bins, mapped; its mask must be there too."""
        dtype = entry.get("dtype", "float32")
        if dtype not in TRACK_DTYPES:
            raise ValueError(
                f"{self.path}/store.json: track {entry['name']} must be stored as one of {', '.join(TRACK_DTYPES)}, "
                f"got {dtype!r}: build the store again"
            )
        if entry.get("masked_bp"):
            check_present(self._mask_file(entry))
        return map_array(self.path / "tracks" / f"{entry['name']}.npy", dtype, self._length // self.bin_size)
