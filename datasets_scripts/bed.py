"""BED-like files -> interval tables (pandas, 0-based half-open), and `chrom:start-end` on the command line."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from .chrom_names import match_chroms
from .compressed import open_binary

_REGION = re.compile(r"^(.+):([\d,_]+)-([\d,_]+)$")
_HLA = re.compile(r"HLA-\w+\*\d+(:\d+)*[A-Z]?")  # an allele as a contig: HLA-A*01:01:01:01
_NARROW_PEAK_COLUMNS = 10
MAX_POSITION = 2**31 - 1


def parse_region(text: str) -> tuple[str, int | None, int | None]:
    """Split "chr1:1,000-2,000" into chrom, start and end, 0-based half-open; a bare name has no start and end.

    Raises:
        ValueError: the region is empty or ends before its start.
    """
    found = _REGION.match(text.strip())
    if found is None:
        if _HLA.fullmatch(text.strip()):
            return text.strip(), None, None
        if not text.strip() or re.search(r":[\d,_]*-?[\d,_]*$", text):
            raise ValueError(f"a region must be NAME or NAME:START-END, got {text!r}")
        return text.strip(), None, None
    start, end = (int(re.sub("[,_]", "", part) or 0) for part in found.groups()[1:])
    if end <= start:
        raise ValueError(f"a region must end after its start (0-based, half-open), got {text!r}")
    return found[1], start, end


def read_intervals(path: str | Path) -> pd.DataFrame:
    """Read the first three columns of a BED-like file, plain or gzip, LF or CRLF, in the order of the file.

    Lines that are empty or start with `#`, `track` or `browser` are skipped; further columns are not looked at. A file
    without intervals gives an empty table.

    Returns:
        Columns chrom (str), start, end (int64 bp).

    Raises:
        ValueError: a line with fewer than three columns, positions that are no integers, or an end before the start.
    """
    rows = [row[:3] for row in interval_rows(Path(path))]
    return pd.DataFrame(rows, columns=["chrom", "start", "end"]).astype(
        {"chrom": str, "start": "int64", "end": "int64"}
    )


def read_peaks(path: str | Path) -> pd.DataFrame:
    """Read peaks with their summits, sorted by chromosome and position.

    A line of ten columns, or of more as IDR writes them (20), is narrowPeak, whatever the file is called (ENCODE names
    them .bed.gz): its summit is start + column 10, or the midpoint where that is -1 or ".". In any other BED the summit
    is the midpoint.

    Returns:
        Columns chrom (str), start, end, summit (int64 bp).

    Raises:
        ValueError: what `read_intervals` refuses, no peak at all, or a summit outside its peak.
    """
    path, rows = Path(path), []
    for chrom, start, end, columns, place in interval_rows(path):
        summit = (start + end) // 2
        if is_narrow_peak(columns):
            offset = -1 if columns[9] == "." else integer(columns[9], place, "column 10, the summit,")
            if offset != -1:
                summit = start + offset
            if not start <= summit < end:
                raise ValueError(
                    f"{place}: column 10, the summit, must lie in [0, {end - start}) or be -1, got {offset}"
                )
        rows.append((chrom, start, end, summit))
    if not rows:
        raise ValueError(f"{path} holds no peak: give a file with peaks, or leave --peaks out")
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "summit"])
    return table.sort_values(["chrom", "start", "end", "summit"], ignore_index=True)


def is_narrow_peak(columns: list[str]) -> bool:
    """Tell whether a line is narrowPeak: of ten columns, or of more that begin so, and not of BED12."""
    if len(columns) <= _NARROW_PEAK_COLUMNS:
        return len(columns) == _NARROW_PEAK_COLUMNS
    numbers = all(is_number(text) for text in columns[6:9]) and (columns[9] == "." or is_number(columns[9]))
    return columns[5] in ("+", "-", ".") and numbers and not _has_blocks(columns)


def _has_blocks(columns: list[str]) -> bool:
    """Tell whether columns 10 to 12 are those of BED12: a number of blocks, their sizes, and where they start."""
    if len(columns) < 12 or not columns[9].isdigit():
        return False
    sizes, starts = (text.rstrip(",").split(",") for text in columns[10:12])
    return len(sizes) == len(starts) == int(columns[9]) and all(text.isdigit() for text in (*sizes, *starts))


def place_intervals(
    table: pd.DataFrame, chrom_sizes: Mapping[str, int], *, genome_chroms: list[str], what: str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Give an interval table the genome's chromosome names, and leave out what is not on the genome.

    Intervals that run past a chromosome's end are kept here; `drop_past_end` and `clip_to_end` are the two answers.

    Args:
        table: chrom, start, end and more columns.
        chrom_sizes: bp of the chromosomes in use.
        genome_chroms: names of all chromosomes of the genome, among them those not in use.
        what: for the message.

    Returns:
        The table, sorted in the genome's order, and the number left out by reason.

    Raises:
        ValueError: no chromosome in common with the genome.
    """
    if table.empty:
        return table, {}
    names = match_chroms(table["chrom"], genome_chroms, what=f"{what} with the genome")
    chroms = np.array([names.get(name, "") for name in table["chrom"]], object)
    rank = {chrom: i for i, chrom in enumerate(chrom_sizes)}
    ranks = np.array([rank.get(chrom, -1) for chrom in chroms])
    order = np.lexsort((table["end"], table["start"], ranks))
    kept = table.assign(chrom=chroms).take(order[(ranks >= 0)[order]]).reset_index(drop=True)
    dropped = {
        "chromosome not in the genome": int((chroms == "").sum()),
        "chromosome not chosen": int(((chroms != "") & (ranks < 0)).sum()),
    }
    return kept, {reason: number for reason, number in dropped.items() if number}


def drop_past_end(table: pd.DataFrame, chrom_sizes: Mapping[str, int]) -> tuple[pd.DataFrame, int]:
    """Leave out intervals that end past their chromosome; return the rest and how many were left out."""
    inside = table["end"].to_numpy() <= sizes_of(table, chrom_sizes)
    return table.take(np.flatnonzero(inside)).reset_index(drop=True), int((~inside).sum())


def clip_to_end(table: pd.DataFrame, chrom_sizes: Mapping[str, int]) -> tuple[pd.DataFrame, int]:
    """Cut intervals at their chromosome's end; return what is left of them, and how many ran past it."""
    sizes = sizes_of(table, chrom_sizes)
    starts, ends = table["start"].to_numpy(), table["end"].to_numpy()
    clipped = table.assign(end=np.minimum(ends, sizes)).take(np.flatnonzero(starts < sizes))
    return clipped.reset_index(drop=True), int((ends > sizes).sum())


def sizes_of(table: pd.DataFrame, chrom_sizes: Mapping[str, int]) -> np.ndarray:
    """Return the size in bp of each row's chromosome, (n,) int64."""
    return np.array([chrom_sizes[chrom] for chrom in table["chrom"]], np.int64)


def is_data(line: str) -> bool:
    """Tell whether a line of a BED-like file holds data: it is not empty, a comment, `track ...` or `browser ...`."""
    return bool(line.strip()) and not line.startswith("#") and line.split(maxsplit=1)[0] not in ("track", "browser")


def column_rows(path: Path) -> Iterator[tuple[list[str], str]]:
    """Yield the columns and "file, line n" of each line of a BED-like file that holds data."""
    with open_binary(path) as file:
        for number, raw in enumerate(file, 1):
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not is_data(line):
                continue
            yield line.split("\t") if "\t" in line else line.split(), f"{path}, line {number}"


def interval_rows(path: Path) -> Iterator[tuple[str, int, int, list[str], str]]:
    """Yield chrom, start, end, all columns and "file, line n" of each interval of a BED-like file.

    Raises:
        ValueError: what `read_intervals` refuses.
    """
    for columns, place in column_rows(path):
        start, end = interval_of(columns, place)
        yield columns[0], start, end, columns, place


def interval_of(columns: list[str], place: str, *, may_be_empty: bool = False) -> tuple[int, int]:
    """Return start and end of a line's first three columns, or refuse it."""
    if len(columns) < 3:
        line = "\t".join(columns)
        raise ValueError(f"{place}: must have at least 3 tab-separated columns chrom, start, end, got {line[:80]!r}")
    start = integer(columns[1], place, "column 2, the start,")
    end = integer(columns[2], place, "column 3, the end,")
    if not 0 <= start < end <= MAX_POSITION and not (may_be_empty and 0 <= start == end <= MAX_POSITION):
        raise ValueError(f"{place}: must have 0 <= start < end (0-based, half-open), got {start} and {end}")
    return start, end


def is_number(text: str) -> bool:
    """Tell whether a column holds a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def integer(text: str, place: str, what: str) -> int:
    """Return the integer in a column."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{place}: {what} must be an integer, got {text[:40]!r}") from None
