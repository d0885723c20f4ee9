"""Pictures of what a store holds."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .atomic import finished_file
from .store import GenomeStore

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#999999"  # Okabe and Ito's colours, apart for colour-blind eyes
_COLUMNS = 1500  # the most steps that a picture of this width can show
_SUFFIXES = (".png", ".svg", ".pdf")


def plot_window(
    store: GenomeStore, chrom: str, start: int, end: int, path: str | Path, *, overwrite: bool = False
) -> None:
    """Draw the signal of a region, one row a track, with peaks above and masked stretches shaded.

    A region with more bins than the picture has columns shows the largest bin of each column.

    Args:
        store: the genome.
        chrom: chromosome.
        start: first bp.
        end: bp after the last.
        path: the picture, .png, .svg or .pdf.
        overwrite: replace an existing picture.

    Raises:
        FileExistsError: the picture exists and `overwrite` is not given.
        ValueError: a region off the chromosome, or another kind of picture.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"a figure must be one of {', '.join(_SUFFIXES)}, got {path}")
    bins = store.bins_of(chrom, start, end)
    figure = Figure(figsize=(10, 1.2 + 1.3 * len(store.track_names)), layout="constrained")
    rows = figure.subplots(len(store.track_names), sharex=True, squeeze=False)[:, 0]
    for track, (axes, name) in enumerate(zip(rows, store.track_names, strict=True)):
        edges, heights = _columns(store.signal(chrom, track)[bins], bins.start * store.bin_size, store.bin_size)
        axes.stairs(heights, edges / 1000, fill=True, color=_BLUE, linewidth=0)
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(0, max(float(heights.max()), 1e-6) * 1.15)
        axes.set_xlim(start / 1000, end / 1000)
        for masked_start, masked_end in _in_region(store.blacklist, chrom, start, end):
            axes.axvspan(masked_start / 1000, masked_end / 1000, color=_GREY, alpha=0.3, linewidth=0)
    for peak_start, peak_end in _in_region(store.peaks, chrom, start, end):
        rows[0].axvspan(peak_start / 1000, peak_end / 1000, ymin=0.94, color=_ORANGE, linewidth=0)
    unit = f"{store.summary} per {store.bin_size} bp"
    keys = ["peaks in orange"] * (not store.peaks.empty) + ["blacklist in grey"] * (not store.blacklist.empty)
    rows[0].set_title(f"{chrom}:{start:,}-{end:,}   {', '.join([unit, *keys])}", fontsize="medium", loc="left")
    rows[-1].set_xlabel(f"{chrom} (kb)")
    with finished_file(path, overwrite) as partial:
        figure.savefig(partial, format=path.suffix[1:].lower(), dpi=150)


def _columns(values: np.ndarray, start: int, bin_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return edges in bp and the largest value between them, for at most `_COLUMNS` columns."""
    per_column = -(-len(values) // _COLUMNS)
    first = np.arange(0, len(values), per_column)
    return start + np.append(first, len(values)) * bin_size, np.maximum.reduceat(values, first)


def _in_region(table: pd.DataFrame, chrom: str, start: int, end: int) -> np.ndarray:
    """Return (n, 2) start and end of the intervals that overlap a region."""
    here = (table["chrom"] == chrom) & (table["start"] < end) & (table["end"] > start)
    return table.loc[here, ["start", "end"]].to_numpy()
