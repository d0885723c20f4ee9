"""Pictures of a run: its training curve, predicted against true, and a region of the genome.

Colours are those of Okabe & Ito (2008, jfly.uni-koeln.de/color), which colour-blind readers tell apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
MAX_DRAWN = 16  # tracks of a picture, one below the other: the time of their layout grows with their square
_MAX_ROWS = 200  # tracks of a picture that gives each a line
_DPI = 150


_METRIC_LABELS = {
    "pearson": ("Pearson", "Pearson's r (log1p signal)"),
    "auroc": ("AUROC", "mean AUROC of the tracks"),
    "auprc": ("AUPRC", "mean AUPRC of the tracks"),
}


def some(names: Iterable[str], most: int = MAX_DRAWN) -> tuple[list[str], str]:
    """Return the first `most` names, which a picture draws, and what its heading says of the others; "" of none."""
    names = list(names)
    return names[:most], f"the first {most} of {len(names):,} tracks" if len(names) > most else ""


def loss_name(config: Any, metric: str) -> str:
    """Return the name of the loss that a model of this configuration is trained by; `metric` as in `training_curve`."""
    if config.model_type == "chromhub-claster":
        return "smooth L1 loss of standardised signal"
    if metric != "pearson":
        return "cross-entropy"
    return {
        "poisson_raw": "Poisson negative log likelihood, raw",
        "profile_count": "loss of profile and count",
    }.get(config.loss, "Poisson negative log likelihood")


def training_curve(
    history: Sequence[Mapping[str, Any]], path: str | Path, *, metric: str = "pearson", loss_name: str = "loss"
) -> None:
    """Draw the loss and the validation metric over the steps of a run.

    Args:
        history: rows {step, epoch, loss, eval_loss, eval_pearson, learning_rate}; a value may be None or missing.
        path: PNG to write.
        metric: "pearson", or of a classifier "auroc" or "auprc".
        loss_name: for the axis, see `loss_name`.

    Raises:
        ValueError: no row.
    """
    if not history:
        raise ValueError("`history` must hold at least one row, got none; was the model trained?")
    figure, axes = _figure(width=9, height=3.6, columns=2)
    loss, pearson = axes[0]
    for key, label, colour in (("loss", "training", BLUE), ("eval_loss", "validation", ORANGE)):
        steps, values = _points(history, key)
        loss.plot(steps, values, color=colour, label=label, **_line(len(steps)))
    loss.set(
        title="Loss",
        xlabel="step",
        ylabel=loss_name,
    )
    loss.legend(frameon=False)
    name, axis_label = _METRIC_LABELS[metric]
    steps, values = _points(history, f"eval_{metric}")
    pearson.plot(steps, values, color=ORANGE, **_line(len(steps)))
    title = f"Validation {name}"
    if len(values):
        best = int(np.argmax(values))
        title += f": best {values[best]:.3f} at step {steps[best]:,}"
        pearson.plot(steps[best], values[best], "o", color=GREEN, markersize=9, zorder=3)
    else:
        pearson.text(0.5, 0.5, "not measured", transform=pearson.transAxes, ha="center", color=GREY)
    pearson.set(title=title, xlabel="step", ylabel=axis_label)
    last_step = max(row["step"] for row in history)
    for axis in (loss, pearson):
        axis.set_xlim(0, 1.02 * max(last_step, 1))
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    _save(figure, path)


def class_dots(metrics: Mapping[str, Any], path: str | Path) -> None:
    """Draw AUROC and AUPRC of each track, against closed windows and against other types' peaks.

    A tick beside each AUPRC marks what a random order reaches, the share of positives. Of very many tracks the first
    are drawn; the heading says so.

    Args:
        metrics: from `evaluate_classes`.
        path: PNG to write.
    """
    names, heading = some(metrics["results"], _MAX_ROWS)
    results = {name: metrics["results"][name] for name in names}
    figure, axes = _figure(width=9, height=1.6 + 0.3 * len(results), columns=2)
    if heading:
        figure.suptitle(heading)
    rows = np.arange(len(results))[::-1]
    sets = (("closed", "GC-matched closed windows", BLUE), ("other_types", "other types' peaks", ORANGE))
    for axis, key, random in zip(axes[0], ("auroc", "auprc"), (0.5, None), strict=True):
        for name, label, colour in sets:
            found = [result[name] for result in results.values()]
            values = [np.nan if result[key] is None else result[key] for result in found]
            axis.plot(values, rows, "o", color=colour, label=f"against {label}")
            if random is None:
                shares = [result["positives"] / max(1, result["n"]) for result in found]
                axis.plot(shares, rows, "|", color=colour, markersize=10)
        if random is not None:
            axis.axvline(random, color=GREY, linewidth=1)
        axis.set(title=key.upper(), xlabel=key.upper(), yticks=rows, xlim=(min(0.45, axis.get_xlim()[0]), 1.02))
        axis.set_yticklabels(list(results))
    axes[0][0].legend(frameon=False, loc="best", fontsize="small")
    _save(figure, path)


def scatter(predicted: np.ndarray, true: np.ndarray, path: str | Path, *, title: str, unit: str) -> None:
    """Draw predicted against true signal as counts of bins in hexagons, both in log1p.

    Args:
        predicted: values of any shape, raw units.
        true: the same.
        path: PNG to write.
        title: heading.
        unit: of the signal, for the axes.

    Raises:
        ValueError: no value.
    """
    x, y = np.log1p(np.maximum(true, 0)).ravel(), np.log1p(np.maximum(predicted, 0)).ravel()
    if x.size == 0:
        raise ValueError("`true` must hold at least one bin, got none")
    figure, axes = _figure(width=5.6, height=4.8)
    axis = axes[0, 0]
    top = 1.03 * max(float(x.max()), float(y.max()), 0.1)
    hexagons = axis.hexbin(x, y, gridsize=45, extent=(0, top, 0, top), bins="log", mincnt=1, cmap="cividis", lw=0.1)
    axis.plot([0, top], [0, top], color=ORANGE, lw=1.2, ls="--", label="predicted = true")
    axis.set(title=title, xlabel=f"true log1p({unit})", ylabel=f"predicted log1p({unit})")
    axis.set(xlim=(0, top), ylim=(0, top), aspect="equal")
    axis.legend(frameon=False, loc="upper left")
    figure.colorbar(hexagons, label="bins", shrink=0.85)
    _save(figure, path)


def tracks(
    predicted: np.ndarray,
    true: np.ndarray,
    path: str | Path,
    *,
    chrom: str,
    start: int,
    bin_size: int,
    track_names: Sequence[str],
    unit: str,
    peaks: pd.DataFrame | None = None,
) -> None:
    """Draw a region as a genome browser would, in log1p: true above predicted for each track, on one scale a track.

    Of more than `MAX_DRAWN` tracks, those with the most true signal in the region are drawn; the heading says so.

    Args:
        predicted: (T, bins) raw units.
        true: (T, bins) raw units.
        path: PNG to write.
        chrom: name, for the heading.
        start: first bp of the region.
        bin_size: bp per bin.
        track_names: T names.
        unit: of the signal, for the axes.
        peaks: columns chrom, start, end; drawn below.
    """
    num_tracks, num_bins = true.shape
    drawn = np.sort(np.argsort(-true.sum(1), kind="stable")[:MAX_DRAWN])
    predicted, true = predicted[drawn], true[drawn]
    predicted, true = np.log1p(np.maximum(predicted, 0)), np.log1p(np.maximum(true, 0))
    end = start + num_bins * bin_size
    edges = np.arange(start, end + 1, bin_size)
    figure, axes = _figure(width=10, height=0.8 + 2.2 * len(drawn), rows=2 * len(drawn), sharex=True)
    for track, name in enumerate(str(track_names[i]) for i in drawn.tolist()):
        top = 1.05 * max(float(true[track].max()), float(predicted[track].max()), 1e-6)
        for row, (values, label, colour) in enumerate(
            ((true[track], "true", BLUE), (predicted[track], "predicted", ORANGE))
        ):
            axis = axes[2 * track + row, 0]
            axis.stairs(values, edges, fill=True, color=colour)
            axis.set(xlim=(start, end), ylim=(0, top))
            axis.set_ylabel(f"{name}\n{label}", rotation=0, ha="right", va="center")
            axis.yaxis.set_major_locator(MaxNLocator(3))
    if peaks is not None:
        inside = peaks[(peaks["chrom"] == chrom) & (peaks["start"] < end) & (peaks["end"] > start)]
        for row, (peak_start, peak_end) in enumerate(zip(inside["start"], inside["end"], strict=True)):
            for axis in axes[:, 0]:
                axis.axvspan(peak_start, peak_end, color=GREY, alpha=0.15, lw=0, label="peaks" if row == 0 else None)
        if len(inside):
            axes[0, 0].legend(frameon=False, loc="upper right")
    left_out = f"   the {len(drawn)} strongest here of {num_tracks:,} tracks" if len(drawn) < num_tracks else ""
    axes[0, 0].set_title(f"{chrom}:{start:,}-{end:,}   log1p({unit}){left_out}")
    axes[-1, 0].set_xlabel(f"position on {chrom} (bp)")
    axes[-1, 0].xaxis.set_major_formatter(FuncFormatter(lambda position, _: f"{position:,.0f}"))
    axes[-1, 0].xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    _save(figure, path)


def _figure(
    *, width: float, height: float, rows: int = 1, columns: int = 1, sharex: bool = False
) -> tuple[Figure, np.ndarray]:
    """Return a figure without pyplot's global state, and its (rows, columns) axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: str | Path) -> None:
    figure.savefig(path, dpi=_DPI, format="png")


def _points(history: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and values of the rows that have the value."""
    rows = [(row["step"], row[key]) for row in history if row.get(key) is not None]
    return np.array([step for step, _ in rows], np.int64), np.array([value for _, value in rows], np.float64)


def _line(num_points: int) -> dict[str, Any]:
    """Return a line's style: with few points, each is marked."""
    return {"lw": 1.6, "marker": "o" if num_points <= 30 else None, "markersize": 4}
