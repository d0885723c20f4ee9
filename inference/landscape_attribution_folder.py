"""Attributions of a landscape model as a folder: the maps, their decay over distance, a picture."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.atomic import check_own_folder, finished_folder
from ..datasets_scripts.folds import Part
from ..datasets_scripts.landscape import LandscapeData
from .landscape_attribution import attribute_landscape, decay_of_attribution, reach_of_attribution
from .landscape_figures import curves
from .load import load_landscape_model
from .provenance import library_versions

_FILES = ("attribution.npz", "decay.tsv", "summary.json", "decay_*.png")


def attribute_run(
    run: str | Path,
    folder: str | Path,
    output: str | Path,
    *,
    part: Part = "test",
    max_genes: int | None = 100,
    background: int = 256,
    every: int = 10,
    steps: int = 64,
    seed: int = 0,
    device: torch.device | str = "cpu",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Attribute, and write attribution.npz, decay.tsv, summary.json and decay_TRACK.png.

    Args:
        run: folder or Hub id of a landscape model.
        folder: of the landscapes.
        output: folder to make; it appears when it is complete.
        part: of the split.
        max_genes: so many, drawn by the seed; None takes all.
        background: training genes whose mean is the baseline, drawn by the seed; of the part where there is none.
        every: as of `attribute_landscape`.
        steps: likewise.
        seed: of both draws.
        device: to compute on.
        overwrite: replace an existing folder.
        progress: told genes done and in all.

    Returns:
        What summary.json holds.

    Raises:
        FileNotFoundError: an input does not exist.
        FileExistsError: `output` exists and `overwrite` is not given, or it holds other files.
        ValueError: inputs do not fit each other.
    """
    check_own_folder(output, overwrite, _FILES, marks={"summary.json": ""})
    data, model = LandscapeData.open(folder), load_landscape_model(run)
    model.to(device)  # pyright: ignore[reportArgumentType] - transformers' stub of `to`
    rng = np.random.default_rng(seed)
    rows, others = data.rows(part), data.rows("train")
    others = others if len(others) else rows
    rows = np.sort(rng.permutation(rows)[:max_genes])
    found = attribute_landscape(
        model,
        data,
        rows,
        background=np.sort(rng.permutation(others)[:background]),
        every=every,
        steps=steps,
        progress=progress,
    )
    names = list(model.config.track_names or ())
    tables = {
        name: decay_of_attribution(found.landscape[t], data.input_tracks, data.grid.input_bin_size)
        for t, name in enumerate(names)
    }
    summary: dict[str, Any] = {
        "model": str(run),
        "data": {"name": data.path.resolve().name, "fingerprint": data.fingerprint, "genome": data.genome},
        "part": part,
        "genes": len(rows),
        "maps": found.num_maps,
        "steps": steps,
        "background": min(background, len(others)),
        "additivity_error": found.additivity_error,
        "tracks": {name: reach_of_attribution(table) for name, table in tables.items()},
        "versions": library_versions(),
    }
    arrays = {
        "landscape": found.landscape,
        "landscape_signed": found.landscape_signed,
        "contacts": found.contacts,
        "contacts_signed": found.contacts_signed,
    }
    with finished_folder(output, overwrite) as made:
        np.savez_compressed(made / "attribution.npz", **{n: a for n, a in arrays.items() if a is not None})
        decay = pd.concat([table.assign(predicted=name) for name, table in tables.items()], ignore_index=True)
        columns = ["predicted", "track", "distance", "share"]
        decay.to_csv(made / "decay.tsv", sep="\t", index=False, columns=columns, float_format="%.6g")
        (made / "summary.json").write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        for i, (name, table) in enumerate(tables.items()):
            lines = {
                str(track): (rows["distance"].to_numpy() / 1e3, rows["share"].to_numpy())
                for track, rows in table.groupby("track", sort=False)
            }
            title = f"attribution of {name}, {len(rows):,} genes"
            curves(lines, made / f"decay_{i}.png", title=title, x="kb from the predicted bin", y="share of the largest")
    return summary
