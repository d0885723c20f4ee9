"""A FASTA -> the base codes of a store, one chromosome in memory at a time."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from .chrom_names import shown
from .fasta import N_CODE, Fasta
from .flat_file import FlatFile
from .store_files import flat_layout
from .store_inputs import InputReport, StoreInputs
from .store_tables import Genome
from .track_sources import Progress


def write_codes(path: Path, inputs: StoreInputs, report: InputReport, progress: Progress) -> Genome:
    """Write codes.npy from the FASTA.

    Raises:
        ValueError: what `Fasta.read_codes` refuses, a chromosome in two files, or a chosen one in none.
    """
    chosen = None if inputs.chroms is None else set(inputs.chroms)
    all_sizes: dict[str, int] = {}
    digests: dict[str, str] = {}
    gaps: list[tuple[str, int, int]] = []
    fastas = [Fasta(path) for path in inputs.fasta_files]
    with FlatFile(path, "uint8", fill=N_CODE) as file:
        for fasta, chrom, codes in _chromosomes(fastas):
            if chrom in all_sizes:
                raise ValueError(f"{fasta.path} holds chromosome {chrom!r}, which a file before it has: leave one out")
            all_sizes[chrom] = len(codes)
            progress(f"sequence {chrom}", len(all_sizes), 0)
            if chosen is None or chrom in chosen:
                file.append(codes)
                digests[chrom] = hashlib.sha256(codes.data).hexdigest()[:16]
                gaps += [(chrom, start, end) for start, end in _runs_of_n(codes)]
    if unknown := sorted((chosen or set()) - set(all_sizes)):
        files = ", ".join(map(str, inputs.fasta_files))
        raise ValueError(f"--chroms names {shown(unknown)}, which {files} lacks: it has {shown(all_sizes)}")
    sizes = {chrom: all_sizes[chrom] for chrom in digests}
    report.read, report.kept = len(all_sizes), len(sizes)
    report.drop("chromosome not chosen", len(all_sizes) - len(sizes))
    report.notes.append(f"{sum(sizes.values()):,} bp, of which N {sum(end - start for _, start, end in gaps):,}")
    if num_iupac := sum(fasta.num_iupac for fasta in fastas):
        report.notes.append(f"{num_iupac:,} IUPAC letters became N")
    return Genome(sizes, all_sizes, digests, pd.DataFrame(gaps, columns=["chrom", "start", "end"]))


def read_chrom_codes(path: Path, genome: Genome) -> Callable[[str], np.ndarray] | None:
    """Return a function that gives a chromosome's codes (size,) of a written codes.npy, or None where there is none."""
    if not path.is_file():
        return None
    flat, offsets = np.load(path, mmap_mode="r"), flat_layout(genome.sizes)[0]
    return lambda chrom: flat[offsets[chrom] : offsets[chrom] + genome.sizes[chrom]]


def _chromosomes(fastas: Iterable[Fasta]) -> Iterator[tuple[Fasta, str, np.ndarray]]:
    """Yield file, name and codes of each chromosome."""
    for fasta in fastas:
        yield from ((fasta, chrom, codes) for chrom, codes in fasta.read_codes())


def _runs_of_n(codes: np.ndarray, *, block: int = 1 << 24) -> list[tuple[int, int]]:
    """Return start and end of each run of N, looking at a block at a time."""
    edges, within = [], False
    for start in range(0, len(codes), block):
        is_n = codes[start : start + block] == N_CODE
        edges += (start + np.flatnonzero(np.diff(is_n, prepend=within))).tolist()
        within = bool(is_n[-1])
    edges += [len(codes)] * within
    return list(zip(edges[::2], edges[1::2], strict=True))
