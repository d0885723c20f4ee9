"""Intervals with a value (bedGraph, peaks) -> binned signal."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from .bed import column_rows, interval_of, interval_rows
from .bigwig import Summary
from .text_chunks import read_chunks

PeakValue = Literal["one", "signal", "name"]
PEAK_VALUES: tuple[PeakValue, ...] = get_args(PeakValue)
_SIGNAL_COLUMN = 6  # of narrowPeak and broadPeak, from 0
_NAME_COLUMN = 3
_NAME_END = re.compile(r"\d+(\.\d+)?$")
_BLOCK = 1 << 20  # bins filled at a time
ROW = np.dtype([("start", np.int32), ("end", np.int32), ("value", np.float32)])


def read_bedgraph(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Read chrom, start, end, value; plain or gzip, in any order.

    Yields:
        Chromosome and (n,) `ROW` of the lines of one chromosome in a chunk of the file.

    Raises:
        ValueError: a malformed line, or a value that is negative or not finite.
    """
    columns = {"chrom": (0, "text"), "start": (1, "bp"), "end": (2, "bp"), "value": (3, "number")}

    def is_right(table: pd.DataFrame) -> bool:
        starts, ends, values = table["start"], table["end"], table["value"]
        on = (starts >= 0) & (ends > starts) & (ends < 2**31)
        return bool((on & (values >= 0) & np.isfinite(values)).all())

    for table in read_chunks(path, columns, is_right=is_right, check=_check_bedgraph, what="bedGraph"):
        rows = np.empty(len(table), ROW)
        for name in ROW.names or ():
            rows[name] = table[name]
        codes = table["chrom"].cat.codes.to_numpy()
        order = np.argsort(codes, kind="stable")
        found, firsts = np.unique(codes[order], return_index=True)
        for code, part in zip(found, np.split(rows[order], firsts[1:]), strict=True):
            yield str(table["chrom"].cat.categories[code]), part


def _check_bedgraph(row: list[str], place: str) -> None:
    """Refuse a line that is no bedGraph."""
    interval_of(row, place)
    value = _number(row[3] if len(row) > 3 else "", place, "column 4, the value,")
    if value < 0:
        raise ValueError(
            f"{place}: signal must not be negative, got {value:g}: give coverage, counts or p-values, not a log ratio "
            "or a difference"
        )


def read_peak_signal(path: Path, *, value: PeakValue) -> dict[str, np.ndarray]:
    """Read peaks as signal.

    The value is 1 inside ("one"); column 7, the signalValue of narrowPeak and broadPeak ("signal"); or the number that
    ends column 4, the name ("name"): 37 of a site called MCV-37, open in 37 cell types.

    Returns:
        Chromosome -> (n,) `ROW`, which may overlap (`flattened`).

    Raises:
        ValueError: a malformed line, no peak, or no signalValue where it is wanted.
    """
    found: dict[str, list[tuple[int, int, float]]] = {}
    for chrom, start, end, columns, place in interval_rows(path):
        height = 1.0
        if value == "signal":
            text = columns[_SIGNAL_COLUMN] if len(columns) > _SIGNAL_COLUMN else ""
            height = _number(text, place, "column 7, the signalValue,")
            if height < 0:
                raise ValueError(f"{place}: column 7, the signalValue, must not be negative, got {height:g}")
        elif value == "name":
            number = _NAME_END.search(columns[_NAME_COLUMN] if len(columns) > _NAME_COLUMN else "")
            height = _number(number[0] if number else "", place, "the end of column 4, the name,")
        found.setdefault(chrom, []).append((start, end, height))
    if not found:
        raise ValueError(f"{path} holds no peak: it must have lines chrom, start, end")
    return {chrom: np.array(rows, ROW) for chrom, rows in found.items()}


def flattened(rows: np.ndarray) -> np.ndarray:
    """Return intervals without overlap that have, at each bp, the largest value of the given ones; sorted.

    Args:
        rows: (n,) `ROW`, in any order.

    Returns:
        (m,) `ROW`; between intervals, and where the value is 0, nothing.
    """
    edges = np.unique(np.concatenate([rows["start"], rows["end"]]))
    first, stop = np.searchsorted(edges, rows["start"]), np.searchsorted(edges, rows["end"])
    values = np.zeros(len(edges), np.float32)
    np.maximum.at(values, _ranges(first, stop - first), np.repeat(rows["value"], stop - first))
    flat = np.empty(len(edges) - 1, ROW)
    flat["start"], flat["end"], flat["value"] = edges[:-1], edges[1:], values[:-1]
    return flat[flat["value"] > 0]


def bin_intervals(rows: np.ndarray, *, num_bins: int, bin_size: int, summary: Summary) -> np.ndarray:
    """Summarise valued intervals in bins; bases outside them count as 0.

    Args:
        rows: (n,) `ROW`, sorted, without overlap, values not negative.
        num_bins: bins of the chromosome, which reach beyond every interval.
        bin_size: bp per bin.
        summary: "max", "mean" or "sum" of the values of a bin's bp.

    Returns:
        (num_bins,) float32.
    """
    found = np.zeros(num_bins, np.float32)
    for begin in range(0, num_bins, _BLOCK):  # so that memory follows the block, not the chromosome
        low, high = begin * bin_size, min(begin + _BLOCK, num_bins) * bin_size
        part = rows[np.searchsorted(rows["end"], low, "right") : np.searchsorted(rows["start"], high, "left")]
        starts, ends = np.maximum(part["start"], low).astype(np.int64), np.minimum(part["end"], high).astype(np.int64)
        number = (ends - 1) // bin_size - starts // bin_size + 1  # bins that an interval touches
        bins = _ranges(starts // bin_size, number)
        if not len(bins):
            continue
        value = np.repeat(part["value"].astype(np.float64), number)
        if summary != "max":
            left = np.maximum(np.repeat(starts, number), bins * bin_size)
            value *= np.minimum(np.repeat(ends, number), (bins + 1) * bin_size) - left
        firsts = np.flatnonzero(np.diff(bins, prepend=-1))
        total = (np.maximum if summary == "max" else np.add).reduceat(value, firsts)
        found[bins[firsts]] = total / bin_size if summary == "mean" else total
    return found


def _ranges(firsts: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return first, first + 1, ... of each range, one after the other, (sum of numbers,) int64."""
    offsets = np.cumsum(numbers) - numbers
    return np.arange(int(numbers.sum()), dtype=np.int64) + np.repeat(firsts - offsets, numbers)


def check_no_overlap(rows: np.ndarray, path: Path, chrom: str) -> None:
    """Refuse sorted bedGraph intervals that overlap."""
    wrong = np.flatnonzero(rows["start"][1:] < rows["end"][:-1])
    if len(wrong):
        one, other = rows[wrong[0]], rows[wrong[0] + 1]
        lines = (place for row, place in column_rows(path) if row[0] == chrom and int(row[1]) == other["start"])
        raise ValueError(
            f"{next(lines, path)}: a bedGraph's lines must not overlap, got {chrom}:{other['start']}-{other['end']} "
            f"after {chrom}:{one['start']}-{one['end']}: merge them, or count reads from the BAM or fragments"
        )


def _number(text: str, place: str, what: str) -> float:
    """Return the finite number in a column."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise ValueError(f"{place}: {what} must be a number, got {text[:40]!r}")
    return value
