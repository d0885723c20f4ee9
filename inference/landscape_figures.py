"""Pictures of landscapes: tracks and predictions before and after a perturbation, and curves over distance."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..datasets_scripts.landscape import LandscapeData
from .figures import BLUE, GREEN, GREY, ORANGE

_DPI = 150
_COLOURS = (BLUE, ORANGE, GREEN, GREY, "#CC79A7", "#E69F00")


def before_and_after(
    data: LandscapeData,
    row: int,
    before: np.ndarray,
    after: np.ndarray,
    profiles: np.ndarray,
    path: str | Path,
    *,
    title: str,
) -> None:
    """Draw a landscape and its predictions, before in grey and after in colour.

    Args:
        data: where the landscape is from.
        row: of it, for its place on the genome.
        before: (R, P) raw signal.
        after: likewise.
        profiles: (2, T, N) predictions of both.
        path: PNG to write.
        title: of the picture.
    """
    grid, centre = data.grid, int(data.genes["tss"].iloc[row])
    inputs = (centre + grid.input_bin_size * (np.arange(grid.num_input_bins) - grid.num_input_bins / 2 + 0.5)) / 1e3
    outputs = (centre + grid.target_start + grid.bin_size * (np.arange(grid.num_bins) + 0.5)) / 1e3
    panels = [
        (inputs, pair, name) for pair, name in zip(zip(before, after, strict=True), data.input_tracks, strict=True)
    ]
    panels += [(outputs, (profiles[0, t], profiles[1, t]), name) for t, name in enumerate(data.track_names)]
    figure = Figure(figsize=(9, 1.2 + 1.1 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    for i, (axis, (x, (old, new), name)) in enumerate(zip(axes, panels, strict=True)):
        colour = ORANGE if i >= len(before) else BLUE
        axis.fill_between(x, old, color="#cccccc", linewidth=0, label="before")
        axis.plot(x, new, color=colour, linewidth=0.9, label="after")
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0)
    axes[0].legend(frameon=False, ncols=2, fontsize=8, loc="upper right")
    axes[-1].set_xlabel(f"{data.genes['chrom'].iloc[row]}, kb")
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=_DPI)


def curves(lines: Mapping[str, tuple[np.ndarray, np.ndarray]], path: str | Path, *, title: str, x: str, y: str) -> None:
    """Draw lines {name: (x, y)} in one panel.

    Args:
        lines: a line each.
        path: PNG to write.
        title: of the picture.
        x: label.
        y: label.
    """
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for i, (name, (places, values)) in enumerate(lines.items()):
        axis.plot(places, values, color=_COLOURS[i % len(_COLOURS)], label=name)
    axis.set(title=title, xlabel=x, ylabel=y)
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=_DPI)
