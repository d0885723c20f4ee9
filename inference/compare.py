"""Two evaluations on the same data side by side: the paper's rank tests and a bootstrap, both over chromosomes.

Grover et al. compare models by Mann-Whitney U (their Fig. 2C) and by Wilcoxon's signed ranks (2E) over the points of
chromosomes. With n chromosomes the smallest p-value is 2 / 2^n of the latter and 2 / C(2n, n) of the former: with three
neither can reach 0.05, and the interval of the mean difference tells more.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..datasets_scripts.atomic import check_own_folder, finished_folder
from ..datasets_scripts.plain_files import read_json
from .figures import BLUE, GREY, ORANGE
from .names import resolve
from .rank_tests import mann_whitney, wilcoxon
from .report import Figure as Picture
from .report import Section, Table, write_report

_FILES = {"comparison.json", "comparison.tsv", "comparison.png", "report.html"}
_BOOTSTRAPS = 10_000
_MEASURES = {"log1p": ("pearson", "spearman"), "raw": ("pearson", "poisson_deviance")}


def read_metrics(path: str | Path) -> dict[str, Any]:
    """Read metrics.json of a run or an evaluation folder, or the file itself.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no JSON, or not the evaluation of a track model.
    """
    path = Path(path).expanduser()
    if not path.exists() and "/" not in str(path) and path.suffix != ".json":
        path = resolve(str(path)).folder or path
    file = path if path.suffix == ".json" else path / "metrics.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; run `chromhub evaluate` first")
    metrics = read_json(file, remedy="run `chromhub evaluate` again")
    if not isinstance(metrics.get("results"), dict) or metrics.get("task"):
        raise ValueError(f"{file} is not the evaluation of a track model; give one that `chromhub evaluate` wrote")
    return metrics


def compare(one: Mapping[str, Any], other: Mapping[str, Any], *, seed: int = 0) -> dict[str, Any]:
    """Compare two evaluations.

    Args:
        one: what metrics.json holds.
        other: the same of the second model.
        seed: of the bootstrap.

    Returns:
        `models`, `part`, `data`, and `rows`: for each track, set, bin size, scale and measure that both have, the mean
        over chromosomes of both, their difference (second less first) with `low` and `high` of its 95 % bootstrap
        interval over chromosomes, `wilcoxon_p`, `mann_whitney_p`, and the `points`: each chromosome's pair.

    Raises:
        ValueError: other data, another part, or nothing in common.
    """
    for what, key in (("part", "part"), ("data", "data")):
        sides = [side[key] if key == "part" else side[key]["fingerprint"] for side in (one, other)]
        if sides[0] != sides[1]:
            raise ValueError(
                f"evaluations that are compared must have the same {what}, got {sides[0]} and {sides[1]}; "
                "evaluate both models on one"
            )
    rows = []
    for track, sets in one["results"].items():
        for name, result in sets.items():
            theirs = other["results"].get(track, {}).get(name)
            for size in result["pooled"] if theirs else ():
                for scale, measures in _MEASURES.items():
                    for measure in measures:
                        points = _points(result["chroms"], theirs["chroms"], size, scale, measure)
                        if points:
                            place = {"track": track, "set": name, "bin_size": int(size), "scale": scale}
                            rows.append({**place, "measure": measure, **_tests(points, seed), "points": points})
    if not rows:
        raise ValueError("the two evaluations have no track, bin size and chromosome in common")
    return {
        "models": [str(one["model"]), str(other["model"])],
        "part": one["part"],
        "data": one["data"],
        "rows": rows,
    }


def write_comparison(found: dict[str, Any], output: str | Path, *, overwrite: bool = False) -> None:
    """Write comparison.json, comparison.tsv, comparison.png and report.html.

    Raises:
        FileExistsError: `output` exists and `overwrite` is not given, or it holds other files.
    """
    output = check_own_folder(output, overwrite, _FILES, marks={"comparison.json": ""})
    table = pd.DataFrame(found["rows"]).drop(columns="points")
    with finished_folder(output, overwrite) as folder:
        (folder / "comparison.json").write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        table.to_csv(folder / "comparison.tsv", sep="\t", index=False, float_format="%.6g")
        draw_pairs(found, folder / "comparison.png")
        cells = [
            [
                row["track"],
                row["set"].replace("_", " "),
                str(row["bin_size"]),
                f"{row['measure'].replace('_', ' ')}, {row['scale']}",
                *(f"{row[key]:.3f}" for key in ("first", "second")),
                f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})",
                *(f"{row[key]:.2g}" for key in ("wilcoxon_p", "mann_whitney_p")),
            ]
            for row in found["rows"]
        ]
        columns = [
            "track",
            "windows",
            "bp",
            "measure",
            "first",
            "second",
            "difference (95 %)",
            "Wilcoxon",
            "Mann-Whitney",
        ]
        lead = max(found["rows"], key=lambda row: (row["measure"] == "pearson", row["scale"] == "log1p"))
        write_report(
            folder / "report.html",
            title=f"{found['models'][0]} and {found['models'][1]}",
            lead=(
                f"On the {found['part']} part of {found['data']['name']}, the second is {lead['difference']:+.3f} "
                f"({lead['low']:+.3f} to {lead['high']:+.3f}) in Pearson's r (log1p, {lead['bin_size']} bp, "
                f"{lead['set'].replace('_', ' ')}), over {lead['chromosomes']} chromosomes."
            ),
            sections=[
                Section("Each chromosome", figures=[Picture(folder / "comparison.png", "Each chromosome's pair")]),
                Section(
                    "All measures",
                    table=Table(columns, cells, note="Means over chromosomes; p-values are two-sided."),
                ),
            ],
            footer="Made by chromhub compare; all numbers are in comparison.json beside this file.",
        )


def draw_pairs(found: dict[str, Any], path: str | Path) -> None:
    """Draw Pearson's r (log1p) of each chromosome of one model against the other's, at each set's finest bins."""
    rows = [row for row in found["rows"] if (row["measure"], row["scale"]) == ("pearson", "log1p")]
    tracks = list(dict.fromkeys(row["track"] for row in rows))
    figure = Figure(figsize=(4.6 * len(tracks), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, track in zip(figure.subplots(1, max(1, len(tracks)), squeeze=False)[0], tracks, strict=True):
        values = []
        for name, colour, marker in (("genome_wide", BLUE, "o"), ("peaks", ORANGE, "D")):
            mine = [row for row in rows if (row["track"], row["set"]) == (track, name)]
            if mine:
                finest = min(mine, key=lambda row: row["bin_size"])
                x, y = np.array(list(finest["points"].values())).T
                axis.plot(x, y, marker, color=colour, label=f"{name.replace('_', '-')}, {finest['bin_size']} bp")
                values += [*x, *y]
        if values:
            margin = 0.1 * (max(values) - min(values)) or 0.05
            ends = (min(values) - margin, max(values) + margin)
            axis.plot(ends, ends, color=GREY, lw=0.9, ls="--")
            axis.set(xlim=ends, ylim=ends, aspect="equal")
            axis.legend(frameon=False, fontsize="small", loc="upper left")
        axis.set(
            title=f"{track}: Pearson's r (log1p)", xlabel=found["models"][0][-40:], ylabel=found["models"][1][-40:]
        )
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130, format="png")


def _points(
    one: Mapping[str, Any], other: Mapping[str, Any], size: str, scale: str, measure: str
) -> dict[str, tuple[float, float]]:
    """Return both values of each chromosome that has both."""
    found = {}
    for chrom in one:
        pair = [side.get(chrom, {}).get(size, {}).get(scale, {}).get(measure) for side in (one, other)]
        if pair[0] is not None and pair[1] is not None:
            found[chrom] = (float(pair[0]), float(pair[1]))
    return found


def _tests(points: Mapping[str, tuple[float, float]], seed: int) -> dict[str, Any]:
    x, y = np.array(list(points.values())).T
    gaps = y - x
    draws = np.random.default_rng(seed).integers(0, len(gaps), (_BOOTSTRAPS, len(gaps)))
    low, high = np.quantile(gaps[draws].mean(1), [0.025, 0.975])
    return {
        "chromosomes": len(gaps),
        "first": float(x.mean()),
        "second": float(y.mean()),
        "difference": math.fsum(gaps) / len(gaps),
        "low": float(low),
        "high": float(high),
        "wilcoxon_p": wilcoxon(gaps)[1],
        "mann_whitney_p": mann_whitney(y, x)[1],
    }
