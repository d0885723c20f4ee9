"""Genes and their transcription start sites, from GTF, GFF3 or BED."""

import re
from collections import Counter
from pathlib import Path

import pandas as pd

from .bed import MAX_POSITION, column_rows, integer, interval_rows

COLUMNS = ["gene", "chrom", "start", "end", "strand", "tss"]
_TYPES = ("gene_type", "gene_biotype", "biotype")  # GENCODE, Ensembl's GTF, Ensembl's GFF3
_PAIR = re.compile(r'^\s*(\w+)(?:=|\s+)"?([^"]*)"?\s*$')


def read_genes(path: str | Path, *, gene_type: str | None = None) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read genes, in the order of the file.

    The start site is a gene's first base on its strand. In a BED a row is a gene, or one base of it: name is column 4
    and strand column 6; a row without a strand has its start site in the middle.

    Args:
        path: GTF or GFF3 (nine columns, positions 1-based) or BED, plain or gzip.
        gene_type: of a GTF or GFF3, only genes of this type, as protein_coding.

    Returns:
        Columns gene, chrom, start, end (0-based half-open), strand ("+", "-" or ".") and tss (0-based), and the number
        of rows left out by reason.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that is no gene, a type asked of a BED, or no gene at all.
    """
    path = Path(path)
    first = next((columns for columns, _ in column_rows(path)), [])
    annotated = len(first) == 9 and first[6] in ("+", "-", ".", "?")
    if gene_type is not None and not annotated:
        raise ValueError(f"{path} is no GTF or GFF3, so it has no types of genes; leave --gene-type out")
    rows, dropped = _annotated_rows(path, gene_type) if annotated else (_bed_rows(path), Counter())
    table = pd.DataFrame(rows, columns=COLUMNS)
    repeated = table.duplicated(["chrom", "tss", "strand", "gene"])
    dropped["listed twice"] += int(repeated.sum())
    table = table.loc[~repeated].reset_index(drop=True)
    if table.empty:
        wanted = f" of type {gene_type!r}" if gene_type else ""
        raise ValueError(f"{path} holds no gene{wanted}: give a GTF or GFF3 with rows `gene`, or a BED")
    return table, {reason: number for reason, number in dropped.items() if number}


def _bed_rows(path: Path) -> list[tuple[str, str, int, int, str, int]]:
    rows = []
    for chrom, start, end, columns, place in interval_rows(path):
        strand = columns[5] if len(columns) > 5 else "."
        if strand not in ("+", "-", "."):
            raise ValueError(f"{place}: column 6, the strand, must be +, - or ., got {strand!r}")
        name = columns[3] if len(columns) > 3 and columns[3] not in ("", ".") else f"{chrom}:{start}"
        tss = {"+": start, "-": end - 1}.get(strand, (start + end) // 2)
        rows.append((name, chrom, start, end, strand, tss))
    return rows


def _annotated_rows(path: Path, gene_type: str | None) -> tuple[list[tuple[str, str, int, int, str, int]], Counter]:
    rows, dropped = [], Counter()
    for columns, place in column_rows(path):
        if len(columns) != 9:
            raise ValueError(f"{place}: a GTF or GFF3 must have 9 tab-separated columns, got {len(columns)}")
        if columns[2] != "gene":
            continue
        start, end = integer(columns[3], place, "column 4") - 1, integer(columns[4], place, "column 5")
        if not 0 <= start < end <= MAX_POSITION:
            raise ValueError(f"{place}: must have 1 <= start <= end (1-based), got {columns[3]} and {columns[4]}")
        pairs = (_PAIR.match(part) for part in columns[8].split(";"))
        notes = {found[1]: found[2] for found in pairs if found}
        kind = next((notes[key] for key in _TYPES if key in notes), None)
        if gene_type is not None and kind != gene_type:
            dropped["another type"] += 1
            continue
        strand = columns[6]
        if strand not in ("+", "-"):
            dropped["without a strand"] += 1
            continue
        name = notes.get("gene_id") or notes.get("ID") or notes.get("Name") or f"{columns[0]}:{start}"
        rows.append((name, columns[0], start, end, strand, start if strand == "+" else end - 1))
    return rows, dropped
