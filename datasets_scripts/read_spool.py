"""Reads of a file, parted by chromosome and cell type on disk in one pass."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .bam import bam_chrom_sizes, read_bam
from .barcodes import read_barcodes
from .reads import ReadChunk, ReadRules, read_bedpe, read_fragments, read_tagalign
from .track_kinds import Kind

_READERS: dict[Kind, Callable[[Path, ReadRules, Counter[str]], Iterator[ReadChunk]]] = {
    "fragments": read_fragments,
    "bedpe": read_bedpe,
    "tagalign": read_tagalign,
    "bam": read_bam,
}
UNITS: dict[Kind, str] = {
    "fragments": "fragments",
    "bedpe": "pairs",
    "tagalign": "reads",
    "bam": "alignments",
}


@dataclass(frozen=True)
class ReadSpool:
    """What one pass over a file left in a folder; may be sent to another process.

    Attributes:
        folder: holds `TYPE.CHROM` files of (n, 2) int32, first and last base of each read.
        read: reads in the file.
        dropped: reads left out in the pass, by reason.
        types: cell types; [""] without barcodes.
        numbers: chromosome in the file -> reads of each cell type.
        chrom_sizes: bp of the chromosomes, where the file says it.
    """

    folder: Path
    read: int
    dropped: dict[str, int]
    types: list[str]
    numbers: dict[str, list[int]]
    chrom_sizes: dict[str, int]

    @classmethod
    def open(cls, folder: Path) -> "ReadSpool":
        """Return the spool that `spool_reads` made in a folder."""
        found = json.loads((folder / "spool.json").read_text(encoding="utf-8"))
        return cls(**found | {"folder": folder})

    def ends(self, chrom: str, cell_type: str = "") -> np.ndarray:
        """Return first and last base of a chromosome's reads, (n, 2) int32, in the order of the file."""
        kind, place = self.types.index(cell_type), list(self.numbers).index(chrom)
        path = self.folder / f"{kind}.{place}"
        return np.fromfile(path, np.int32).reshape(-1, 2) if path.exists() else np.zeros((0, 2), np.int32)

    def number(self, cell_type: str = "", chrom: str | None = None) -> int:
        """Return how many reads a cell type has, on one chromosome or in all."""
        kind = self.types.index(cell_type)
        return sum(row[kind] for name, row in self.numbers.items() if chrom in (None, name))


def spool_reads(
    path: Path, folder: Path, *, kind: Kind = "fragments", rules: ReadRules | None = None, barcodes: Path | None = None
) -> ReadSpool:
    """Read a file once, and leave its reads in a folder, parted by chromosome and cell type: 8 bytes a read.

    Args:
        path: the file.
        folder: an existing, empty folder.
        kind: its format.
        rules: which reads count.
        barcodes: table of barcodes and cell types, for fragments with barcodes.

    Raises:
        ValueError: a malformed line, a damaged file, or no read at all.
    """
    dropped: Counter[str] = Counter()
    read_chunks = _READERS[kind]
    type_of = None
    if barcodes is not None:
        type_of = read_barcodes(barcodes)
        read_chunks = partial(read_fragments, with_barcodes=True)
    types = sorted(set(type_of.values())) if type_of else [""]
    numbers: dict[str, np.ndarray] = {}
    num_read = 0
    for chunk in read_chunks(path, rules or ReadRules(), dropped):
        num_read += len(chunk.first)
        if type_of is None:
            kinds = np.zeros(len(chunk.first), np.int64)
        else:
            kinds = _types_of(chunk, type_of, types)
            dropped["barcode not in the table"] += int((kinds < 0).sum())
        _append(chunk, kinds, folder, numbers, len(types))
    num_read += sum(number for reason, number in dropped.items() if reason != "barcode not in the table")
    if type_of and num_read and not numbers:
        raise ValueError(
            f"{path} and {barcodes} have no barcode in common, {barcodes} starts with {next(iter(type_of))}: "
            "write both alike, as in AAACGAAAGAAACGCC-1"
        )
    if not num_read:
        raise ValueError(f"{path} holds no fragment: it must have lines chrom, start, end")
    if not numbers:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in dropped.most_common() if number)
        raise ValueError(f"{path}: no read is left of {num_read:,}: {reasons}")
    spool = ReadSpool(
        folder,
        num_read,
        {reason: number for reason, number in dropped.items() if number},
        types,
        {name: row.tolist() for name, row in numbers.items()},
        bam_chrom_sizes(path) if kind == "bam" else {},
    )
    (folder / "spool.json").write_text(json.dumps(asdict(spool) | {"folder": ""}), encoding="utf-8")
    return spool


def _types_of(chunk: ReadChunk, type_of: Mapping[str, str], types: list[str]) -> np.ndarray:
    """Return the index of each read's cell type, (n,) int64, -1 for a barcode that the table lacks."""
    barcode: Any = chunk.barcode
    rank = {name: i for i, name in enumerate(types)}
    of_category = np.array([rank.get(type_of.get(name, "\0"), -1) for name in barcode.categories], np.int64)
    return of_category[barcode.codes] if len(of_category) else np.zeros(0, np.int64)


def _append(chunk: ReadChunk, kinds: np.ndarray, folder: Path, numbers: dict[str, np.ndarray], num_types: int) -> None:
    """Add a chunk's reads to the files of their chromosome and type."""
    if not len(chunk.first):
        return
    names = [str(name) for name in chunk.chrom.categories]
    keys = np.asarray(chunk.chrom.codes, np.int64) * num_types + kinds
    keys[kinds < 0] = -1
    order = np.argsort(keys, kind="stable")
    ends = np.column_stack([chunk.first, chunk.last]).astype(np.int32)[order]
    found, starts = np.unique(keys[order], return_index=True)
    for key, start, stop in zip(found, starts, [*starts[1:], len(keys)], strict=True):
        if key < 0:
            continue
        name, kind = names[key // num_types], int(key % num_types)
        row = numbers.setdefault(name, np.zeros(num_types, np.int64))
        row[kind] += stop - start
        with (folder / f"{kind}.{list(numbers).index(name)}").open("ab") as file:
            file.write(ends[start:stop].tobytes())
