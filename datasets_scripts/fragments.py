"""Reads and fragments -> Tn5 insertions."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .chrom_names import check_sizes, match_chroms
from .read_spool import ReadSpool, spool_reads
from .reads import NO_CUT, ReadRules
from .track_kinds import Kind


@dataclass
class FragmentReport:
    """What was met when insertions were counted; complete when the last chromosome has come.

    Attributes:
        read: reads in the file.
        kept: reads counted.
        dropped: reads left out, by reason.
        ends_off: ends of kept reads that the Tn5 shift moved off the chromosome.
        unknown_chroms: names in the file that the genome lacks.
        notes: what else a user should know.
    """

    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    ends_off: int = 0
    unknown_chroms: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def drop(self, reason: str, number: int) -> None:
        """Add to the count of one reason."""
        if number:
            self.dropped[reason] = self.dropped.get(reason, 0) + number


@dataclass(frozen=True)
class Excluded:
    """A stretch of a chromosome, in the file's or the genome's name, whose reads do not count."""

    chrom: str
    start: int = 0
    end: int | None = None


class Insertions:
    """The insertions of one track: the bases first + shift[0] and last + shift[1] of every read.

    Args:
        spool: the file's reads.
        chrom_sizes: bp of every chromosome of the genome.
        cell_type: which of the spool's.
        tn5_shift: bp added to the first and the last base.
        collapse: count reads with the same first and last base once.
        excluded: where reads do not count.
        what: for messages.

    Raises:
        ValueError: no chromosome in common with the genome.
    """

    def __init__(
        self,
        spool: ReadSpool,
        chrom_sizes: Mapping[str, int],
        *,
        cell_type: str = "",
        tn5_shift: tuple[int, int] = (0, 0),
        collapse: bool = False,
        excluded: tuple[Excluded, ...] = (),
        what: str,
    ) -> None:
        self.spool, self.cell_type, self.tn5_shift, self.collapse = spool, cell_type, tn5_shift, collapse
        self.chrom_sizes = dict(chrom_sizes)
        self.excluded = excluded
        self.names = match_chroms(spool.numbers, chrom_sizes, what=f"fragments of {what} with the genome")
        self.what = what
        self._in_file: dict[str, list[str]] = {}
        for name, chrom in self.names.items():
            self._in_file.setdefault(chrom, []).append(name)

    def cuts(self, chrom: str, report: FragmentReport | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return where a chromosome of the genome was cut at the reads' first and at their last bases.

        Args:
            chrom: the genome's name.
            report: counts what is kept and dropped.

        Returns:
            (m,) and (n,) int64 0-based positions, in the order of the file.
        """
        report = report or FragmentReport()
        size, names = self.chrom_sizes[chrom], self._in_file.get(chrom)
        if names is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        ends = np.concatenate([self.spool.ends(name, self.cell_type) for name in names])
        inside = ends.max(axis=1, initial=NO_CUT) < size
        report.drop("past the chromosome's end", int((~inside).sum()))
        ends = ends[inside]
        for region in self.excluded:
            if region.chrom in (chrom, *names):
                left, right = ends[:, 0], ends[:, 1]
                low, high = np.where(left == NO_CUT, right, left), np.where(right == NO_CUT, left, right)
                off = (high < region.start) | (low >= (size if region.end is None else region.end))
                report.drop("in an excluded region", int((~off).sum()))
                ends = ends[off]
        if self.collapse:
            unique = np.unique(np.ascontiguousarray(ends).view(np.int64))
            report.drop("duplicate by its two ends", len(ends) - len(unique))
            ends = unique.view(np.int32).reshape(-1, 2)
        report.kept += len(ends)
        found = []
        for column, shift in zip(ends.T, self.tn5_shift, strict=True):
            cuts = column[column != NO_CUT].astype(np.int64) + shift
            on = (cuts >= 0) & (cuts < size)
            report.ends_off += int((~on).sum())
            found.append(cuts[on])
        return found[0], found[1]

    def begin_report(self, chroms: Mapping[str, int]) -> FragmentReport:
        """Return a report of the reads that are left out before any of `chroms` is counted.

        Raises:
            ValueError: one of `chroms` that is not excluded has another length in the file.
        """
        spool, kind = self.spool, self.cell_type
        report = FragmentReport(read=spool.read, dropped=dict(spool.dropped))
        others = sum(spool.number(name) for name in spool.types if name != kind)
        report.drop("another cell type", others)
        excluded = {region.chrom for region in self.excluded if region.start == 0 and region.end is None}
        used = {c for c in chroms if c not in excluded and not excluded & set(self._in_file.get(c, ()))}
        report.notes += check_sizes(
            spool.chrom_sizes,
            self.names,
            self.chrom_sizes,
            used=used,
            what=self.what,
            remedy="give the FASTA the reads were mapped to",
        )
        for name in spool.numbers:
            chrom, number = self.names.get(name), spool.number(kind, name)
            if chrom not in chroms:
                if name in excluded or chrom in excluded:
                    report.drop("in an excluded region", number)
                elif chrom is None:
                    report.unknown_chroms.append(name)
                    report.drop("chromosome not in the genome", number)
                else:
                    report.drop("chromosome not chosen", number)
        return report


def count_insertions(
    path: str | Path,
    chrom_sizes: Mapping[str, int],
    *,
    tn5_shift: tuple[int, int] = (0, 0),
    kind: Kind = "fragments",
    rules: ReadRules | None = None,
) -> tuple[Iterator[tuple[str, np.ndarray]], FragmentReport]:
    """Count the two ends of every fragment: the bases start + shift[0] and end - 1 + shift[1].

    Reads what `read_spool` reads: BED, 10x fragments, bedpe, tagAlign, BAM; plain or gzip, sorted or not. Reads on
    chromosomes that the genome lacks, or that end past a chromosome's end, are dropped and counted.

    Memory holds one chromosome: positions go through a temporary folder (8 bytes a read).

    Args:
        path: the reads.
        chrom_sizes: bp of each chromosome.
        tn5_shift: bp added to the first and the last base; (4, -4) for unshifted fragments, (4, -5) to match tracks
            made so, (0, 0) for shifted ones, such as 10x.
        kind: the file's format.
        rules: which reads count.

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

    def count() -> Iterator[tuple[str, np.ndarray]]:
        with tempfile.TemporaryDirectory(prefix="chromhub-reads-") as folder:
            spool = spool_reads(path, Path(folder), kind=kind, rules=rules)
            collapse = rules is not None and rules.duplicates == "collapse"
            found = Insertions(spool, chrom_sizes, tn5_shift=tn5_shift, collapse=collapse, what=str(path))
            vars(report).update(vars(found.begin_report(chrom_sizes)))
            for chrom, size in chrom_sizes.items():
                cuts = np.concatenate(found.cuts(chrom, report))
                yield chrom, np.bincount(cuts, minlength=size).astype(np.int32)

    return count(), report


def bin_positions(positions: np.ndarray, *, num_bins: int, bin_size: int, summary: str) -> np.ndarray:
    """Count positions per bp and summarise the counts in bins, without an array over the bp.

    Args:
        positions: (n,) bp, in any order, each as often as it counts.
        num_bins: bins of the chromosome.
        bin_size: bp per bin.
        summary: "max", "mean" or "sum" of the counts of a bin's bp.

    Returns:
        (num_bins,) float32.
    """
    places, numbers = np.unique(positions, return_counts=True)
    bins, firsts = np.unique(places // bin_size, return_index=True)
    found = np.zeros(num_bins, np.float32)
    if len(places):
        total = (np.maximum if summary == "max" else np.add).reduceat(numbers, firsts)
        found[bins] = total / bin_size if summary == "mean" else total
    return found
