"""The comparison of variant scores with what was measured, as a folder: the numbers, the variants, a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..datasets_scripts.atomic import check_own_folder, finished_folder
from .figures import BLUE, GREY, ORANGE

FILES = ("variants.json", "variants.tsv", "variants.png")
_LABELS = {"counts": "observed log2 odds ratio (ATAC over WGS)", "effect": "measured effect"}
_SHOWN = 3  # decimals


def write_variants(table: pd.DataFrame, found: dict[str, Any], output: str | Path, *, overwrite: bool = False) -> None:
    """Write the folder.

    Args:
        table: from `evaluate_variants`.
        found: likewise.
        output: folder to make.
        overwrite: replace an existing folder.

    Raises:
        FileExistsError: `output` exists and `overwrite` is not given, or it holds other files.
    """
    output = check_own_folder(output, overwrite, FILES, marks={"variants.json": ""})
    with finished_folder(output, overwrite) as folder:
        (folder / "variants.json").write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        table.to_csv(folder / "variants.tsv", sep="\t", index=False, float_format="%.6g")
        draw_variants(table, found, folder / "variants.png")


def draw_variants(table: pd.DataFrame, found: dict[str, Any], path: str | Path) -> None:
    """Draw the score against what was measured; of labels, the size of the score by label as a cumulative share."""
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    predicted, truth = table["predicted"].to_numpy(), table["truth"].to_numpy()
    measures = found["measures"]
    if found["kind"] == "label":
        for value, colour, name in ((0, GREY, "no effect"), (1, ORANGE, "effect")):
            sizes = np.sort(np.abs(predicted[truth == value]))
            axis.step(sizes, np.arange(1, len(sizes) + 1) / max(1, len(sizes)), color=colour, lw=1.8, where="post")
            axis.plot([], [], color=colour, label=f"{name}: {len(sizes):,} variants")
        axis.set(xlabel=f"size of {found['score']}", ylabel="share of variants up to it", ylim=(0, 1.02))
        axis.set_xlim(left=0)
        axis.legend(frameon=False, loc="lower right")
        shown = ("auroc", "auprc")
    else:
        axis.plot(truth, predicted, "o", color=BLUE, ms=4, alpha=0.5, mec="none")
        axis.axhline(0, color=GREY, lw=0.8)
        axis.axvline(0, color=GREY, lw=0.8)
        axis.set(xlabel=_LABELS[found["kind"]], ylabel=f"predicted {found['score']}")
        shown = ("spearman", "mcc")
    numbers = ", ".join(f"{name} {_number(measures[name]['value'])}" for name in shown)
    axis.set_title(f"{found['n']:,} variants: {numbers}", fontsize="medium")
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, format="png")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.{_SHOWN}f}"
