"""What a curve says: its rows as a table, mean and spread over seeds, the comparisons people look for, and a figure."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

# Okabe & Ito (2008, jfly.uni-koeln.de/color), which colour-blind readers tell apart; the marker says it once more.
_LOOKS = {
    "scratch": ("#000000", "o"),
    "head": ("#E69F00", "s"),
    "full": ("#0072B2", "^"),
    "lora": ("#D55E00", "D"),
    "two-stage": ("#009E73", "v"),
    "floor": ("#888888", "x"),
    "base": ("#888888", ""),
}
FLOOR, BASE = "floor", "base"  # beside the modes
_DPI = 150


def headline_metrics(metrics: dict[str, Any]) -> dict[str, float | None]:
    """Return the few numbers of an evaluation that a curve follows, the most telling first, each the mean over tracks.

    Args:
        metrics: what metrics.json holds.

    Returns:
        Of a track model "pearson_BINbp" of log1p signal over the whole part, the coarsest bins first. Of a classifier
        "auroc_other_types", "auprc_other_types", "auroc_closed", "auprc_closed" and "peak_signal_pearson"; see
        `evaluate_classes`.
    """
    if metrics.get("task") == "classification":
        sets = ("other_types", "closed")
        ranked = {
            f"{measure}_{name}": metrics["mean"][name][measure] for name in sets for measure in ("auroc", "auprc")
        }
        return ranked | {"peak_signal_pearson": _mean(list(metrics["peak_signal"].values()))}
    found: dict[str, list[float | None]] = {}
    for sets in metrics["results"].values():
        by_bin = sets["genome_wide"]["pooled"]
        for size in sorted(map(int, by_bin), reverse=True):
            found.setdefault(f"pearson_{size}bp", []).append(by_bin[str(size)]["log1p"]["pearson"])
    return {name: _mean(values) for name, values in found.items()}


def curve_frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the cells as a table: mode, fraction, seed, windows, steps, cost, and a column a metric."""
    return pd.DataFrame([{**{k: v for k, v in row.items() if k != "metrics"}, **row["metrics"]} for row in rows])


def curve_summary(rows: Sequence[dict[str, Any]], *, metric: str | None = None) -> dict[str, Any]:
    """Return mean and spread over seeds of each mode and fraction.

    Args:
        rows: of the cells, as `run_curve` writes them.
        metric: one of the rows' metrics; None takes the first.

    Returns:
        `metric`, its `metrics` to choose from, and `points`: for each mode and fraction the number of `windows`,
        `seeds`, `mean`, `smallest` and `largest` of the metric (None where a seed has none), and the medians of
        `seconds`, `peak_memory_gb` (None of mode "floor" and of "base", whose fraction is 0) and
        `parameters_trained`.

    Raises:
        ValueError: no such metric.
    """
    known = list(rows[0]["metrics"])
    metric = metric or known[0]
    if metric not in known:
        raise ValueError(f"no metric {metric!r}; this curve has {', '.join(known)}")
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["mode"], row["fraction"]), []).append(row)
    points = []
    for (mode, fraction), group in groups.items():
        values = [row["metrics"][metric] for row in group]
        whole = None not in values
        points.append(
            {
                "mode": mode,
                "fraction": fraction,
                "windows": group[0]["windows"],
                "seeds": len(group),
                "mean": _mean(values),
                "smallest": min(values) if whole else None,
                "largest": max(values) if whole else None,
                "seconds": statistics.median(row["seconds"] for row in group),
                "peak_memory_gb": None
                if group[0]["peak_memory_gb"] is None
                else statistics.median(row["peak_memory_gb"] for row in group),
                "parameters_trained": group[0]["parameters_trained"],
            }
        )
    return {"metric": metric, "metrics": known, "points": points}


def curve_figure(summary: dict[str, Any], path: str | Path, *, title: str = "") -> None:
    """Draw the metric against the data: a line a mode, its mean over seeds, a band from worst to best.

    Args:
        summary: from `curve_summary`.
        path: PNG to write.
        title: heading.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    points = [point for point in summary["points"] if point["mean"] is not None and point["mode"] != BASE]
    for mode in dict.fromkeys(point["mode"] for point in points):
        line = sorted((point for point in points if point["mode"] == mode), key=lambda point: point["fraction"])
        colour, marker = _LOOKS.get(mode, ("#CC79A7", "P"))
        shares = [point["fraction"] for point in line]
        axis.plot(shares, [point["mean"] for point in line], marker=marker, color=colour, lw=1.8, label=mode)
        low, high = ([point[key] for point in line] for key in ("smallest", "largest"))
        axis.fill_between(shares, low, high, color=colour, alpha=0.15, lw=0)
    for point in summary["points"]:
        if point["mode"] == BASE and point["mean"] is not None:
            axis.axhline(point["mean"], color=_LOOKS[BASE][0], lw=1.2, ls=":", label="base, untuned")
    windows = {point["fraction"]: point["windows"] for point in points}
    shares = sorted(windows)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(shares))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FixedFormatter([f"{100 * share:g} %\n{windows[share]:,}" for share in shares]))
    axis.set(xlabel="share and number of training windows", ylabel=summary["metric"].replace("_", " "), title=title)
    axis.grid(axis="y", color="#dddddd", lw=0.7)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    figure.savefig(path, dpi=_DPI, format="png")


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean, None where one of the values is not defined."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.fmean(known) if len(known) == len(values) else None
