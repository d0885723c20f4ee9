"""A track's file -> its binned signal, one chromosome after the other in the genome's order."""

from collections.abc import Callable, Iterator

import numpy as np

from .bigwig import BigWig, Summary, bin_signal
from .chrom_names import match_chroms, shown
from .fragments import count_insertions
from .store_inputs import InputReport, TrackSource
from .store_tables import Genome

Progress = Callable[[str, int, int], None]


def read_bins(
    track: TrackSource, bin_size: int, summary: Summary, *, genome: Genome, report: InputReport, progress: Progress
) -> Iterator[np.ndarray]:
    """Yield the binned signal of each chromosome, in the genome's order."""
    read = _bigwig_bins if track.kind == "bigwig" else _fragment_bins
    for done, bins in enumerate(read(track, bin_size, summary, genome, report), 1):
        yield bins
        progress(f"track {track.name}", done, len(genome.sizes))


def _bigwig_bins(
    track: TrackSource, bin_size: int, summary: Summary, genome: Genome, report: InputReport
) -> Iterator[np.ndarray]:
    """Yield a bigWig's bins; a chromosome it lacks is all zero, one of another length is another assembly."""
    bigwig = BigWig(track.path)
    found = match_chroms(bigwig.chrom_sizes, genome.all_sizes, what=f"{track.path} with the genome")
    for name, chrom in found.items():
        if bigwig.chrom_sizes[name] != genome.all_sizes[chrom]:
            raise ValueError(
                f"{track.path} says {name} has {bigwig.chrom_sizes[name]} bp, the FASTA's {chrom} has "
                f"{genome.all_sizes[chrom]}: they are of different assemblies, give the FASTA the track was made on"
            )
    names = {chrom: name for name, chrom in found.items() if chrom in genome.sizes}
    report.unit = "chromosomes"
    report.read, report.kept = len(bigwig.chrom_sizes), len(names)
    report.drop("chromosome not in the genome", len(bigwig.chrom_sizes) - len(found))
    report.drop("chromosome not chosen", len(found) - len(names))
    if silent := [chrom for chrom in genome.sizes if chrom not in names]:
        report.notes.append(f"no signal for {shown(silent)}: set to 0")
    for chrom, size in genome.sizes.items():
        if chrom in names:
            yield bigwig.binned(names[chrom], size=size, bin_size=bin_size, summary=summary)
        else:
            yield np.zeros(-(-size // bin_size), np.float32)


def _fragment_bins(
    track: TrackSource, bin_size: int, summary: Summary, genome: Genome, report: InputReport
) -> Iterator[np.ndarray]:
    """Yield the binned insertions of fragments."""
    report.unit = "fragments"
    counts, found = count_insertions(track.path, genome.sizes, tn5_shift=track.tn5_shift)
    for _, per_bp in counts:
        yield bin_signal(per_bp, bin_size=bin_size, summary=summary)
    report.read, report.kept = found.read, found.kept
    for reason, number in found.dropped.items():
        report.drop(reason, number)
    if found.unknown_chroms:
        report.notes.append(f"chromosomes not in the store: {shown(found.unknown_chroms)}")
    if found.ends_off:
        report.notes.append(f"{found.ends_off:,} ends were shifted off their chromosome")
