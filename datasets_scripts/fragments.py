"""ATAC fragments -> Tn5 insertions per bp."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from .bed import interval_rows
from .chrom_names import match_chroms
from .compressed import open_binary

_CHUNK = 2_000_000  # fragments read at a time
_NOT_DATA = (b"#", b"track", b"browser")
_MAX_POSITION = 2**31 - 1


@dataclass
class FragmentReport:
    """What `count_insertions` met; complete when the last chromosome has come.

    Attributes:
        read: fragments in the file.
        kept: fragments counted.
        dropped: fragments left out, by reason.
        ends_off: ends of kept fragments that the Tn5 shift moved off the chromosome.
        unknown_chroms: names in the file that the genome lacks.
    """

    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    ends_off: int = 0
    unknown_chroms: list[str] = field(default_factory=list)


def count_insertions(
    path: str | Path, chrom_sizes: Mapping[str, int], *, tn5_shift: tuple[int, int] = (0, 0)
) -> tuple[Iterator[tuple[str, np.ndarray]], FragmentReport]:
    """Count the two ends of every fragment: the bases start + shift[0] and end - 1 + shift[1].

    Reads 3-column BED (or BEDPE cut to three columns), 10x fragments (5 columns) and BED with more columns; plain or
    gzip, sorted or not. Each line is one fragment: the fifth column of a 10x file counts PCR duplicates of it
    (`readSupport`), so it is no weight. Fragments on chromosomes that the genome lacks, or that end past a chromosome's
    end, are dropped and counted.

    Memory holds one chromosome: positions go through a temporary folder (8 bytes a fragment).

    Args:
        path: the fragments.
        chrom_sizes: bp of each chromosome.
        tn5_shift: bp added to the first and the last base; (4, -5) or (4, -4) for unshifted fragments, (0, 0) for
            shifted ones, such as 10x.

    Returns:
        An iterator over chromosome and (size,) int32 insertions per bp, in the order of `chrom_sizes`, and the report,
        which is complete when the last chromosome has come.

    Raises:
        FileNotFoundError: no such file.
        ValueError: while iterating: a malformed line, no fragment, or no chromosome in common with the genome.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"fragment file {path} does not exist")
    report = FragmentReport()
    return _count(path, dict(chrom_sizes), tn5_shift, report), report


def _count(
    path: Path, chrom_sizes: dict[str, int], tn5_shift: tuple[int, int], report: FragmentReport
) -> Iterator[tuple[str, np.ndarray]]:
    """Part the fragments by chromosome on disk, then count one chromosome after the other."""
    with tempfile.TemporaryDirectory(prefix="chromhub-fragments-") as folder:
        files: dict[str, Path] = {}
        numbers: dict[str, int] = {}
        for table in _read_chunks(path):
            for key, rows in table.groupby("chrom", sort=False, observed=True):
                name = str(key)
                numbers[name] = numbers.get(name, 0) + len(rows)
                with files.setdefault(name, Path(folder) / str(len(files))).open("ab") as file:
                    file.write(rows[["start", "end"]].to_numpy(np.int32).tobytes())
        if not files:
            raise ValueError(f"{path} holds no fragment: it must have lines chrom, start, end")
        names = match_chroms(files, chrom_sizes, what=f"fragments of {path} with the genome")
        sources = {chrom: files[name] for name, chrom in names.items()}
        report.read = sum(numbers.values())
        report.unknown_chroms = [name for name in files if name not in names]
        _drop(report, "chromosome not in the genome", sum(numbers[name] for name in report.unknown_chroms))
        for chrom, size in chrom_sizes.items():
            counts = np.zeros(size, np.int32)
            if chrom in sources:
                fragments = np.fromfile(sources[chrom], np.int32).reshape(-1, 2)
                inside = fragments[fragments[:, 1] <= size]
                _drop(report, "past the chromosome's end", len(fragments) - len(inside))
                ends = np.concatenate([inside[:, 0] + tn5_shift[0], inside[:, 1] - 1 + tn5_shift[1]])
                on = ends[(ends >= 0) & (ends < size)]
                report.kept += len(inside)
                report.ends_off += len(ends) - len(on)
                counts = np.bincount(on, minlength=size).astype(np.int32)
            yield chrom, counts


def _drop(report: FragmentReport, reason: str, number: int) -> None:
    """Add to the count of one reason."""
    if number:
        report.dropped[reason] = report.dropped.get(reason, 0) + number


def _read_chunks(path: Path) -> Iterator[pd.DataFrame]:
    """Yield tables chrom, start, end; a malformed line is named."""
    num_header = 0
    with open_binary(path) as file:
        for line in file:
            if line.strip() and not line.startswith(_NOT_DATA):
                break
            num_header += 1
        else:
            return
    with open_binary(path) as file:
        try:
            for table in pd.read_csv(
                file,
                sep=r"\s+",
                header=None,
                names=["chrom", "start", "end"],
                usecols=[0, 1, 2],
                dtype={"chrom": "category", "start": np.int64, "end": np.int64},
                skiprows=num_header,
                comment="#",
                chunksize=_CHUNK,
                na_filter=False,
            ):
                if ((table["start"] < 0) | (table["end"] <= table["start"]) | (table["end"] > _MAX_POSITION)).any():
                    raise ValueError("a position")
                yield table
        except (ValueError, TypeError, OverflowError) as error:  # pandas' parser errors are ValueErrors
            for _ in interval_rows(path):  # finds the line and says what is wrong with it
                pass
            raise ValueError(f"{path} cannot be read as fragments: {error}") from error
