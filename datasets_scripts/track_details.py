"""What a store notes of a track beside its signal: the sample, and where it was not measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from .bigwig import BigWig
from .bigwig_blocks import OverlappingIntervals, missing_runs
from .chrom_names import match_chroms, names_in_file
from .store_inputs import InputReport, TrackSource
from .store_tables import Genome, mask_table


@dataclass(frozen=True)
class TrackDetails:
    """What is noted of one track.

    Attributes:
        metadata: sample, cell_type, assembly, licence, ...: shown, and used to choose tracks.
        mask: BED of regions where the track was not measured.
        mask_gaps: runs of at least so many bp without a value in the bigWig count as not measured; 0: as signal 0.
        tolerance: largest relative error of storing the track as float16; 0: only where it is exact.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    mask: Path | None = None
    mask_gaps: int = 0
    tolerance: float = 0.0


def check_details(track: TrackSource, details: TrackDetails) -> None:
    """Check what can be checked before anything is read.

    Raises:
        FileNotFoundError: the mask is missing.
        ValueError: a value out of its range.
    """
    if details.mask is not None and not details.mask.is_file():
        raise FileNotFoundError(f"{details.mask}, the mask of track {track.name}, does not exist or is not a file")
    if details.mask_gaps < 0 or (details.mask_gaps and track.kind != "bigwig"):
        raise ValueError(
            f"mask_gaps of track {track.name} must be a number of bp, for a bigWig only, got {details.mask_gaps} for "
            f"{track.path}: what a file of reads leaves out is 0"
        )
    if not 0 <= details.tolerance < 0.1:
        raise ValueError(f"tolerance of track {track.name} must lie in [0, 0.1), got {details.tolerance}")


def track_mask(track: TrackSource, details: TrackDetails, genome: Genome, report: InputReport) -> pd.DataFrame:
    """Return where a track was not measured, columns chrom, start, end in the genome's order; maybe nowhere."""
    tables = []
    if details.mask is not None:
        reports: list[InputReport] = []
        tables.append(mask_table(f"mask of {track.name}", details.mask, genome, reports))
        report.notes.append(f"mask {details.mask.name}: {reports[0].kept:,} of {reports[0].read:,} intervals")
    if details.mask_gaps:
        pairs = match_chroms(BigWig(track.path).chrom_sizes, genome.all_sizes, what=f"{track.path} with the genome")
        names = names_in_file(pairs, what=str(track.path))
        for chrom, size in genome.sizes.items():
            runs = np.array([[0, size]])
            if chrom in names:
                runs = _missing(track.path, names[chrom], size, details.mask_gaps)
            tables.append(pd.DataFrame({"chrom": chrom, "start": runs[:, 0], "end": runs[:, 1]}))
    if not tables:
        return pd.DataFrame({"chrom": [], "start": [], "end": []})
    table = pd.concat(tables, ignore_index=True)
    order = {chrom: i for i, chrom in enumerate(genome.sizes)}
    rank = [order[chrom] for chrom in table["chrom"]]
    table = table.assign(rank=rank).sort_values(["rank", "start", "end"]).drop(columns="rank").reset_index(drop=True)
    report.notes.append(f"not measured: {len(table):,} intervals, {(table['end'] - table['start']).sum():,} bp")
    return table


def _missing(path: Path, chrom: str, size: int, min_length: int) -> np.ndarray:
    try:
        return missing_runs(path, chrom, size=size, min_length=min_length)
    except OverlappingIntervals as error:
        raise ValueError(f"{error}: mask_gaps needs a sorted bigWig, give a mask BED or make the file anew") from error
