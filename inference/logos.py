"""Sequence logos: letters as high as their scores. Colours of Okabe & Ito, which colour-blind readers tell apart."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D, Bbox

COLOURS = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00"}
_WIDTH = 0.94  # of a letter, in positions


def draw_letters(axis: Axes, heights: np.ndarray) -> None:
    """Draw a logo: at each position the positive letters pile up from 0, the largest on top, the others hang below.

    Args:
        axis: where; its limits are set.
        heights: (4, L) in the order A, C, G, T; 0 draws nothing.
    """
    for position, column in enumerate(heights.T):
        for sign in (1, -1):
            at = 0.0
            for base in np.argsort(sign * column):
                height = float(column[base])
                if height * sign > 0:
                    axis.add_patch(_letter("ACGT"[base], position, at, height))
                    at += height
    top = float(np.clip(heights, 0, None).sum(0).max(initial=0))
    low = float(np.clip(heights, None, 0).sum(0).min(initial=0))
    margin = 0.05 * (top - low) or 1
    axis.set(xlim=(-0.5, heights.shape[1] - 0.5), ylim=(low - margin if low < 0 else 0, top + margin))
    axis.axhline(0, color="#555555", lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def save_logo(
    path: str | Path,
    rows: Mapping[str, np.ndarray],
    *,
    first: int = 0,
    xlabel: str = "",
    formats: Sequence[str] = ("png",),
) -> None:
    """Draw logos above one another and save them.

    Args:
        path: file to write; its suffix is replaced by each format's.
        rows: (4, L) heights by the row's label, all of one length.
        first: number of the first position on the axis.
        xlabel: of the axis.
        formats: "png", "svg".
    """
    length = next(iter(rows.values())).shape[1]
    figure = Figure(figsize=(min(24, max(3.5, 0.9 + 0.14 * length)), 0.7 + 1.5 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 1, squeeze=False, sharex=True)[:, 0]
    for axis, (label, heights) in zip(axes, rows.items(), strict=True):
        draw_letters(axis, heights)
        axis.set_ylabel(label)
    axes[-1].set_xlabel(xlabel)
    axes[-1].xaxis.set_major_formatter(lambda position, _: f"{position + first:,.0f}")
    for suffix in formats:
        metadata = {"Date": None} if suffix == "svg" else None
        figure.savefig(Path(path).with_suffix(f".{suffix}"), dpi=150, format=suffix, metadata=metadata)


def _letter(base: str, position: int, bottom: float, height: float) -> PathPatch:
    """Return a letter that fills its place; a negative height turns it over."""
    outline, box = _outline(base)
    place = Affine2D().translate(-box.x0, -box.y0).scale(_WIDTH / box.width, height / box.height)
    return PathPatch(place.translate(position - _WIDTH / 2, bottom).transform_path(outline), color=COLOURS[base], lw=0)


@cache
def _outline(base: str) -> tuple[Outline, Bbox]:
    outline = TextPath((0, 0), base, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    return outline, outline.get_extents()
