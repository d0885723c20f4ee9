"""A FASTA -> the base codes of a store, a piece of about a MiB in memory at a time."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd

from .background import BackgroundSha256
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
    with FlatFile(path, "uint8", fill=N_CODE) as file, ThreadPoolExecutor(1) as thread:
        for fasta, chrom, pieces in _chromosomes(fastas):
            if chrom in all_sizes:
                raise ValueError(f"{fasta.path} holds chromosome {chrom!r}, which a file before it has: leave one out")
            is_chosen = chosen is None or chrom in chosen
            size, edges, digest = 0, [], BackgroundSha256(thread)
            if is_chosen:
                file.begin()
            for codes in pieces:
                if is_chosen:
                    digest.update(codes)
                    file.extend(codes)
                    edges += _edges_of_n(codes, size, within=len(edges) % 2 > 0)
                size += len(codes)
            all_sizes[chrom] = size
            progress(f"sequence {chrom}", len(all_sizes), 0)
            if is_chosen:
                digests[chrom] = digest.hexdigest()[:16]
                edges += [size] * (len(edges) % 2)
                gaps += [(chrom, start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]
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


def _chromosomes(fastas: Iterable[Fasta]) -> Iterator[tuple[Fasta, str, Iterator[np.ndarray]]]:
    """Yield file, name and codes, piece by piece, of each chromosome."""
    for fasta in fastas:
        for chrom, pieces in groupby(fasta.read_pieces(), key=itemgetter(0)):
            yield fasta, chrom, (codes for _, codes in pieces)


def _edges_of_n(codes: np.ndarray, start: int, *, within: bool) -> list[int]:
    """Return where runs of N begin and end in a piece of a chromosome that starts at `start`, maybe `within` a run."""
    if not within and codes.max() < N_CODE:
        return []
    return (start + np.flatnonzero(np.diff(codes == N_CODE, prepend=within))).tolist()
