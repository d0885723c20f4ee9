"""One window as a row of an Arrow table: what lies where, and how a batch of rows becomes arrays.

    chrom     string
    start     int64, of the window without its margins; 0-based
    codes     binary of fixed size, one byte a base: A0 C1 G2 T3 N4
    signal    list of fixed size, float32 or float16 raw units, track after track
    mappable  binary of fixed size, one bit a base, 1 where mappable; only where the store knows unmappable regions

Codes, signal and mappable cover the window and `margin` bp on each side. Arrow keeps such columns as flat buffers, so
a batch of rows is decoded by looking at the buffer, not at the rows.
"""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from .folds import Split

METADATA_KEY = b"chromhub"


class Rows(NamedTuple):
    """Rows as arrays: codes (R, W) uint8; signal (R, T, W / bin_size); mappable (R, ceil(W / 8)) uint8 bits or None."""

    codes: np.ndarray
    signal: np.ndarray
    mappable: np.ndarray | None


@dataclass(frozen=True)
class RowLayout:
    """What the rows of a dataset of windows hold.

    Attributes:
        genome: name of the assembly, or "".
        chrom_sizes: bp of each chromosome.
        chrom_digests: first 16 hex digits of the SHA-256 of each chromosome's codes.
        bin_size: bp per bin.
        summary: "max", "mean" or "sum" of the bases of a bin.
        track_names: of the tracks.
        split: training, validation and test intervals.
        store_fingerprint: of the store that the windows come from.
        input_length: bp of a window.
        target_length: central bp that evaluation windows are scored on.
        margin: bp on each side of a window, for jitter.
        signal_dtype: "float32", or "float16" where that is exact.
        mappability: whether rows say which bases are mappable.
    """

    genome: str
    chrom_sizes: dict[str, int]
    chrom_digests: dict[str, str]
    bin_size: int
    summary: str
    track_names: list[str]
    split: Split
    store_fingerprint: str
    input_length: int
    target_length: int
    margin: int
    signal_dtype: str
    mappability: bool

    @property
    def row_length(self) -> int:
        """Bp of a row: the window and its margins."""
        return self.input_length + 2 * self.margin

    @property
    def row_bins(self) -> int:
        """Bins of a row."""
        return self.row_length // self.bin_size

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's codes, signal and mappable bits, without compression."""
        signal = len(self.track_names) * self.row_bins * np.dtype(self.signal_dtype).itemsize
        return self.row_length + signal + (-(-self.row_length // 8) if self.mappability else 0)

    @cached_property
    def schema(self) -> pa.Schema:
        """Of a shard, with this layout in its metadata."""
        values = pa.from_numpy_dtype(self.signal_dtype)
        fields = [
            pa.field("chrom", pa.string()),
            pa.field("start", pa.int64()),
            pa.field("codes", pa.binary(self.row_length)),
            pa.field("signal", pa.list_(values, len(self.track_names) * self.row_bins)),
        ]
        if self.mappability:
            fields.append(pa.field("mappable", pa.binary(-(-self.row_length // 8))))
        return pa.schema(fields, metadata={METADATA_KEY: json.dumps(self.to_dict()).encode()})

    def encode(self, windows: pd.DataFrame, rows: Rows) -> pa.Table:
        """Return a table of windows (columns chrom, start) and what `rows` holds of them."""
        signal = np.ascontiguousarray(rows.signal, np.dtype(self.signal_dtype)).reshape(-1)
        columns: list[pa.Array] = [
            pa.array(windows["chrom"].astype(str).tolist(), pa.string()),
            pa.array(windows["start"].to_numpy(np.int64)),
            _fixed_binary(rows.codes),
            pa.FixedSizeListArray.from_arrays(pa.array(signal), len(self.track_names) * self.row_bins),
        ]
        if rows.mappable is not None:
            columns.append(_fixed_binary(rows.mappable))
        return pa.table(columns, schema=self.schema)

    def decode(self, table: pa.Table | pa.RecordBatch) -> Rows:
        """Return what rows hold, margins included; views of the table's memory where it is of one piece."""
        mappable = _flat(table.column("mappable")) if "mappable" in table.schema.names else None
        return Rows(
            codes=_flat(table.column("codes")).reshape(-1, self.row_length),
            signal=_flat(table.column("signal")).reshape(-1, len(self.track_names), self.row_bins),
            mappable=None if mappable is None else mappable.reshape(-1, -(-self.row_length // 8)),
        )

    def empty_rows(self, number: int, *, mappability: bool) -> Rows:
        """Return unwritten memory for so many rows."""
        return Rows(
            codes=np.empty((number, self.row_length), np.uint8),
            signal=np.empty((number, len(self.track_names), self.row_bins), self.signal_dtype),
            mappable=np.empty((number, -(-self.row_length // 8)), np.uint8) if mappability else None,
        )

    def cut(self, rows: Rows, which: np.ndarray, shifts: np.ndarray) -> dict[str, np.ndarray]:
        """Cut a batch of windows out of rows, as `WindowDataset` gives it before any is turned around.

        Args:
            rows: from `decode`.
            which: (B,) int64, row of each window.
            shifts: (B,) int64 bp, jitter of each window; whole bins, at most `margin`.

        Returns:
            `inputs` (B, L) uint8 codes, `labels` (B, T, N) float32 raw units, and where rows have it
            `mappability_labels` (B, L) uint8.
        """
        starts = self.margin + np.asarray(shifts, np.int64)
        windows = np.lib.stride_tricks.sliding_window_view
        codes = windows(rows.codes, self.input_length, axis=1)[which, starts]
        signal = windows(rows.signal, self.input_length // self.bin_size, axis=2)[which, :, starts // self.bin_size]
        batch = {"inputs": codes, "labels": signal.astype(np.float32, copy=False)}
        if rows.mappable is not None:
            bits = np.unpackbits(rows.mappable[which], axis=1, count=self.row_length)
            batch["mappability_labels"] = windows(bits, self.input_length, axis=1)[np.arange(len(which)), starts]
        return batch

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RowLayout":
        """Read what `to_dict` returned.

        Raises:
            TypeError: a field is missing or unknown.
            ValueError: a split that is none.
        """
        return cls(**{**values, "split": Split(**values["split"])})


def _fixed_binary(array: np.ndarray) -> pa.Array:
    """Return (R, W) uint8 as R binary values of W bytes."""
    array = np.ascontiguousarray(array, np.uint8)
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(array.shape[1]), len(array), [None, pa.py_buffer(array.reshape(-1))]
    )


def flat_values(array: pa.Array) -> np.ndarray:
    """Return the values of a column of fixed-size rows one after the other, a view of its memory."""
    if isinstance(array, pa.FixedSizeBinaryArray):
        width = array.type.byte_width
        if not len(array):
            return np.zeros(0, np.uint8)
        return np.frombuffer(array.buffers()[1], np.uint8, count=len(array) * width, offset=array.offset * width)
    return array.flatten().to_numpy(zero_copy_only=True)


def _flat(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    if isinstance(column, pa.ChunkedArray):
        chunks = [flat_values(chunk) for chunk in column.chunks]
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks) if chunks else np.zeros(0, np.uint8)
    return flat_values(column)
