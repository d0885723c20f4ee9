"""Which part of the genome is for training, validation and test."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from .bed import parse_region
from .chrom_names import match_chroms, shown
from .plain_files import read_json

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")

# Grover et al. 2026 (doi 10.1101/gr.281042.125), BoevaLab/ASAP@9c12fea: five sets of hg38 autosomes.
ASAP_FOLDS: tuple[tuple[str, ...], ...] = (
    ("chr1", "chr11", "chr20", "chr13"),
    ("chr2", "chr10", "chr14", "chr19", "chr21"),
    ("chr3", "chr12", "chr16", "chr17", "chr22"),
    ("chr9", "chr15", "chr6", "chr7"),
    ("chr8", "chr18", "chr4", "chr5"),
)


@dataclass(frozen=True)
class Split:
    """The parts of a genome, each a tuple of chromosomes ("chrI") and regions ("chrI:100-200", 0-based half-open).

    Attributes:
        train: for training.
        valid: for choosing a model; may be empty.
        test: for the final number; may be empty.
        name: what messages call it; the file it was read from.

    Raises:
        ValueError: two entries overlap, within a part or between parts, or an entry is not a region.
    """

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    name: str = field(default="the split", compare=False, repr=False)

    def __post_init__(self) -> None:
        placed = []
        for part in PARTS:
            object.__setattr__(self, part, tuple(getattr(self, part)))
            for entry in getattr(self, part):
                chrom, start, end = parse_region(entry)
                placed.append((chrom, start or 0, float("inf") if end is None else end, part, entry))
        placed.sort()
        for (chrom, _, end, part, entry), (*after, next_part, next_entry) in pairwise(placed):
            if chrom == after[0] and after[1] < end:
                raise ValueError(f"parts of a split must not overlap: {entry} ({part}) and {next_entry} ({next_part})")

    @classmethod
    def from_json(cls, path: str | Path) -> "Split":
        """Read `{"train": [...], "valid": [...], "test": [...]}`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no JSON of this form, or overlapping parts.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"split file {path} does not exist")
        parts = read_json(path, object, remedy="write it anew")
        if not isinstance(parts, dict) or set(parts) != set(PARTS):
            found = sorted(parts) if isinstance(parts, dict) else type(parts).__name__
            raise ValueError(f"{path} must hold an object with the keys train, valid and test, got {found}")
        for part, entries in parts.items():
            if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
                raise ValueError(f'{path}: {part} must be a list of "chrom" or "chrom:start-end", got {entries!r:.80}')
        try:
            return cls(**parts, name=str(path))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def to_json(self, path: str | Path) -> None:
        """Write the file that `from_json` reads."""
        Path(path).write_text(
            json.dumps({part: list(getattr(self, part)) for part in PARTS}, indent=2) + "\n", encoding="utf-8"
        )

    def placed_on(self, chrom_sizes: Mapping[str, int]) -> "Split":
        """Return the same split with the genome's chromosome names.

        Raises:
            ValueError: a chromosome that the genome lacks, or a region past a chromosome's end.
        """
        regions = {entry: parse_region(entry) for part in PARTS for entry in getattr(self, part)}
        chroms = [chrom for chrom, _, _ in regions.values()]
        names = match_chroms(chroms, chrom_sizes, what=f"{self.name} with the genome") if chroms else {}
        if unknown := [chrom for chrom in dict.fromkeys(chroms) if chrom not in names]:
            raise ValueError(
                f"{self.name} names chromosomes the genome lacks: {shown(unknown)}; the genome has {shown(chrom_sizes)}"
            )
        renamed: dict[str, str] = {}
        for entry, (chrom, start, end) in regions.items():
            name = names[chrom]
            renamed[entry] = name if end is None else f"{name}:{start}-{end}"
            if end is not None and end > chrom_sizes[name]:
                raise ValueError(f"{self.name}: entry {entry} must end within {name}, which has {chrom_sizes[name]} bp")
        return Split(*(tuple(renamed[entry] for entry in getattr(self, part)) for part in PARTS), name=self.name)

    def restricted_to(self, chroms: Iterable[str]) -> "Split":
        """Return the split without the entries of other chromosomes than `chroms`."""
        chosen = set(chroms)
        parts = (tuple(e for e in getattr(self, part) if parse_region(e)[0] in chosen) for part in PARTS)
        return Split(*parts, name=self.name)

    def intervals(self, part: Part, chrom_sizes: Mapping[str, int]) -> pd.DataFrame:
        """Return the intervals of a part, as columns chrom, start, end, in the order of the genome.

        Raises:
            ValueError: no such part, or a chromosome that the genome lacks.
        """
        if part not in PARTS:
            raise ValueError(f"`part` must be one of {', '.join(PARTS)}, got {part!r}")
        rank = {chrom: i for i, chrom in enumerate(chrom_sizes)}
        rows = []
        for entry in getattr(self, part):
            chrom, start, end = parse_region(entry)
            if chrom not in rank:
                raise ValueError(f"split entry {entry} must name a chromosome of the genome: {shown(chrom_sizes)}")
            rows.append((chrom, start or 0, chrom_sizes[chrom] if end is None else end))
        rows.sort(key=lambda row: (rank[row[0]], row[1]))
        return pd.DataFrame(rows, columns=["chrom", "start", "end"]).astype({"start": "int64", "end": "int64"})

    def select(self, windows: pd.DataFrame, part: Part, chrom_sizes: Mapping[str, int]) -> pd.DataFrame:
        """Return the windows that lie wholly inside one interval of a part, in their order.

        Args:
            windows: columns chrom, start, end.
            part: "train", "valid" or "test".
            chrom_sizes: bp of each chromosome.
        """
        inside = np.zeros(len(windows), bool)
        chroms, starts, ends = (windows[column].to_numpy() for column in ("chrom", "start", "end"))
        for chrom, rows in self.intervals(part, chrom_sizes).groupby("chrom"):
            first = rows["start"].to_numpy()
            here = np.flatnonzero(chroms == chrom)
            i = np.searchsorted(first, starts[here], side="right") - 1
            inside[here] = (i >= 0) & (ends[here] <= rows["end"].to_numpy()[i])
        return windows.take(np.flatnonzero(inside)).reset_index(drop=True)


def asap_split(fold: int) -> Split:
    """Return fold 0 to 4 of the paper: validation is set `fold`, test the next one, training the other three.

    Raises:
        ValueError: no such fold.
    """
    if not 0 <= fold < len(ASAP_FOLDS):
        raise ValueError(f"an ASAP fold must be 0 to {len(ASAP_FOLDS) - 1}, got {fold}")
    after = (fold + 1) % len(ASAP_FOLDS)
    rest = [i for i in range(len(ASAP_FOLDS)) if i not in (fold, after)]
    return Split(tuple(c for i in rest for c in ASAP_FOLDS[i]), ASAP_FOLDS[fold], ASAP_FOLDS[after])
