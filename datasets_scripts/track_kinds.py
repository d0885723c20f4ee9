"""What a track's file is, told by its name or, where the name leaves it open, by its first line."""

from pathlib import Path
from typing import Literal, get_args

from .compressed import open_binary
from .text_chunks import first_row

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
    the first bytes or the first line do: a bigWig, a BAM, four columns that end in a number (bedGraph), a barcode and a
    count (10x fragments), ten columns (narrowPeak), two intervals (bedpe). Any other BED may be fragments or peaks, and
    is refused.

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
        row = first_row(path)
        kind = _by_row(row)
        if reads and (kind in (None, "bedgraph", "peaks")):
            kind = "fragments"
        if kind is None:
            is_bed = len(row) >= 3 and row[1].isdigit() and row[2].isdigit()
            what = "may be fragments or peaks: give it by --fragments, or" if is_bed else "is not recognised:"
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


def _by_row(row: list[str]) -> Kind | None:
    """Return the kind that a line's columns say, if they leave no choice."""
    numeric = [_is_number(text) for text in row]
    if len(row) == 4 and numeric[3]:
        return "bedgraph"
    if len(row) == 5 and not numeric[3] and row[3] != "." and row[4].isdigit():
        return "fragments"
    if len(row) >= _BEDPE_COLUMNS and numeric[4] and numeric[5] and not numeric[3] and row[0] == row[3]:
        return "bedpe"
    if len(row) == 10 and all(numeric[6:]):
        return "peaks"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
