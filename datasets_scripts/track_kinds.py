"""What a track's file is, told by its name or, where the name leaves it open, by its first line."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

from .bed import is_data, is_narrow_peak, is_number
from .compressed import open_binary
from .text_chunks import first_row, first_rows

Kind = Literal["bigwig", "bedgraph", "peaks", "fragments", "bedpe", "tagalign", "bam"]
KINDS: tuple[Kind, ...] = get_args(Kind)
READ_KINDS: tuple[Kind, ...] = ("fragments", "bedpe", "tagalign", "bam")
_SUFFIXES: dict[str, Kind] = {
    ".bw": "bigwig",
    ".bigwig": "bigwig",
    ".bam": "bam",
    ".bedgraph": "bedgraph",
    ".bdg": "bedgraph",
    ".bg": "bedgraph",
    ".narrowpeak": "peaks",
    ".broadpeak": "peaks",
    ".tagalign": "tagalign",
    ".bedpe": "bedpe",
}
_BIGWIG_STARTS = (b"\x26\xfc\x8f\x88", b"\x88\x8f\xfc\x26")
_BEDPE_COLUMNS = 6
_WITNESSES = 200  # lines looked at
_BARCODE = re.compile(r"(?:^|[^A-Za-z])[ACGTN]{4,}(?:-\w+)?$")  # AAACGAAAGAAACGCC-1, or behind a sample's name


def recognise_by_start(path: Path) -> Kind | None:
    """Return the kind that a binary file's first bytes say; None for any other."""
    with open_binary(path) as file:
        start = file.read(4)
    if start in _BIGWIG_STARTS:
        return "bigwig"
    return "bam" if start == b"BAM\x01" else None


def recognise_kind(path: str | Path, *, reads: bool = False) -> Kind:
    """Return what a file is.

    The name decides: `.bw`, `.bedGraph`, `.narrowPeak`, `.tagAlign`, `.bedpe`, `.bam`, `fragments` anywhere in it. Else
    the first bytes or the first lines do: a bigWig, a BAM, four columns that end in a number (bedGraph, where they lie
    end to end or a number is no integer), a barcode of bases and a count (10x fragments), ten columns or more
    (narrowPeak), two intervals (bedpe). Any other BED may be fragments or peaks, and is refused.

    Args:
        path: an existing file.
        reads: the file holds reads or fragments, so any BED is fragments.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not recognised, or, with `reads`, no file of reads.
    """
    path = Path(path)
    kind = _by_name(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist or is not a file")
    if kind is None:
        kind = recognise_by_start(path)
    if kind is None:
        rows = first_rows(path, _WITNESSES)
        row = rows[0] if rows else []
        kind = _by_rows(rows)
        if kind == "bedgraph" and not _is_signal(path, rows):
            kind = None
        if reads and (kind in (None, "bedgraph", "peaks")):
            kind = "fragments"
        if kind is None:
            is_bed = len(row) >= 3 and row[1].isdigit() and row[2].isdigit()
            what = "is not recognised:"
            if is_bed:
                may_be = "bedGraph or peaks" if len(row) == 4 and is_number(row[3]) else "fragments or peaks"
                what = f"may be {may_be}: give it by --fragments, or" if "frag" in may_be else f"may be {may_be}:"
            raise ValueError(f"{path} {what} say what it is by --kind NAME=KIND, one of {', '.join(KINDS)}")
    if kind == "bedpe" and len(first_row(path)) < _BEDPE_COLUMNS:
        kind = "fragments"  # MACS calls chrom, start, end of a whole fragment BEDPE
    if reads and kind not in READ_KINDS:
        raise ValueError(f"--fragments must be a file of reads or fragments, got {path}, a {kind} file: use --track")
    return kind


def _by_name(path: Path) -> Kind | None:
    """Return the kind that a file's name says."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".bgz")
    for suffix, kind in _SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    return "fragments" if "fragments" in name else None


def _by_rows(rows: list[list[str]]) -> Kind | None:
    """Return the kind that the columns of all of a file's first lines say, if they leave no choice."""
    kinds: set[Kind | None] = {_by_row(row) for row in rows}
    return kinds.pop() if len(kinds) == 1 else None


def _by_row(row: list[str]) -> Kind | None:
    """Return the kind that a line's columns say, if they leave no choice."""
    numeric = [is_number(text) for text in row]
    if len(row) == 4 and numeric[3]:
        return "bedgraph"
    if len(row) in (5, 6) and _BARCODE.search(row[3]) and row[4].isdigit() and row[5:] in ([], ["+"], ["-"]):
        return "fragments"
    if len(row) >= _BEDPE_COLUMNS and numeric[4] and numeric[5] and not numeric[3] and row[0] == row[3]:
        return "bedpe"
    return "peaks" if is_narrow_peak(row) and all(numeric[6:9]) and (numeric[9] or row[9] == ".") else None


def _is_signal(path: Path, rows: list[list[str]]) -> bool:
    """Tell whether lines of chrom, start, end, number are signal: a number may be an id or a score of peaks, too.

    Witnesses are a `track type=bedGraph` line, a number that is no integer, and intervals that lie end to end.
    """
    with open_binary(path) as file:
        for raw in file:
            line = raw.decode("utf-8", "replace")
            if is_data(line):
                break
            if line.startswith("track") and "type=bedgraph" in line.lower().replace('"', ""):
                return True
    if any(not float(row[3]).is_integer() for row in rows):
        return True
    return any(one[0] == other[0] and one[2] == other[1] for one, other in pairwise(rows))
