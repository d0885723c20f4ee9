"""Marginal effects as a folder: the numbers, the same as a table, and a picture."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..datasets_scripts.atomic import check_own_folder, finished_folder
from .figures import BLUE, GREY, ORANGE
from .marginalize import MarginalEffect
from .meme import consensus

FILES = {"marginalize.json", "marginalize.tsv", "effects.png", "profiles.png"}
_DRAWN = 12  # motifs at most, the strongest


def chosen_motifs(wanted: list[str], database: Mapping[str, np.ndarray] | None) -> dict[str, str]:
    """Return the sequences to insert, by name.

    Args:
        wanted: sequences of A, C, G, T and N, or names of motifs (their consensus is taken): a whole name, or a part of
            one name alone; case does not matter.
        database: motifs by name.

    Raises:
        ValueError: a name that no motif, or more than one, has.
    """
    found: dict[str, str] = {}
    for text in wanted:
        if not set(text.upper()) - set("ACGTN"):
            found[text.upper()] = text.upper()
            continue
        known = database or {}
        words = text.lower()
        alike = [name for name in known if name.lower() == words] or [name for name in known if words in name.lower()]
        if len(alike) != 1:
            which = f"{len(alike)} motifs are ({', '.join(alike[:4])}{', ...' if len(alike) > 4 else ''})"
            raise ValueError(
                f"--motif must be a sequence or name one motif of --meme, but {text!r} is neither: "
                f"{which if alike else 'no motif has it in its name'}"
            )
        found[alike[0]] = consensus(known[alike[0]])
    return found


def write_effects(
    effects: list[MarginalEffect], about: dict[str, Any], output: str | Path, *, bin_size: int, overwrite: bool = False
) -> dict[str, Any]:
    """Write the folder.

    Args:
        effects: one at least.
        about: what else marginalize.json holds.
        output: folder to make.
        bin_size: bp per bin of the profiles.
        overwrite: replace an existing folder.

    Returns:
        What marginalize.json holds.

    Raises:
        FileExistsError: `output` exists and `overwrite` is not given, or it holds other files.
    """
    output = check_own_folder(output, overwrite, FILES)
    found = {**about, "motifs": [effect.as_dict() for effect in effects]}
    with finished_folder(output, overwrite) as folder:
        (folder / "marginalize.json").write_text(json.dumps(found, indent=2, allow_nan=False) + "\n")
        rows = [
            (e.name, e.sequence, e.backgrounds, *e.log2_fold, *e.local_log2_fold)
            for e in sorted(effects, key=lambda effect: -effect.log2_fold[0])
        ]
        names = [f"{place}log2_fold{end}" for place in ("", "local_") for end in ("", "_low", "_high")]
        table = pd.DataFrame(rows, columns=["motif", "sequence", "backgrounds", *names])
        table.to_csv(folder / "marginalize.tsv", sep="\t", index=False, float_format="%.4f")
        strongest = sorted(effects, key=lambda effect: -abs(effect.log2_fold[0]))[:_DRAWN]
        draw_effects(strongest, folder / "effects.png")
        draw_profiles(strongest[:6], folder / "profiles.png", bin_size=bin_size)
    return found


def draw_effects(effects: list[MarginalEffect], path: str | Path) -> None:
    """Draw the mean effect of each motif with its interval, on the target and at the motif."""
    figure = Figure(figsize=(7, 1.3 + 0.34 * len(effects)), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    rows = np.arange(len(effects))[::-1]
    for shift, label, colour, folds in (
        (0.12, "whole target", BLUE, [effect.log2_fold for effect in effects]),
        (-0.12, "at the motif", ORANGE, [effect.local_log2_fold for effect in effects]),
    ):
        mean, low, high = np.array(folds).T
        axis.errorbar(
            mean, rows + shift, xerr=[mean - low, high - mean], fmt="o", color=colour, label=label, capsize=2, ms=5
        )
    axis.axvline(0, color=GREY, lw=0.8)
    axis.set(yticks=rows, xlabel="log2 change of the predicted signal (mean and 95 % interval)")
    axis.set_yticklabels([effect.name[:28] for effect in effects])
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="best")
    figure.savefig(path, dpi=150, format="png")


def draw_profiles(effects: list[MarginalEffect], path: str | Path, *, bin_size: int) -> None:
    """Draw the mean signal with and without each motif around its place."""
    figure = Figure(figsize=(7, 0.5 + 1.5 * len(effects)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(effects), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for axis, effect in zip(axes, effects, strict=True):
        places = (np.arange(len(effect.without)) - len(effect.without) / 2 + 0.5) * bin_size
        axis.plot(places, effect.without, color=GREY, lw=1.2, label="background")
        axis.plot(places, effect.inserted, color=ORANGE, lw=1.6, label="with the motif")
        axis.set_title(f"{effect.name[:40]}   {effect.sequence[:40]}", fontsize="small", loc="left")
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize="small")
    axes[-1].set_xlabel("bp from the motif's middle")
    figure.supylabel("mean predicted signal", fontsize="medium")
    figure.savefig(path, dpi=150, format="png")
