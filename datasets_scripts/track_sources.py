"""A track's file -> its binned signal, chromosome by chromosome."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from .bed import parse_region
from .bigwig import BigWig, Summary
from .chrom_names import check_sizes, lost_rows, match_chroms, names_in_file, shown
from .fragments import Excluded, Insertions, bin_positions
from .interval_signal import ROW, bin_intervals, check_no_overlap, flattened, read_bedgraph, read_peak_signal
from .read_spool import UNITS, ReadSpool, spool_reads
from .reads import single_ended
from .store_inputs import InputReport, TrackSource
from .store_tables import Genome
from .text_chunks import first_row
from .tn5 import CutComposition, shift_note

Progress = Callable[[str, int, int], None]
Codes = Callable[[str], np.ndarray]


class SignalReader(Protocol):
    """An open track."""

    def binned(self, chrom: str, size: int, *, bin_size: int, summary: Summary) -> np.ndarray:
        """Return a chromosome's bins, (ceil(size / bin_size),) float32, unscaled."""
        ...

    def depth(self, bin_size: int) -> float:
        """Return the sum of the signal over the bp of the whole genome, also of chromosomes that were not chosen."""
        ...

    def finish(self) -> None:
        """Complete the report."""
        ...


def read_bins(
    track: TrackSource,
    bin_size: int,
    summary: Summary,
    *,
    genome: Genome,
    report: InputReport,
    progress: Progress,
    codes: Codes | None = None,
) -> Iterator[np.ndarray]:
    """Yield the binned signal of each chromosome, in the genome's order.

    Args:
        track: what to read.
        bin_size: bp per bin.
        summary: of the bases of a bin.
        genome: what the track must fit.
        report: filled on the way, complete at the end.
        progress: called with what is being done, chromosomes done and in all.
        codes: chromosome -> (size,) uint8 bases, to check the Tn5 shift of reads by; None does not check.
    """
    with open_track(track, genome=genome, report=report, codes=codes) as reader:
        scale = 1.0
        if track.depth is not None:
            depth = reader.depth(bin_size)
            if depth <= 0:
                raise ValueError(f"{track.path} has no signal on the genome, so it cannot be normalised")
            scale = track.depth / depth
            report.facts |= {"depth": depth, "scale": scale}
            report.notes.append(f"normalised ({track.normalisation}): depth {depth:,.0f}, all values x {scale:.6g}")
        for done, (chrom, size) in enumerate(genome.sizes.items(), 1):
            bins = reader.binned(chrom, size, bin_size=bin_size, summary=summary)
            yield bins if scale == 1 else bins * np.float32(scale)
            progress(f"track {track.name}", done, len(genome.sizes))
        reader.finish()


@contextmanager
def read_once(tracks: Iterable[TrackSource]) -> Iterator[list[TrackSource]]:
    """Read every file that several tracks share, such as the cell types of one fragments file, in one pass.

    Yields:
        The tracks; those that share a file know the folder its reads are in, which is gone when the context ends.
    """
    tracks = list(tracks)
    groups: dict[tuple, list[TrackSource]] = {}
    for track in tracks:
        if track.is_reads:
            groups.setdefault((track.path, track.kind, track.rules, track.barcodes), []).append(track)
    shared = [group for group in groups.values() if len(group) > 1]
    if not shared:
        yield tracks
        return
    with tempfile.TemporaryDirectory(prefix="chromhub-reads-") as folder:
        spools: dict[TrackSource, Path] = {}
        for number, group in enumerate(shared):
            place, first = Path(folder) / str(number), group[0]
            place.mkdir()
            spool_reads(first.path, place, kind=first.kind, rules=first.rules, barcodes=first.barcodes)
            spools |= dict.fromkeys(group, place)
        yield [replace(track, spool=spools.get(track)) for track in tracks]


@contextmanager
def open_track(
    track: TrackSource, *, genome: Genome, report: InputReport, codes: Codes | None = None
) -> Iterator[SignalReader]:
    """Yield a track's reader; temporary files are gone when the context ends."""
    if track.kind == "bigwig":
        yield _BigWigReader(track, genome, report)
        return
    with tempfile.TemporaryDirectory(prefix="chromhub-track-") as folder:
        if track.is_reads:
            if track.spool is not None:
                spool = ReadSpool.open(track.spool)
            else:
                spool = spool_reads(
                    track.path, Path(folder), kind=track.kind, rules=track.rules, barcodes=track.barcodes
                )
            yield _InsertionReader(track, genome, report, spool, codes)
        else:
            yield _IntervalReader(track, genome, report, Path(folder))


class _InsertionReader:
    """Reads and fragments."""

    def __init__(
        self, track: TrackSource, genome: Genome, report: InputReport, spool: ReadSpool, codes: Codes | None
    ) -> None:
        self.track, self.genome, self.report, self.codes = track, genome, report, codes
        self.insertions = Insertions(
            spool,
            genome.all_sizes,
            cell_type=track.cell_type,
            tn5_shift=track.tn5_shift,
            collapse=track.rules.duplicates == "collapse",
            excluded=_excluded(track, spool.numbers, genome, report),
            what=str(track.path),
        )
        self.found = self.insertions.begin_report(genome.sizes)
        self.composition = CutComposition()
        report.unit = UNITS[track.kind]
        if track.kind == "fragments" and single_ended(first_row(track.path)):
            report.notes.append("six columns with a name and a strand: single reads, of which the 5' end is counted")

    def binned(self, chrom: str, size: int, *, bin_size: int, summary: Summary) -> np.ndarray:
        forward, reverse = self.insertions.cuts(chrom, self.found)
        if self.codes is not None:
            self.composition.add(self.codes(chrom), forward, reverse)
        cuts = np.concatenate([forward, reverse])
        return bin_positions(cuts, num_bins=-(-size // bin_size), bin_size=bin_size, summary=summary)

    def depth(self, bin_size: int) -> float:
        return float(sum(len(cuts) for chrom in self.genome.all_sizes for cuts in self.insertions.cuts(chrom)))

    def finish(self) -> None:
        found, report = self.found, self.report
        report.read, report.kept = found.read, found.kept
        for reason, number in found.dropped.items():
            report.drop(reason, number)
        if found.unknown_chroms:
            report.notes.append(f"chromosomes not in the genome: {shown(found.unknown_chroms)}")
        report.notes += found.notes
        report.check_loss(found.unknown_chroms)
        no_type = found.dropped.get("barcode not in the table", 0)
        if self.track.barcodes and (
            text := lost_rows(
                f"{self.track.barcodes} with {self.track.path}",
                kept=found.read - no_type,
                read=found.read,
                unit=report.unit,
                lost=["the barcodes of the others are not in the table"],
            )
        ):
            report.warnings.append(text)
        if found.ends_off:
            report.notes.append(f"{found.ends_off:,} ends were shifted off their chromosome")
        if note := shift_note(self.composition, self.track.tn5_shift):
            report.notes.append(note)


class _BigWigReader:
    """A bigWig; a chromosome it lacks is all zero, one that is read and of another length is another assembly."""

    def __init__(self, track: TrackSource, genome: Genome, report: InputReport) -> None:
        self.bigwig = BigWig(track.path)
        self.genome = genome
        sizes = self.bigwig.chrom_sizes
        found = match_chroms(sizes, genome.all_sizes, what=f"{track.path} with the genome")
        self.names = names_in_file(found, what=str(track.path))
        self.excluded = _excluded(track, sizes, genome, report)
        report.unit = "chromosomes"
        _count_chroms(report, sizes, found, genome)
        used = {chrom for chrom in genome.sizes if not _is_excluded(self.excluded, (chrom, self.names.get(chrom, "")))}
        report.notes += check_sizes(
            sizes,
            found,
            genome.all_sizes,
            used=used,
            what=str(track.path),
            remedy="give the FASTA the track was made on",
        )

    def binned(self, chrom: str, size: int, *, bin_size: int, summary: Summary) -> np.ndarray:
        name = self.names.get(chrom)
        if name is None or _is_excluded(self.excluded, (chrom, name)):
            return np.zeros(-(-size // bin_size), np.float32)
        bins = self.bigwig.binned(name, size=size, bin_size=bin_size, summary=summary)
        return _cleared(bins, self.excluded, (chrom, name), bin_size)

    def depth(self, bin_size: int) -> float:
        return _sum_over_genome(self, self.genome, bin_size)

    def finish(self) -> None:
        """Nothing is left to report."""


_PEAK_NOTES = {
    "one": "1 inside",
    "signal": "column 7, the signalValue, inside",
    "name": "the number that ends their name, inside",
}


class _IntervalReader:
    """A bedGraph, or peaks as signal."""

    def __init__(self, track: TrackSource, genome: Genome, report: InputReport, folder: Path) -> None:
        self.track, self.genome, self.report = track, genome, report
        self.files: dict[str, Path] = {}
        numbers: dict[str, int] = {}
        parts = read_bedgraph(track.path)
        if track.kind == "peaks":
            parts = iter(read_peak_signal(track.path, value=track.peak_value).items())
            report.notes.append(f"peaks as signal: {_PEAK_NOTES[track.peak_value]}, 0 outside")
        for name, rows in parts:
            numbers[name] = numbers.get(name, 0) + len(rows)
            with self.files.setdefault(name, folder / str(len(self.files))).open("ab") as file:
                file.write(rows.tobytes())
        if not numbers:
            raise ValueError(f"{track.path} holds no interval: it must have lines chrom, start, end, value")
        found = match_chroms(numbers, genome.all_sizes, what=f"{track.path} with the genome")
        self.names: dict[str, list[str]] = {}
        for name, chrom in found.items():
            self.names.setdefault(chrom, []).append(name)
        self.unknown = [name for name in numbers if name not in found]
        if self.unknown:
            report.notes.append(f"chromosomes not in the genome: {shown(self.unknown)}")
        self.excluded = _excluded(track, numbers, genome, report)
        report.unit = "intervals"
        report.read = sum(numbers.values())
        report.drop("chromosome not in the genome", sum(numbers[name] for name in self.unknown))
        not_chosen = [name for name, chrom in found.items() if chrom not in genome.sizes]
        report.drop("chromosome not chosen", sum(numbers[name] for name in not_chosen))
        if silent := [chrom for chrom in genome.sizes if chrom not in self.names]:
            report.notes.append(f"no signal for {shown(silent)}: set to 0")

    def binned(self, chrom: str, size: int, *, bin_size: int, summary: Summary) -> np.ndarray:
        num_bins, names = -(-size // bin_size), self.names.get(chrom, [])
        if not names or _is_excluded(self.excluded, (chrom, *names)):
            return np.zeros(num_bins, np.float32)
        rows, name = np.concatenate([np.fromfile(self.files[name], ROW) for name in names]), names[0]
        if self.track.kind == "peaks":
            rows = flattened(rows)
        else:
            rows = rows[np.argsort(rows["start"], kind="stable")]
            check_no_overlap(rows, self.track.path, name)
        rows = _cut_before(rows, self.excluded, (chrom, *names), size)
        if len(rows) and rows["end"].max() > size:
            raise ValueError(
                f"{self.track.path} has an interval that ends at {name}:{rows['end'].max()}, the FASTA's {chrom} has "
                f"{size} bp: they are of different assemblies, give the FASTA the track was made on, or for a FASTA of "
                f"a part of {chrom} leave out the rest by --exclude {chrom}:{size}-{rows['end'].max()}"
            )
        bins = bin_intervals(rows, num_bins=num_bins, bin_size=bin_size, summary=summary)
        return _cleared(bins, self.excluded, (chrom, *names), bin_size)

    def depth(self, bin_size: int) -> float:
        return _sum_over_genome(self, self.genome, bin_size)

    def finish(self) -> None:
        self.report.kept = self.report.read - sum(self.report.dropped.values())
        self.report.check_loss(self.unknown)


def _sum_over_genome(reader: SignalReader, genome: Genome, bin_size: int) -> float:
    """Return the sum of a signal over all bp of the genome."""
    sums = (reader.binned(c, size, bin_size=bin_size, summary="sum") for c, size in genome.all_sizes.items())
    return float(sum(bins.sum(dtype=np.float64) for bins in sums))


def _count_chroms(report: InputReport, sizes: Mapping[str, int], found: dict[str, str], genome: Genome) -> None:
    """Report which chromosomes of a bigWig are in the store; how much of it is lost is told by their bp."""
    num_read = len(sizes)
    kept = [chrom for chrom in found.values() if chrom in genome.sizes]
    report.read, report.kept = num_read, len(kept)
    report.drop("chromosome not in the genome", num_read - len(found))
    report.drop("chromosome not chosen", len(found) - len(kept))
    if silent := [chrom for chrom in genome.sizes if chrom not in kept]:
        report.notes.append(f"no signal for {shown(silent)}: set to 0")
    unknown = [name for name in sizes if name not in found]
    text = lost_rows(
        f"{report.input} {report.file}",
        kept=sum(sizes[name] for name in found),
        read=sum(sizes.values()),
        unit="bp of chromosomes",
        lost=[f"the genome lacks {shown(unknown)}"],
    )
    report.warnings += [text] if text else []


def _excluded(track: TrackSource, in_file: Iterable[str], genome: Genome, report: InputReport) -> tuple[Excluded, ...]:
    """Return where nothing counts, under the file's or the genome's names; what neither has is noted."""
    sides, found = (list(genome.all_sizes), list(in_file)), []
    for text in track.exclude:
        chrom, start, end = parse_region(text)
        there = [name for names in sides if (name := _partner(chrom, names)) is not None]
        if there:
            found.append(Excluded(there[0], start or 0, end))
        else:
            report.notes.append(f"nothing to exclude: neither the genome nor the file has {chrom}")
    return tuple(found)


def _partner(chrom: str, names: list[str]) -> str | None:
    """Return what a chromosome is called among names; None where it is not there."""
    try:
        return match_chroms([chrom], names, what=chrom)[chrom]
    except ValueError:
        return None


def _is_excluded(excluded: Iterable[Excluded], names: tuple[str, ...]) -> bool:
    """Tell whether a chromosome, by any of its names, is excluded from end to end."""
    return any(region.chrom in names and region.start == 0 and region.end is None for region in excluded)


def _cut_before(rows: np.ndarray, excluded: Iterable[Excluded], names: tuple[str, ...], size: int) -> np.ndarray:
    """Return intervals without what lies in an excluded region that reaches past the chromosome's end."""
    for region in excluded:
        if region.chrom in names and region.end is not None and region.end > size:
            rows = rows[rows["start"] < region.start].copy()
            rows["end"] = np.where(rows["end"] <= region.end, np.minimum(rows["end"], region.start), rows["end"])
    return rows


def _cleared(bins: np.ndarray, excluded: Iterable[Excluded], names: tuple[str, ...], bin_size: int) -> np.ndarray:
    """Return bins with 0 in those that an excluded region touches."""
    for region in excluded:
        if region.chrom in names:
            bins[region.start // bin_size : None if region.end is None else -(-region.end // bin_size)] = 0
    return bins
