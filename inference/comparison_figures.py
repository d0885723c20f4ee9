"""Pictures that set several runs side by side: their learning curves, and a region of the genome with a row for each.

Colours are those of Okabe & Ito (2008, jfly.uni-koeln.de/color), which colour-blind readers tell apart.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SHADES = ("#999999", "#E69F00", "#56B4E9")
_STYLES = ("-", "--", "-.", ":")
_DPI = 130


def learning_curves(
    histories: Mapping[str, Sequence[Mapping[str, Any]]], path: str | Path, *, colours: Mapping[str, str]
) -> None:
    """Draw the validation Pearson of several runs over their steps, the best of each marked.

    Args:
        histories: rows {step, eval_pearson, ...} of each run by its name; a value may be None.
        path: PNG to write.
        colours: of the runs, by name.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for i, (name, history) in enumerate(histories.items()):
        points = [(row["step"], row["eval_pearson"]) for row in history if row.get("eval_pearson") is not None]
        if not points:
            continue
        steps, values = (np.array(column) for column in zip(*points, strict=True))
        colour, style = colours[name], _STYLES[i % len(_STYLES)]
        axis.plot(steps, values, style, color=colour, lw=1.8, label=name)
        axis.plot(steps[values.argmax()], values.max(), "o", color=colour, markersize=8)
    axis.set(xlabel="optimiser step", ylabel="validation Pearson (log1p)")
    axis.set_xlim(left=0)
    axis.grid(axis="y", color="#dddddd", lw=0.7)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=_DPI, format="png")


def browser(
    rows: Mapping[str, np.ndarray],
    path: str | Path,
    *,
    chrom: str,
    start: int,
    bin_size: int,
    unit: str,
    colours: Mapping[str, str],
    shaded: Mapping[str, pd.DataFrame],
) -> None:
    """Draw a region as a genome browser would, a row for each signal, all on one scale.

    Args:
        rows: (bins,) raw units, by the row's label.
        path: PNG to write.
        chrom: name, for the axis.
        start: first bp of the region.
        bin_size: bp per bin.
        unit: of the signal.
        colours: of the rows, by label.
        shaded: columns chrom, start, end of the intervals to shade, by their name in the legend; at most three.
    """
    num_bins = len(next(iter(rows.values())))
    end = start + num_bins * bin_size
    edges = np.arange(start, end + 1, bin_size)
    top = 1.05 * max(float(values.max()) for values in rows.values())
    figure = Figure(figsize=(11, 0.9 + 1.15 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (label, values) in zip(axes, rows.items(), strict=True):
        for colour, intervals in zip(SHADES, shaded.values(), strict=False):
            near = intervals[(intervals["chrom"] == chrom) & (intervals["start"] < end) & (intervals["end"] > start)]
            for first, last in zip(near["start"], near["end"], strict=True):
                axis.axvspan(first - 100, last + 100, color=colour, alpha=0.25, lw=0)
        axis.stairs(values, edges, fill=True, color=colours[label])
        axis.set(xlim=(start, end), ylim=(0, top))
        axis.set_ylabel(label, rotation=0, ha="right", va="center")
        axis.yaxis.set_major_locator(MaxNLocator(2))
        axis.spines[["top", "right"]].set_visible(False)
    legend = [Patch(color=colour, alpha=0.25, label=name) for colour, name in zip(SHADES, shaded, strict=False)]
    figure.legend(handles=legend, loc="outside upper right", ncols=3, frameon=False)
    axes[-1].set_xlabel(f"position on {chrom} (bp); height: {unit}, one scale for all rows")
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda position, _: f"{position:,.0f}"))
    figure.savefig(path, dpi=_DPI, format="png")
