"""A measurement of robustness as a folder: the numbers, the same as a table, and a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..datasets_scripts.atomic import check_own_folder, finished_folder, making
from ..datasets_scripts.store import GenomeStore
from .cpu import pick_device
from .figures import BLUE, ORANGE
from .load import load_model
from .robustness import flatten_robustness, robustness
from .track_states import POOLED

_FILES = {"robustness.json", "robustness.tsv", "positions.png"}
_COLOURS = {"genome_wide": BLUE, "peaks": ORANGE}
_DPI = 150


def robustness_of_run(
    run: str | Path,
    store: GenomeStore,
    output: str | Path,
    *,
    overwrite: bool = False,
    device: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Measure a run and write robustness.json, robustness.tsv and positions.png.

    What a model was trained on does not matter here: nothing is compared with a measured signal.

    Args:
        run: folder or Hub id of a model.
        store: the genome.
        output: folder to make.
        overwrite: replace an existing one.
        device: as for `pick_device`.
        **options: of `robustness`.

    Returns:
        What robustness.json holds: the dictionary of `robustness` with `model`.

    Raises:
        FileExistsError: `output` exists and `overwrite` is not given, or it holds other files.
        FileNotFoundError: no such model.
        ValueError: what `robustness` refuses.
    """
    output = check_own_folder(output, overwrite, _FILES, marks={"robustness.json": ""})
    with making(output, overwrite):
        model = load_model(run)
        model.to(pick_device(device))  # pyright: ignore[reportArgumentType] - transformers' stub of `to`
        found = {"model": str(run), **robustness(model, store, **options)}
        _write(found, output, overwrite, bin_size=model.config.bin_size)
    return found


def _write(found: dict[str, Any], output: Path, overwrite: bool, *, bin_size: int) -> None:
    """Write the folder, whose lock is held."""
    with finished_folder(output, overwrite, is_held=True) as folder:
        (folder / "robustness.json").write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        table = flatten_robustness(found)
        table.to_csv(folder / "robustness.tsv", sep="\t", index=False, float_format="%.6g")
        draw_positions(found, folder / "positions.png", bin_size=bin_size)


def draw_positions(found: dict[str, Any], path: str | Path, *, bin_size: int) -> None:
    """Draw the score of each position of the region, a panel a track, a line for peaks and one genome-wide."""
    tracks = found["results"]
    figure = Figure(figsize=(7, 0.6 + 2.6 * len(tracks)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(tracks), 1, squeeze=False)[:, 0]
    for axis, (track, sets) in zip(axes, tracks.items(), strict=True):
        for name, result in sets.items():
            pooled = result[POOLED]
            values = np.array([np.nan if value is None else value for value in pooled["positions"]])
            places = (np.arange(len(values)) - len(values) / 2 + 0.5) * bin_size
            score = "-" if pooled["score"] is None else f"{pooled['score']:.4f}"
            label = f"{name.replace('_', '-')}: mean {score}, {pooled['regions']:,} regions"
            axis.plot(places, values, color=_COLOURS[name], lw=1.6, label=label)
        axis.set(title=track, xlabel="bp from the middle of the region", ylabel="coefficient of variation")
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    figure.savefig(path, dpi=_DPI, format="png")
