"""The small-data curve: how good each way of fine-tuning gets with how much data.

A cell of the curve is one run: a mode, a share of the training windows, a seed. Every cell gets the same number of
optimiser steps (of mode "two-stage" at most half of them for the head alone) and stops early on the validation part,
so a line of the figure differs from another in its mode alone. Smaller shares are subsets of larger ones of the same
seed. Test data are read once a cell, at the end; a cell keeps its best number on validation windows too, `valid`,
which is what a choice may be made by.

Beside the modes stand "floor", a ridge regression on 6-mers fitted on the very windows that a share and seed gave, and
"base", the base as it is, whose share of the data is 0.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..datasets_scripts.atomic import check_own_folder, finished_file, partial_of, resumable_folder
from ..datasets_scripts.folds import Part
from ..datasets_scripts.store import GenomeStore
from ..inference.beside import Beside
from ..inference.evaluation_folder import BesideOf, evaluate_run
from ..inference.load import load_sequence_model
from ..inference.model_files import FOLDER_FILES
from ..inference.names import looks_like_path, resolve
from ..inference.provenance import FILE_NAME, find_provenance
from ..inference.untuned_base import UntunedBase
from .curve_table import BASE, FLOOR, curve_figure, curve_frame, curve_summary, headline_metrics
from .data_source import choose_windows
from .floor_windows import recipe_windows
from .recipe import Recipe, load_recipe
from .run_folder import CHECKPOINTS, is_finished_run
from .train import train

FRACTIONS = (0.01, 0.03, 0.1, 0.3, 1.0)
MODES = ("scratch", "head", "full", "lora")
# What a row tells of a predictor that no run made.
_UNTRAINED: dict[str, Any] = {
    "windows": 0,
    "steps": 0,
    "best_step": 0,
    "seconds": 0.0,
    "parameters_trained": 0,
    "peak_memory_gb": None,
    "device": "",
    "valid": None,
}
_FILES = ("curve.tsv", "curve.png", "summary.json", "rows/*-seed[0-9]*.json", *(f"models/*/{f}" for f in FOLDER_FILES))
_MARKS = {"summary.json": '"max_steps"'}
_LEAST_WINDOWS = 8  # of a cell; or a batch, where that is smaller
_EPOCHS = 1_000_000  # `max_steps` ends a run, not its passes over the data


@dataclass(frozen=True)
class Cell:
    """One run of a curve.

    Attributes:
        mode: of fine-tuning, or "scratch".
        fraction: share of the training windows, above 0, at most 1.
        seed: of the choice of windows, their order, dropout and new weights.
    """

    mode: str
    fraction: float
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder and file, e.g. lora-3%-seed0."""
        return f"{self.mode}-{100 * self.fraction:g}%-seed{self.seed}"


def run_curve(
    base: str,
    data: str | Path,
    output: str | Path,
    *,
    modes: Sequence[str] = MODES,
    fractions: Sequence[float] = FRACTIONS,
    seeds: int = 3,
    max_steps: int = 200,
    recipe: str | Path | None = None,
    preset: str | None = None,
    part: Part = "test",
    metric: str | None = None,
    keep_models: bool = False,
    floor: bool = True,
    untuned: bool = True,
    overwrite: bool = False,
    device: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Fine-tune at every fraction, in every mode, with every seed; write one table and one figure.

    A curve that was stopped goes on where it was: cells that are done are not run again, and a run that was cut off is
    resumed.

    Args:
        base: run folder or Hub id of the model to fine-tune; mode "scratch" trains its architecture afresh.
        data: folder of a store.
        output: folder to make: curve.tsv (a row a cell), curve.png, summary.json, rows/ (a JSON a cell), and models/
            where `keep_models` is given.
        modes: of fine-tuning.
        fractions: of the training windows.
        seeds: runs of each mode and fraction.
        max_steps: optimiser steps of each run.
        recipe: YAML with any other field of a recipe.
        preset: architecture of mode "scratch"; None takes that of the base's own first training.
        part: of the data, where the metric is measured.
        metric: name of a metric; None takes the first that `headline_metrics` finds.
        keep_models: keep every trained model.
        floor: measure a ridge regression on 6-mers for each fraction and seed.
        untuned: measure the base as it is.
        overwrite: replace an existing curve.
        device: as for `train`.
        progress: told cells done, cells in all, and the one that runs next.
        **settings: fields of a recipe that override its file.

    Returns:
        What summary.json holds; see `curve_summary`.

    Raises:
        FileNotFoundError: no such base or data.
        FileExistsError: `output` exists.
        ValueError: a mode, fraction or number that is none; a share of too few windows; a recipe that does not fit.
    """
    check_own_folder(output, overwrite, _FILES, marks=_MARKS, inputs=[data, resolve(base).folder, recipe])
    cells = list(_cells(modes, fractions, seeds))
    store = GenomeStore.open(data)
    shared = {"data": str(data), "schedule": "cosine", "epochs": _EPOCHS, "max_steps": max_steps, **settings}
    starts = {mode: {"base": base} for mode in modes}
    if "scratch" in starts:
        starts["scratch"] = _architecture(base, preset)
    recipes = {cell: _recipe(cell, starts[cell.mode], shared, recipe) for cell in cells}
    asked = {
        "base": str(base),
        "data": store.fingerprint,
        "part": part,
        "beside": [floor, untuned],
        "recipes": {cell.name: made.model_dump(mode="json") for cell, made in recipes.items()},
    }
    rows_of = partial_of(output) / "rows"
    _check_windows(recipes, store, base)
    with resumable_folder(output, overwrite, worth_keeping=lambda: any(rows_of.glob("*.json"))) as folder:
        _check_same(folder, asked)
        for done, cell in enumerate(cells):
            if progress:
                progress(done, len(cells), cell.name)
            if not (folder / "rows" / f"{cell.name}.json").is_file():
                wanted = _missing_beside(cell, modes, folder, base=base, floor=floor, untuned=untuned)
                options = {"part": part, "keep": keep_models, "device": device}
                _run_cell(cell, recipes[cell], store, folder, **wanted, **options)
        if progress:
            progress(len(cells), len(cells), "")
        files = [f"{cell.name}.json" for cell in [*cells, *_beside_cells(cells, floor=floor, untuned=untuned)]]
        rows = [
            json.loads(path.read_text(encoding="utf-8")) for file in files if (path := folder / "rows" / file).is_file()
        ]
        summary = {
            "base": str(base),
            "data": store.path.resolve().name,
            "part": part,
            "max_steps": max_steps,
            **curve_summary(rows, metric=metric),
        }
        curve_frame(rows).to_csv(folder / "curve.tsv", sep="\t", index=False, float_format="%.6g")
        (folder / "summary.json").write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        curve_figure(summary, folder / "curve.png")
        (folder / "asked.json").unlink()
        with suppress(OSError):  # not empty where models are kept
            (folder / "models").rmdir()
    return summary


def _cells(modes: Sequence[str], fractions: Sequence[float], seeds: int) -> Iterator[Cell]:
    """Yield the cells, those that run fastest first: a curve shows its shape early."""
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}")
    for name, values in (("modes", modes), ("fractions", fractions)):
        if not values or len(set(values)) != len(values):
            raise ValueError(f"{name} must be given, each once, got {', '.join(map(str, values)) or 'none'}")
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise ValueError(f"fractions must be above 0 and at most 1, got {fraction}")
    for seed in range(seeds):
        for fraction in sorted(fractions):
            for mode in modes:
                yield Cell(mode, fraction, seed)


def _architecture(base: str, preset: str | None) -> dict[str, Any]:
    """Return what a model from scratch starts from: a preset that is given, or what the first model of `base` did.

    Raises:
        ValueError: neither says.
    """
    if preset is not None:
        return {"preset": preset}
    provenance = find_provenance(base)
    first = list(provenance.chain())[-1].recipe if provenance else {}
    if not first.get("preset"):
        raise ValueError(
            f"mode scratch needs an architecture, and {base!r} does not say which preset it is; give --preset, or "
            "leave the mode out"
        )
    found = {"preset": first["preset"], "model": first.get("model", {})}
    return found | ({"stem_motifs": first["stem_motifs"]} if first.get("stem_motifs") else {})


def _recipe(cell: Cell, start: dict[str, Any], shared: dict[str, Any], file: str | Path | None) -> Recipe:
    """Return a cell's recipe: the file's fields, what all cells share, and the cell's own."""
    own: dict[str, Any] = {"mode": cell.mode, "seed": cell.seed, "windows": {"fraction": cell.fraction}}
    if cell.mode == "two-stage":  # of many windows the first stage's passes would take all steps
        shared = _joined({"head_stage": {"max_steps": max(1, shared["max_steps"] // 2)}}, shared)
    return load_recipe(file, **start, **_joined(shared, own))


def _check_windows(recipes: Mapping[Cell, Recipe], store: GenomeStore, base: str) -> None:
    """Refuse a share that leaves too few windows to learn from, before any cell runs."""
    smallest = min(recipes, key=lambda cell: cell.fraction)
    recipe = recipes[smallest]
    if recipe.task == "landscape":
        return
    config: Any = load_sequence_model(base).config
    windows, _, _ = choose_windows(recipe, store, config)
    least = min(_LEAST_WINDOWS, recipe.batch_size)
    if len(windows) < least:
        raise ValueError(
            f"the share {smallest.fraction:g} of the training windows is {len(windows):,}, and a cell needs {least} or "
            "more: leave out the smallest shares, or give more data"
        )


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Lay one dictionary of fields over another, key by key in the nested ones."""
    nested = {key: {**one[key], **value} for key, value in other.items() if isinstance(value, dict) and key in one}
    return {**one, **other, **nested}


def _check_same(folder: Path, asked: dict[str, Any]) -> None:
    """Write down what the curve is of; refuse to go on with another one's cells."""
    file = folder / "asked.json"
    if file.is_file() and (before := json.loads(file.read_text(encoding="utf-8"))) != asked:
        differing = next(key for key in asked if before.get(key) != asked[key])
        raise ValueError(
            f"{folder} holds an unfinished curve with other {differing}; give the same arguments, or delete that folder"
        )
    file.write_text(json.dumps(asked), encoding="utf-8")


def _beside_cells(cells: Sequence[Cell], *, floor: bool, untuned: bool) -> list[Cell]:
    """Return the cells that stand beside the modes: a floor for each fraction and seed, and the base."""
    floors = list(dict.fromkeys(Cell(FLOOR, cell.fraction, cell.seed) for cell in cells)) if floor else []
    return [*floors, *([Cell(BASE, 0.0, 0)] if untuned else [])]


def _missing_beside(
    cell: Cell, modes: Sequence[str], folder: Path, *, base: str, floor: bool, untuned: bool
) -> dict[str, Any]:
    """Say what to measure in a cell's evaluation: its share's floor and the base, where they are not done yet."""
    first = cell.mode == modes[0]
    done = [
        (folder / "rows" / f"{each.name}.json").is_file() for each in _beside_cells([cell], floor=True, untuned=True)
    ]
    return {"floor": floor and first and not done[0], "base": base if untuned and first and not done[1] else None}


def _beside_of(recipe: Recipe, base: str | None, *, floor: bool) -> BesideOf | None:
    """Return what says what to measure beside a cell's model."""
    if base is None and not floor:
        return None

    def beside(model: Any, store: GenomeStore) -> Beside:
        windows = recipe_windows(recipe, model, store) if floor else "measured in another cell"
        if base is None:
            return Beside(windows, "measured in another cell")
        return Beside(
            windows, UntunedBase(Path(base).name if looks_like_path(base) else base, load_sequence_model(base))
        )

    return beside


def _run_cell(
    cell: Cell,
    recipe: Recipe,
    store: GenomeStore,
    folder: Path,
    *,
    part: Part,
    keep: bool,
    device: str | None,
    floor: bool = False,
    base: str | None = None,
) -> None:
    """Train and evaluate a cell, and write its row, and those of what was measured beside it."""
    run = folder / "models" / cell.name
    _forget_peak_memory()
    started = time.monotonic()
    if not is_finished_run(run):
        unfinished = (run / CHECKPOINTS / "recipe.yaml").is_file()
        trained = train(recipe, run, resume=unfinished, device=device, progress=False, say=_silent)
    else:  # stopped between training and evaluation
        trained = json.loads((run / FILE_NAME).read_text(encoding="utf-8"))["training"]
    seconds, memory = time.monotonic() - started, _peak_memory()
    metrics = evaluate_run(
        run,
        store,
        part=part,
        overwrite=True,
        device=device,
        batch_size=recipe.eval_batch_size,
        beside_of=_beside_of(recipe, base, floor=floor),
    )
    told = {
        "windows": trained["windows"]["train"],
        "steps": trained["steps"],
        "best_step": trained["best_step"],
        "seconds": round(seconds, 1),
        "parameters_trained": trained["parameters_trained"],
        "peak_memory_gb": memory,
        "device": trained["device"],
        "valid": trained[f"eval_{recipe.metric}"],
    }
    if floor and metrics["floor"].get("results"):
        cost = {"windows": told["windows"], "seconds": metrics["floor"]["seconds"]}
        _write_row(folder, Cell(FLOOR, cell.fraction, cell.seed), _UNTRAINED | cost, _beside_metrics(metrics, FLOOR))
    if base is not None and metrics["base"].get("results"):
        _write_row(folder, Cell(BASE, 0.0, 0), _UNTRAINED, _beside_metrics(metrics, BASE))
    _write_row(folder, cell, told, headline_metrics(metrics))
    if not keep:
        shutil.rmtree(run)


def _beside_metrics(metrics: dict[str, Any], name: str) -> dict[str, float | None]:
    """Return the metrics of the model, measured on what stands beside it; one that it lacks is None."""
    measured = headline_metrics({"task": metrics.get("task"), **metrics[name]})
    return {metric: measured.get(metric) for metric in headline_metrics(metrics)}


def _write_row(folder: Path, cell: Cell, told: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Write the row of a cell: what is told of its run, and its metrics."""
    with finished_file(folder / "rows" / f"{cell.name}.json", overwrite=True) as partial:
        partial.write_text(
            json.dumps({**asdict(cell), **told, "metrics": metrics}, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )


def _forget_peak_memory() -> None:
    """Let Linux measure this process's peak memory anew; elsewhere it stays that of the whole process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _peak_memory() -> float:
    """Return the peak of this process's memory in GB."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return round(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e6, 2)
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e9 if sys.platform == "darwin" else 1e6), 2)


def _silent(text: str) -> None:
    """Drop a line of narration: a curve tells its cells."""
