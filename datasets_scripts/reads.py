"""Text files of reads and fragments -> chunks of their two cut ends."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from .bed import MAX_POSITION, integer, interval_of
from .text_chunks import first_row, read_chunks

Duplicates = Literal["marked", "keep", "collapse"]
DUPLICATES: tuple[Duplicates, ...] = get_args(Duplicates)
NO_CUT = -1


@dataclass(frozen=True)
class ReadRules:
    """Which reads count.

    Attributes:
        min_mapping_quality: of a BAM's reads, and of their mates where the MQ tag tells it; other formats have none.
        duplicates: "marked" leaves out what a BAM marks as duplicates, every line of another file counts once; "keep"
            counts those too, and a 10x fragment as often as its fifth column says; "collapse" counts reads with the
            same two ends once.
    """

    min_mapping_quality: int = 0
    duplicates: Duplicates = "marked"


@dataclass(frozen=True)
class ReadChunk:
    """Some reads.

    Attributes:
        chrom: (n,) names.
        first: (n,) int64, 0-based, the base a fragment starts with, or `NO_CUT`.
        last: (n,) int64, the base it ends with, or `NO_CUT`.
        barcode: (n,) names of cells; None in files without.
    """

    chrom: pd.Categorical
    first: np.ndarray
    last: np.ndarray
    barcode: pd.Categorical | None = None


def read_fragments(
    path: Path, rules: ReadRules, dropped: Counter[str], *, with_barcodes: bool = False
) -> Iterator[ReadChunk]:
    """Read fragments: 3-column BED, 10x (5 columns: barcode and read support), BED with more; a line is a fragment.

    A line of six columns that names a cell or read and its strand (`single_ended`) is one read, of which the 5' end is
    cut. Fragments without a base are left out.

    Args:
        path: the file, plain or gzip.
        rules: "keep" counts a 10x fragment as often as its read support.
        dropped: number of reads left out by reason, added to.
        with_barcodes: also read column 4.

    Raises:
        ValueError: a malformed line, or no barcodes where they are wanted.
    """
    columns = {"chrom": (0, "text"), "start": (1, "bp"), "end": (2, "bp")}
    row = first_row(path)
    if with_barcodes:
        if row and len(row) < 4:
            raise ValueError(f"{path} has no barcodes: column 4 must hold them, its first line has {len(row)} columns")
        columns["barcode"] = (3, "text")
    stranded = single_ended(row)
    if stranded:
        columns["strand"] = (5, "text")
    by_support = rules.duplicates == "keep" and len(row) == 5 and row[4].isdigit()
    if by_support:
        columns["support"] = (4, "bp")

    def is_right(table: pd.DataFrame) -> bool:
        starts, ends = table["start"], table["end"]
        on_grid = bool(((starts >= 0) & (ends >= starts) & (ends <= MAX_POSITION)).all())
        named = not stranded or set(table["strand"].cat.categories) <= {"+", "-"}
        return on_grid and named and (not by_support or bool((table["support"] > 0).all()))

    def check(row: list[str], place: str) -> None:
        interval_of(row, place, may_be_empty=True)
        if stranded and (len(row) < 6 or row[5] not in ("+", "-")):
            raise ValueError(
                f"{place}: column 6, the strand, must be + or -, as the first line makes this a file of single reads, "
                f"got {row[5] if len(row) > 5 else ''!r}"
            )
        if by_support and (len(row) < 5 or integer(row[4], place, "column 5, the read support,") < 1):
            raise ValueError(f"{place}: column 5, the read support, must be 1 or more")

    for table in read_chunks(path, columns, is_right=is_right, check=check, what="fragments"):
        empty = table["start"].to_numpy() == table["end"].to_numpy()
        if empty.any():
            dropped["of no base"] += int(empty.sum())
            table = table.loc[~empty]
        if by_support:
            table = table.take(np.repeat(np.arange(len(table)), table["support"].to_numpy()))
        barcode = _categorical(table["barcode"]) if with_barcodes else None
        first, last = table["start"].to_numpy(), table["end"].to_numpy() - 1
        if stranded:
            forward = (table["strand"] == "+").to_numpy()
            first, last = np.where(forward, first, NO_CUT), np.where(forward, NO_CUT, last)
        yield ReadChunk(_categorical(table["chrom"]), first, last, barcode)


def single_ended(row: list[str]) -> bool:
    """Tell whether a line of fragments is one read: column 4 names its cell or itself, column 6 is its strand.

    SnapATAC2 and tagAlign write single-end reads so. A "." in column 4 names none: a BED of whole fragments.
    """
    return len(row) >= 6 and row[5] in ("+", "-") and row[3] not in (".", "")


def read_bedpe(path: Path, rules: ReadRules, dropped: Counter[str]) -> Iterator[ReadChunk]:
    """Read pairs of mates (chrom, start, end twice): the fragment goes from the smaller start to the larger end.

    Pairs on two chromosomes, and pairs with an unmapped mate (chromosome `.`), are left out.

    Raises:
        ValueError: a malformed line.
    """
    names = ("chrom", "start", "end", "chrom2", "start2", "end2")
    columns = {name: (i, "text" if "chrom" in name else "bp") for i, name in enumerate(names)}

    def is_right(table: pd.DataFrame) -> bool:
        mapped = (table["chrom"] != ".") & (table["chrom2"] != ".")
        return all(_on_grid(table.loc[mapped, f"start{n}"], table.loc[mapped, f"end{n}"]) for n in ("", "2"))

    def check(row: list[str], place: str) -> None:
        if len(row) < 6:
            raise ValueError(
                f"{place}: bedpe must have at least 6 columns, two times chrom, start, end, got {len(row)}"
            )
        for mate in (row[:3], row[3:6]):
            if mate[0] == "." or "." in (row[0], row[3]):
                integer(mate[1], place, "a start")
                integer(mate[2], place, "an end")
            else:
                interval_of(mate, place)

    for table in read_chunks(path, columns, is_right=is_right, check=check, what="bedpe"):
        chrom = _categorical(table["chrom"])
        other = _categorical(table["chrom2"]).set_categories(chrom.categories)
        unmapped = ((table["chrom"] == ".") | (table["chrom2"] == ".")).to_numpy()
        together = (chrom.codes == other.codes) & ~unmapped
        dropped["a mate is unmapped"] += int(unmapped.sum())
        dropped["mates on two chromosomes"] += int((~together & ~unmapped).sum())
        first = np.minimum(table["start"].to_numpy(), table["start2"].to_numpy())
        last = np.maximum(table["end"].to_numpy(), table["end2"].to_numpy()) - 1
        yield ReadChunk(chrom[together], first[together], last[together])


def read_tagalign(path: Path, rules: ReadRules, dropped: Counter[str]) -> Iterator[ReadChunk]:
    """Read tagAlign (BED of six columns): each line has one cut, the 5' end of its strand.

    Raises:
        ValueError: a malformed line, or a strand other than + and -.
    """
    columns = {"chrom": (0, "text"), "start": (1, "bp"), "end": (2, "bp"), "strand": (5, "text")}

    def is_right(table: pd.DataFrame) -> bool:
        return _on_grid(table["start"], table["end"]) and set(table["strand"].cat.categories) <= {"+", "-"}

    def check(row: list[str], place: str) -> None:
        interval_of(row, place)
        if len(row) < 6 or row[5] not in ("+", "-"):
            raise ValueError(f"{place}: column 6, the strand, must be + or -, got {row[5] if len(row) > 5 else ''!r}")

    for table in read_chunks(path, columns, is_right=is_right, check=check, what="tagAlign"):
        forward = (table["strand"] == "+").to_numpy()
        first = np.where(forward, table["start"], NO_CUT)
        last = np.where(forward, NO_CUT, table["end"] - 1)
        yield ReadChunk(_categorical(table["chrom"]), first, last)


def _categorical(column: Any) -> pd.Categorical:
    """Return a text column as a Categorical."""
    return column.array


def _on_grid(starts: Any, ends: Any) -> bool:
    """Return whether all intervals have 0 <= start < end."""
    return bool(((starts >= 0) & (ends > starts) & (ends <= MAX_POSITION)).all())
