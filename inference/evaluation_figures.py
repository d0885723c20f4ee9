"""Pictures of an evaluation: each chromosome as a point, calibration, and the shape of peaks.

Of many tracks the first `figures.MAX_DRAWN` are drawn, and the heading says so.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .figures import BLUE, GREY, ORANGE, some

_DPI = 130
_SETS = {"genome_wide": ("genome-wide", BLUE, "o"), "peaks": ("peaks", ORANGE, "D")}


def chromosome_points(metrics: Mapping[str, Any], path: str | Path) -> None:
    """Draw Pearson's r (log1p) of each chromosome at the finest bins, and pooled as a line; a row a track.

    Args:
        metrics: from `evaluate`.
        path: PNG to write.
    """
    results, heading = _first(metrics["results"])
    chroms = list(dict.fromkeys(c for sets in results.values() for one in sets.values() for c in one["chroms"]))
    size = max(4.5, 2.2 + 0.45 * len(chroms)), 0.9 + 2.1 * len(results)
    figure, axes = _figure(*size, rows=len(results), heading=heading)
    for axis, (track, sets) in zip(axes, results.items(), strict=True):
        for name, (label, colour, marker) in _SETS.items():
            if name not in sets:
                continue
            size = min(sets[name]["pooled"], key=int)
            points = {c: found[size]["log1p"]["pearson"] for c, found in sets[name]["chroms"].items()}
            known = {c: value for c, value in points.items() if value is not None}
            places = [chroms.index(c) for c in known]
            axis.plot(places, list(known.values()), marker, color=colour, label=f"{label}, {size} bp")
            pooled = sets[name]["pooled"][size]["log1p"]["pearson"]
            if pooled is not None:
                axis.axhline(pooled, color=colour, lw=1, ls="--")
        axis.set(title=track, ylabel="Pearson's r (log1p)", xticks=range(len(chroms)), xlim=(-0.5, len(chroms) - 0.5))
        axis.set_xticklabels(chroms, rotation=45 if len(chroms) > 6 else 0, ha="right" if len(chroms) > 6 else "center")
        axis.legend(frameon=False, fontsize="small", loc="best")
    _save(figure, path)


def calibration(metrics: Mapping[str, Any], path: str | Path) -> None:
    """Draw the mean true signal of bins of alike predictions, and the quantiles of both sides; a row a track.

    Args:
        metrics: from `evaluate`.
        path: PNG to write.
    """
    tracks, heading = _first(metrics["calibration"])
    figure, axes = _figure(8.4, 0.6 + 3.4 * len(tracks), rows=len(tracks), columns=2, heading=heading)
    for (left, right), (track, found) in zip(axes.reshape(-1, 2), tracks.items(), strict=True):
        sides = [np.log1p([row[side] for row in found["bins"]]) for side in ("predicted", "true")]
        left.plot(*sides, "o-", color=BLUE, lw=1.2, ms=5)
        left.set(title=f"{track}: bins of alike predictions", xlabel="mean predicted, log1p", ylabel="mean true, log1p")
        sides = [np.log1p([row[side] for row in found["quantiles"]]) for side in ("predicted", "true")]
        right.plot(*sides, "D-", color=ORANGE, lw=1.2, ms=5)
        for x, y, row in list(zip(*sides, found["quantiles"], strict=True))[-2:]:  # the others lie close together
            right.annotate(
                f"{row['quantile']:g}", (x, y), textcoords="offset points", xytext=(6, -8), fontsize="x-small"
            )
        right.set(title="quantiles of all bins", xlabel="predicted, log1p", ylabel="true, log1p")
        for axis in (left, right):
            top = max(axis.get_xlim()[1], axis.get_ylim()[1])
            axis.plot([0, top], [0, top], color=GREY, lw=0.9, ls="--")
            axis.set(xlim=(0, top), ylim=(0, top))
    _save(figure, path)


def summit_profiles(
    metrics: Mapping[str, Any], path: str | Path, *, predicted: np.ndarray, true: np.ndarray, bin_size: int
) -> None:
    """Draw the mean min-max profile around summits, and heat maps of single peaks; a row a track.

    Args:
        metrics: from `evaluate`, with `shape`.
        path: PNG to write.
        predicted: (P, T, bins) raw units, of some peaks.
        true: the same.
        bin_size: bp per bin.
    """
    shapes, heading = _first(metrics["shape"])
    figure, axes = _figure(10, 0.6 + 3.3 * len(shapes), rows=len(shapes), columns=3, heading=heading)
    half = true.shape[-1] * bin_size / 2
    places = (np.arange(true.shape[-1]) + 0.5) * bin_size - half
    for i, (row, (track, found)) in enumerate(zip(axes.reshape(-1, 3), shapes.items(), strict=True)):
        pooled = found["pooled"]
        for side, colour in (("true", BLUE), ("predicted", ORANGE)):
            if pooled[side] is not None:
                row[0].plot(places, pooled[side], color=colour, label=side, lw=1.5)
        cosine = "-" if pooled["cosine"] is None else f"{pooled['cosine']:.2f}"
        row[0].set(title=f"{track}: cosine {cosine}, {pooled['peaks']:,} peaks", ylabel="mean profile, least to most")
        row[0].legend(frameon=False, fontsize="small")
        order = np.argsort(-np.nan_to_num(true[:, i]).sum(-1), kind="stable")
        for axis, name, values in ((row[1], "true", true[order, i]), (row[2], "predicted", predicted[order, i])):
            shown = np.log1p(np.maximum(values, 0))
            known = shown[~np.isnan(shown)]
            top = float(np.quantile(known, 0.99) if len(known) else 0) or 1.0
            image = axis.imshow(
                shown, aspect="auto", cmap="cividis", vmin=0, vmax=top, extent=(-half, half, len(shown), 0)
            )
            axis.set(title=f"{name}, {len(shown):,} peaks", yticks=[])
            figure.colorbar(image, ax=axis, label="log1p signal", shrink=0.8)
        for axis in row:
            axis.set_xlabel("bp from the summit")
    _save(figure, path)


def _first(tracks: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the tracks to draw, and a heading where there are more."""
    names, heading = some(tracks)
    return {name: tracks[name] for name in names}, heading


def _figure(
    width: float, height: float, *, rows: int, columns: int = 1, heading: str = ""
) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(width, height), layout="constrained")
    if heading:
        figure.suptitle(heading)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes.ravel()


def _save(figure: Figure, path: str | Path) -> None:
    figure.savefig(path, dpi=_DPI, format="png")
