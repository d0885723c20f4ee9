"""A store's windows as Parquet shards, for the Hub and for streaming."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .atomic import check_own_folder, finished_folder, making
from .dataset import WindowDataset, WindowPlan, evaluation_windows, training_windows
from .folds import PARTS
from .row_layout import RowLayout, Rows
from .shard_card import shard_card
from .shards import FORMAT, LAYOUT_FILE, VERSION, WINDOWS_FILE, ShardFile, Shards, fingerprint_of
from .store import GenomeStore

_FILES = ("README.md", LAYOUT_FILE, WINDOWS_FILE, "data/*-[0-9]*-of-[0-9]*.parquet")
_GROUP_BYTES = 1 << 20  # of a row group before compression: what a stream reads and shuffles as one
_SCANNED = 1 << 22  # bins looked at together


@dataclass(frozen=True)
class ExportPlan:
    """Which windows are exported, and how.

    Attributes:
        training: which windows the training part has.
        input_length: bp that a model reads.
        target_length: central bp that evaluation windows are scored on; they tile the validation and test parts.
        margin: bp on each side of every window, the largest jitter that a reader can ask for.
        shard_size: bytes of a shard before compression, at most.

    Raises:
        ValueError: a value out of its range.
    """

    training: WindowPlan = field(default_factory=WindowPlan)
    input_length: int = 2048
    target_length: int = 1024
    margin: int = 1024
    shard_size: int = 256_000_000

    def __post_init__(self) -> None:
        for name in ("input_length", "target_length", "shard_size"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be positive, got {getattr(self, name)}")
        if self.margin < 0:
            raise ValueError(f"`margin` must not be negative, got {self.margin}")


def export_shards(
    store: GenomeStore,
    output: str | Path,
    plan: ExportPlan | None = None,
    *,
    overwrite: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Shards:
    """Write the windows of a store's training, validation and test parts; the same store and plan give the same bytes.

    Signal is float16 where every value of the store survives that exactly, else float32. Training windows obey every
    rule of `training_windows` with their margin as jitter.

    Args:
        store: the genome.
        output: folder to make; it appears when it is complete.
        plan: which windows, and how; the defaults are those of a recipe.
        overwrite: replace an existing folder.
        on_progress: told the part, windows written and windows in all.

    Raises:
        FileExistsError: `output` exists and `overwrite` is not given.
        ValueError: lengths off the bins, or no training window.
    """
    marks = {LAYOUT_FILE: f'"{FORMAT}"'}
    check_own_folder(output, overwrite, _FILES, others="files that are no export", marks=marks, inputs=[store.path])
    with making(output, overwrite):
        return _export(store, Path(output), plan or ExportPlan(), overwrite, on_progress)


def _export(
    store: GenomeStore,
    output: Path,
    plan: ExportPlan,
    overwrite: bool,
    on_progress: Callable[[str, int, int], None] | None,
) -> Shards:
    """Write the windows of a store into a folder whose lock is held."""
    tables, reports = _choose_windows(store, plan)
    for windows in tables.values():
        WindowDataset(store, windows, input_length=plan.input_length, max_jitter=plan.margin)  # refuses what it must
    layout = RowLayout(
        genome=store.genome,
        chrom_sizes=store.chrom_sizes,
        chrom_digests=store.chrom_digests,
        bin_size=store.bin_size,
        summary=store.summary,
        track_names=store.track_names,
        split=store.split,
        store_fingerprint=store.fingerprint,
        input_length=plan.input_length,
        target_length=plan.target_length,
        margin=plan.margin,
        signal_dtype="float16" if _fits_float16(store) else "float32",
        mappability=not store.unmappable.empty,
        masks=store.has_masks,
        assay=store.assay,
    )
    with finished_folder(output, overwrite, is_held=True) as folder:
        (folder / "data").mkdir()
        files = {
            part: _write_part(store, layout, windows, folder, part=part, plan=plan, on_progress=on_progress)
            for part, windows in tables.items()
        }
        every = pd.concat([table.assign(part=part) for part, table in tables.items()], ignore_index=True)
        _write_windows(every, folder / WINDOWS_FILE)
        description: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "layout": layout.to_dict(),
            "plan": asdict(plan.training),
            "reports": reports,
            "files": {part: [asdict(file) for file in shards] for part, shards in files.items()},
        }
        description["fingerprint"] = fingerprint_of(description)
        (folder / LAYOUT_FILE).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        card = shard_card(
            layout,
            {part: len(table) for part, table in tables.items()},
            plan=asdict(plan.training),
            fingerprint=description["fingerprint"],
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
    return Shards.open(output)


def _choose_windows(store: GenomeStore, plan: ExportPlan) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Return the windows of each part that has any, and the reports of what was left out."""
    tables, reports = {}, {}
    for part in PARTS:
        if part == "train":
            windows, report = training_windows(
                store, plan.training, input_length=plan.input_length, max_jitter=plan.margin
            )
        elif not getattr(store.split, part):
            continue
        else:
            windows, report = evaluation_windows(
                store, part, input_length=plan.input_length, target_length=plan.target_length
            )
        if len(windows):
            tables[part] = windows[["chrom", "start", "end"]]
            reports[part] = report
    return tables, reports


def _fits_float16(store: GenomeStore) -> bool:
    """Tell whether every value of every track is the same after a turn through float16."""
    for chrom in store.chrom_sizes:
        for track in store.track_names:
            signal = store.signal(chrom, track)
            for i in range(0, len(signal), _SCANNED):
                values = signal[i : i + _SCANNED]
                with np.errstate(over="ignore"):
                    if not np.array_equal(values.astype(np.float16).astype(np.float32), values):
                        return False
    return True


def _write_part(
    store: GenomeStore,
    layout: RowLayout,
    windows: pd.DataFrame,
    folder: Path,
    *,
    part: str,
    plan: ExportPlan,
    on_progress: Callable[[str, int, int], None] | None,
) -> list[ShardFile]:
    """Write the shards of one part, of about equal size, and return them."""
    group = max(1, min(_GROUP_BYTES, plan.shard_size) // layout.row_bytes)
    groups = -(-len(windows) // group)
    count = -(-groups // max(1, plan.shard_size // (group * layout.row_bytes)))
    edges = [min(len(windows), group * (groups * i // count)) for i in range(count + 1)]  # whole groups to each shard
    files = []
    for i, (first, last) in enumerate(pairwise(edges)):
        name = f"data/{part}-{i:05d}-of-{count:05d}.parquet"
        options: Any = {"use_dictionary": ["chrom"], "write_statistics": ["chrom", "start"], "compression": "zstd"}
        with pq.ParquetWriter(folder / name, layout.schema, **options) as writer:
            for j in range(first, last, group):
                writer.write_table(_gather(store, layout, windows.iloc[j : min(j + group, last)]), row_group_size=group)
                if on_progress is not None:
                    on_progress(part, min(j + group, last), len(windows))
        files.append(ShardFile(name, last - first, group))
    return files


def _gather(store: GenomeStore, layout: RowLayout, windows: pd.DataFrame) -> pa.Table:
    """Read windows with their margins."""
    starts = store.flat_starts(windows) - layout.margin
    codes, signal = store.gather(starts, layout.row_length)
    rows = Rows(codes, signal)
    if layout.mappability:
        rows = rows._replace(mappable=np.packbits(store.gather_mappable(starts, layout.row_length), axis=1))
    if layout.masks:
        measured = store.gather_mask(starts, layout.row_length).reshape(len(starts), -1)
        rows = rows._replace(measured=np.packbits(measured, axis=1))
    return layout.encode(windows, rows)


def _write_windows(windows: pd.DataFrame, path: Path) -> None:
    """Write the table of all windows, columns part, chrom, start, end."""
    columns: Iterator[tuple[str, pa.Array]] = (
        (name, pa.array(windows[name].tolist(), pa.string() if name in ("part", "chrom") else pa.int64()))
        for name in ("part", "chrom", "start", "end")
    )
    pq.write_table(pa.table(dict(columns)), path, compression="zstd")
