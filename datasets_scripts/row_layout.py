"""One window as a row of an Arrow table: what lies where, and how a batch of rows becomes arrays.

    chrom     string
    start     int64, of the window without its margins; 0-based
    codes     uint8, a base each: A0 C1 G2 T3 N4
    signal    float32 or float16 raw units, track after track
    mappable  uint8, one bit a base, 1 where mappable; only where the store knows unmappable regions
    measured  uint8, one bit a value of `signal`, 1 where it was measured; only where some was not

All but the first two are lists of fixed size, of the window and `margin` bp on each side. Arrow keeps such columns as
flat buffers, so a batch of rows is decoded by looking at the buffer, not at the rows. They are no binary values:
NumPy's strings, which `with_format("numpy")` makes of those, lose the zeros at their end.
"""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import Field

from .folds import Split
from .plain_files import PlainRecord

METADATA_KEY = b"chromhub"
_MAX_BP = 1 << 26  # of a window or its margin


class Rows(NamedTuple):
    """Rows as arrays, with their margins.

    Attributes:
        codes: (R, W) uint8.
        signal: (R, T, W / bin_size) float32 or float16 raw units.
        mappable: (R, ceil(W / 8)) uint8, a bit a base, or None.
        measured: (R, ceil(T * W / bin_size / 8)) uint8, a bit a value of `signal`, or None.
    """

    codes: np.ndarray
    signal: np.ndarray
    mappable: np.ndarray | None = None
    measured: np.ndarray | None = None


class LayoutRecord(PlainRecord):
    """What a layout must hold as plain values."""

    genome: str
    chrom_sizes: dict[str, int]
    chrom_digests: dict[str, str]
    bin_size: int = Field(ge=1, le=_MAX_BP)
    summary: Literal["max", "mean", "sum"]
    track_names: list[str] = Field(min_length=1)
    split: dict[str, list[str] | str]
    store_fingerprint: str
    input_length: int = Field(ge=1, le=_MAX_BP)
    target_length: int = Field(ge=1, le=_MAX_BP)
    margin: int = Field(ge=0, le=_MAX_BP)
    signal_dtype: Literal["float16", "float32"]
    mappability: bool
    masks: bool


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
        masks: whether rows say which bins of which track were measured.
        assay: what the tracks measure, or "".
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
    masks: bool
    assay: str = ""

    @property
    def row_length(self) -> int:
        """Bp of a row: the window and its margins."""
        return self.input_length + 2 * self.margin

    @property
    def row_bins(self) -> int:
        """Bins of a row."""
        return self.row_length // self.bin_size

    @property
    def bits(self) -> dict[str, int]:
        """Bits of a row in each column of bits."""
        columns = {}
        if self.mappability:
            columns["mappable"] = self.row_length
        if self.masks:
            columns["measured"] = len(self.track_names) * self.row_bins
        return columns

    @property
    def row_bytes(self) -> int:
        """Bytes of a row without compression."""
        signal = len(self.track_names) * self.row_bins * np.dtype(self.signal_dtype).itemsize
        return self.row_length + signal + sum(-(-number // 8) for number in self.bits.values())

    @cached_property
    def schema(self) -> pa.Schema:
        """Of a shard, with this layout in its metadata."""
        values = pa.from_numpy_dtype(self.signal_dtype)
        fields = [
            pa.field("chrom", pa.string()),
            pa.field("start", pa.int64()),
            _bytes_field("codes", self.row_length),
            pa.field("signal", pa.list_(values, len(self.track_names) * self.row_bins)),
        ]
        fields += [_bytes_field(name, -(-number // 8)) for name, number in self.bits.items()]
        return pa.schema(fields, metadata={METADATA_KEY: json.dumps(self.to_dict()).encode()})

    def encode(self, windows: pd.DataFrame, rows: Rows) -> pa.Table:
        """Return a table of windows (columns chrom, start) and what `rows` holds of them."""
        signal = np.ascontiguousarray(rows.signal, np.dtype(self.signal_dtype)).reshape(-1)
        columns: list[pa.Array] = [
            pa.array(windows["chrom"].astype(str).tolist(), pa.string()),
            pa.array(windows["start"].to_numpy(np.int64)),
            _rows_of_bytes(rows.codes),
            pa.FixedSizeListArray.from_arrays(pa.array(signal), len(self.track_names) * self.row_bins),
        ]
        columns += [_rows_of_bytes(bits) for bits in (rows.mappable, rows.measured) if bits is not None]
        return pa.table(columns, schema=self.schema)

    def decode(self, table: pa.Table | pa.RecordBatch) -> Rows:
        """Return what rows hold, margins included; views of the table's memory where it is of one piece."""
        bits = {
            name: _flat(table.column(name)).reshape(-1, -(-number // 8))
            for name, number in self.bits.items()
            if name in table.schema.names
        }
        return Rows(
            _flat(table.column("codes")).reshape(-1, self.row_length),
            _flat(table.column("signal")).reshape(-1, len(self.track_names), self.row_bins),
            **bits,
        )

    def columns(self, *, mappability: bool) -> list[str]:
        """Return the columns that make a batch, the mappable bases only where they are wanted."""
        return ["codes", "signal", *(name for name in self.bits if mappability or name != "mappable")]

    def empty_rows(self, number: int, *, mappability: bool) -> Rows:
        """Return unwritten memory for so many rows."""
        bits = {
            name: np.empty((number, -(-self.bits[name] // 8)), np.uint8)
            for name in self.columns(mappability=mappability)[2:]
        }
        return Rows(
            np.empty((number, self.row_length), np.uint8),
            np.empty((number, len(self.track_names), self.row_bins), self.signal_dtype),
            **bits,
        )

    def cut(self, rows: Rows, which: np.ndarray, shifts: np.ndarray) -> dict[str, np.ndarray]:
        """Cut a batch of windows out of rows, as `WindowDataset` gives it before any is turned around.

        Args:
            rows: from `decode`.
            which: (B,) int64, row of each window.
            shifts: (B,) int64 bp, jitter of each window; whole bins, at most `margin`.

        Returns:
            `inputs` (B, L) uint8 codes, `labels` (B, T, N) float32 raw units, and where rows have them
            `mappable` (B, L) uint8 and `mask` (B, T, N) uint8.
        """
        starts = self.margin + np.asarray(shifts, np.int64)
        bins, num_bins = starts // self.bin_size, self.input_length // self.bin_size
        windows = np.lib.stride_tricks.sliding_window_view
        codes = windows(rows.codes, self.input_length, axis=1)[which, starts]
        signal = windows(rows.signal, num_bins, axis=2)[which, :, bins]
        batch = {"inputs": codes, "labels": signal.astype(np.float32, copy=False)}
        each = np.arange(len(which))
        if rows.mappable is not None:
            bits = np.unpackbits(rows.mappable[which], axis=1, count=self.bits["mappable"])
            batch["mappable"] = windows(bits, self.input_length, axis=1)[each, starts]
        if rows.measured is not None:
            bits = np.unpackbits(rows.measured[which], axis=1, count=self.bits["measured"])
            bits = bits.reshape(len(which), len(self.track_names), self.row_bins)
            batch["mask"] = windows(bits, num_bins, axis=2)[each, :, bins]
        return batch

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RowLayout":
        """Read what `to_dict` returned.

        Raises:
            TypeError: an unknown field.
            ValueError: a field is missing or of another type or size, or a split that is none.
        """
        LayoutRecord.check(values, "the layout", remedy="export it again")
        return cls(**{**values, "split": Split(**values["split"])})


def _bytes_field(name: str, width: int) -> pa.Field:
    """Return a column of `width` bytes a row, none of which is null: Parquet reads those twice as fast."""
    return pa.field(name, pa.list_(pa.field("item", pa.uint8(), nullable=False), width), nullable=False)


def _rows_of_bytes(array: np.ndarray) -> pa.Array:
    """Return (R, W) uint8 as R lists of W."""
    values = pa.array(np.ascontiguousarray(array, np.uint8).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, type=_bytes_field("", array.shape[1]).type)


def flat_values(array: pa.Array) -> np.ndarray:
    """Return the values of a column of fixed-size rows one after the other, a view of its memory."""
    return array.flatten().to_numpy(zero_copy_only=True)


def _flat(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    if isinstance(column, pa.ChunkedArray):
        chunks = [flat_values(chunk) for chunk in column.chunks]
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks) if chunks else np.zeros(0, np.uint8)
    return flat_values(column)
