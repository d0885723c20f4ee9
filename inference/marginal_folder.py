"""Marginal effects as a folder: the numbers, the same as a table, and a picture."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..datasets_scripts.atomic import check_own_folder, finished_folder
from .figures import BLUE, GREY, ORANGE
from .marginalize import AnyEffect, MarginalEffect, effect_as_dict
from .meme import consensus

FILES = {"marginalize.json", "marginalize.tsv", "effects.png", "profiles.png"}
_LABELS = {"log2_fold": "whole target", "local_log2_fold": "at the motif", "logit_change": "logit"}
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
    effects: Sequence[AnyEffect],
    about: dict[str, Any],
    output: str | Path,
    *,
    bin_size: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the folder.

    Args:
        effects: one at least.
        about: what else marginalize.json holds.
        output: folder to make.
        bin_size: bp per bin of the profiles; None draws none.
        overwrite: replace an existing folder.

    Returns:
        What marginalize.json holds.

    Raises:
        FileExistsError: `output` exists and `overwrite` is not given, or it holds other files.
    """
    output = check_own_folder(output, overwrite, FILES, marks={"marginalize.json": ""})
    found = {**about, "motifs": [effect_as_dict(effect) for effect in effects]}
    with finished_folder(output, overwrite) as folder:
        (folder / "marginalize.json").write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        rows = [
            (
                effect.name,
                effect.sequence,
                effect.backgrounds,
                *(n for values in effect.measures.values() for n in values),
            )
            for effect in by_effect(effects)
        ]
        names = [f"{measure}{end}" for measure in effects[0].measures for end in ("", "_low", "_high")]
        table = pd.DataFrame(rows, columns=["motif", "sequence", "backgrounds", *names])
        table.to_csv(folder / "marginalize.tsv", sep="\t", index=False, float_format="%.4f")
        strongest = sorted(effects, key=lambda effect: -abs(_first(effect)))[:_DRAWN]
        draw_effects(strongest, folder / "effects.png")
        profiles = [effect for effect in strongest if isinstance(effect, MarginalEffect)]
        if profiles and bin_size:
            draw_profiles(profiles[:6], folder / "profiles.png", bin_size=bin_size)
    return found


def by_effect(effects: Sequence[AnyEffect]) -> list[AnyEffect]:
    """Return effects, the largest rise first."""
    return sorted(effects, key=_first, reverse=True)


def _first(effect: AnyEffect) -> float:
    return next(iter(effect.measures.values()))[0]


def draw_effects(effects: Sequence[AnyEffect], path: str | Path) -> None:
    """Draw the mean effect of each motif with its interval, of a track on the target and at the motif."""
    figure = Figure(figsize=(7, 1.3 + 0.34 * len(effects)), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    rows = np.arange(len(effects))[::-1]
    measures = list(effects[0].measures)
    shifts = (0.12, -0.12) if len(measures) > 1 else (0.0,)
    for measure, shift, colour in zip(measures, shifts, (BLUE, ORANGE), strict=False):
        mean, low, high = np.array([effect.measures[measure] for effect in effects]).T
        label = _LABELS[measure]
        axis.errorbar(
            mean, rows + shift, xerr=[mean - low, high - mean], fmt="o", color=colour, label=label, capsize=2, ms=5
        )
    axis.axvline(0, color=GREY, lw=0.8)
    what = "log2 change of the predicted signal" if len(measures) > 1 else "change of the logit"
    axis.set(yticks=rows, xlabel=f"{what} (mean and 95 % interval)")
    axis.set_yticklabels([effect.name[:28] for effect in effects])
    axis.spines[["top", "right"]].set_visible(False)
    if len(measures) > 1:
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
