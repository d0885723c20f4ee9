"""Peaks, masks and the split of a store, brought onto its genome."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .bed import clip_to_end, drop_past_end, parse_region, place_intervals, read_intervals, read_peaks
from .chrom_names import chrom_key, match_chroms, shown
from .folds import ASAP_FOLDS, PARTS, Split, asap_split
from .store_inputs import InputReport, StoreInputs


@dataclass(frozen=True)
class Genome:
    """What the FASTA holds.

    Attributes:
        sizes: bp of the chromosomes in the store.
        all_sizes: bp of all chromosomes.
        digests: of the codes of the chromosomes in the store.
        gaps: runs of N, columns chrom, start, end.
    """

    sizes: dict[str, int]
    all_sizes: dict[str, int]
    digests: dict[str, str]
    gaps: pd.DataFrame


def peak_table(inputs: StoreInputs, genome: Genome, reports: list[InputReport]) -> pd.DataFrame:
    """Return the peaks on the genome: of the file given, or else of all tracks that are peaks; maybe none."""
    of_tracks = [track.path for track in inputs.tracks if track.kind == "peaks"]
    paths = of_tracks if inputs.peaks is None else [inputs.peaks]
    if not paths:
        return pd.DataFrame({"chrom": [], "start": [], "end": [], "summit": []})
    report = InputReport.of_all("peaks", tuple(paths), "peaks")
    reports.append(report)
    tables = [read_peaks(path) for path in paths]
    report.read = sum(map(len, tables))
    placed = [_placed(table, genome, report, path) for table, path in zip(tables, paths, strict=True)]
    peaks = _in_order(pd.concat(placed, ignore_index=True), genome) if len(placed) > 1 else placed[0]
    peaks, num_off = drop_past_end(peaks, genome.sizes)
    report.drop("past the chromosome's end", num_off)
    report.kept = len(peaks)
    report.check_loss(_unknown(pd.concat(tables), genome))
    if num_off:
        report.notes.append("peaks past a chromosome's end hint at another assembly")
    if peaks.empty:
        raise ValueError(
            f"{', '.join(map(str, paths))}: none of {report.read} peaks lies on the genome ({report.dropped})"
        )
    return peaks


def blacklist_table(inputs: StoreInputs, genome: Genome, reports: list[InputReport]) -> pd.DataFrame:
    """Return the blacklist's intervals and the mask regions."""
    tables = [mask_table("blacklist", inputs.blacklist, genome, reports)]
    if inputs.mask_regions:
        report = InputReport("mask regions", read=len(inputs.mask_regions))
        reports.append(report)
        rows = [_mask_region(text, genome) for text in inputs.mask_regions]
        tables.append(pd.DataFrame([row for row in rows if row[0] in genome.sizes], columns=["chrom", "start", "end"]))
        report.kept = len(tables[-1])
        report.drop("chromosome not chosen", report.read - report.kept)
    table = pd.concat(tables, ignore_index=True)
    return _in_order(table, genome)


def _in_order(table: pd.DataFrame, genome: Genome) -> pd.DataFrame:
    """Return intervals in the order of the genome."""
    rank = {chrom: i for i, chrom in enumerate(genome.sizes)}
    keys = [table[column].to_numpy() for column in reversed(table.columns[1:])]
    order = np.lexsort([*keys, np.array([rank[chrom] for chrom in table["chrom"]], np.int64)])
    return table.take(order).reset_index(drop=True)


def _mask_region(text: str, genome: Genome) -> tuple[str, int, int]:
    """Return chrom, start and end of one --mask-region, which must lie on the genome."""
    name, start, end = parse_region(text)
    chrom = match_chroms([name], genome.all_sizes, what=f"--mask-region {text} with the genome")[name]
    size = genome.all_sizes[chrom]
    if end is not None and end > size:
        raise ValueError(f"--mask-region {text} must end within {chrom}, which has {size} bp")
    return chrom, start or 0, size if end is None else end


def unmappable_table(inputs: StoreInputs, genome: Genome, reports: list[InputReport]) -> pd.DataFrame:
    """Return the unmappable intervals."""
    return mask_table("unmappable", inputs.unmappable, genome, reports)


def mask_table(name: str, path: Path | None, genome: Genome, reports: list[InputReport]) -> pd.DataFrame:
    """Return a mask's intervals, cut at the chromosomes' ends; none without a file."""
    if path is None:
        return pd.DataFrame({"chrom": [], "start": [], "end": []})
    report = InputReport.of(name, path)
    reports.append(report)
    table = read_intervals(path)
    report.read = len(table)
    placed, num_cut = clip_to_end(_placed(table, genome, report, path), genome.sizes)
    unknown, table = _unknown(table, genome), placed
    report.kept = len(table)
    report.drop("past the chromosome's end", report.read - sum(report.dropped.values()) - len(table))
    report.check_loss(unknown)
    if num_cut:
        report.notes.append(f"{num_cut:,} intervals ran past their chromosome's end: cut there")
    return table


def _unknown(table: pd.DataFrame, genome: Genome) -> list[str]:
    """Return the chromosomes of a table that the genome lacks."""
    chroms = list(dict.fromkeys(table["chrom"]))
    known = match_chroms(chroms, genome.all_sizes, what="a table with the genome") if chroms else {}
    return [chrom for chrom in chroms if chrom not in known]


def _placed(table: pd.DataFrame, genome: Genome, report: InputReport, path: Path) -> pd.DataFrame:
    """Give a table the genome's names, and note what is not on it."""
    table, dropped = place_intervals(table, genome.sizes, genome_chroms=list(genome.all_sizes), what=str(path))
    for reason, number in dropped.items():
        report.drop(reason, number)
    return table


def read_split(split: Path | str | Split | None) -> Split | None:
    """Return the split that the option names; None stays None."""
    if split is None or isinstance(split, Split):
        return split
    names = {f"asap-{fold}": fold for fold in range(len(ASAP_FOLDS))}
    if str(split) in names:
        return asap_split(names[str(split)])
    if not Path(split).is_file() and str(split).startswith("asap"):
        raise ValueError(f"--split must be a JSON file or one of {', '.join(names)}, got {split}")
    return Split.from_json(split)


def place_split(split: Split | None, genome: Genome, reports: list[InputReport]) -> Split:
    """Return the split under the genome's names; without one, the paper's first fold of a human genome."""
    report = InputReport("split", unit="entries")
    reports.append(report)
    if split is None:
        split = asap_split(0)
        there = {chrom_key(chrom) for chrom in genome.all_sizes}
        if missing := [c for c in sum(ASAP_FOLDS, ()) if chrom_key(c) not in there]:
            raise ValueError(
                f"--split is needed for a genome without {shown(missing, 3)}: give a JSON file "
                '{"train": ["chrI"], "valid": ["chrII"], "test": ["chrIII:1-5000"]}, or one of asap-0 to asap-4'
            )
        report.notes.append("no --split given: took asap-0, the paper's first fold")
    whole = split.placed_on(genome.all_sizes)
    placed = whole.restricted_to(genome.sizes)
    report.read, report.kept = (sum(len(getattr(s, part)) for part in PARTS) for s in (whole, placed))
    report.drop("chromosome not chosen", report.read - report.kept)
    for part in PARTS:
        intervals = placed.intervals(part, genome.sizes)
        report.notes.append(
            f"{part}: {(intervals['end'] - intervals['start']).sum():,} bp in {len(intervals)} intervals"
        )
    return placed
