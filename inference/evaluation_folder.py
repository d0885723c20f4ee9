"""An evaluation as a folder: the numbers, the same as a table, and pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from ..datasets_scripts.atomic import check_own_folder, finished_file, finished_folder, making
from ..datasets_scripts.dataset import evaluation_windows
from ..datasets_scripts.folds import Part
from ..datasets_scripts.landscape import LandscapeData
from ..datasets_scripts.plain_files import read_json
from ..datasets_scripts.store import GenomeStore
from ..modeling import AtacForTrackPrediction, ClasterForProfileRegression
from .beside import Beside
from .cpu import pick_device
from .evaluate import check_fit, evaluate, flatten_metrics, predicted_and_true
from .evaluate_classes import evaluate_classes, flatten_class_metrics, store_for
from .evaluate_landscape import evaluate_landscape, flatten_landscape_metrics
from .evaluation_figures import calibration, chromosome_points, summit_profiles
from .evaluation_report import write_evaluation_report
from .figures import class_dots, loss_name, scatter, tracks, training_curve
from .load import Classifier, load_any, output_names
from .model_files import EVALUATION_FILES, EVALUATION_MARKS, METRICS
from .names import SHIPPED, resolve
from .provenance import find_provenance, leak_record, refuse_leak
from .track_states import rebin

_SCATTER_WINDOWS = 256
_REGION_TARGETS = 16  # of the picture of a region
_DRAWN_BINS = 4  # bins joined to one in pictures: single ones are thinner than a pixel, and mostly 0 in sparse data


BesideOf = Callable[[AtacForTrackPrediction | Classifier, GenomeStore], Beside]


def default_output(run: str | Path) -> Path:
    """Return where an evaluation goes: RUN/evaluation, or ./NAME-evaluation for a model on the Hub."""
    here = resolve(run).folder
    mine = here is not None and SHIPPED not in here.parents
    return here / "evaluation" if here is not None and mine else Path(f"{Path(run).name}-evaluation")


def evaluate_run(
    run: str | Path,
    store: GenomeStore | LandscapeData,
    output: str | Path | None = None,
    *,
    allow_leak: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    negative_ratio: float = 1.0,
    beside_of: BesideOf | None = None,
    figures: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Evaluate a run and write metrics.json, metrics.tsv and pictures.

    Of a track model these are scatter.png, tracks.png, chromosomes.png, calibration.png and, where there are peaks,
    profiles.png, with report.html; of a classifier classes.png; of a landscape model scatter.png and tracks.png; and
    training_curve.png. A store with more tracks than the model has is seen by the model's alone.

    The curve is drawn where the run has a history.json. An evaluation on the test part that lies in its run's
    folder also becomes RUN/metrics.json, which the model card reads; one that lies elsewhere leaves the run as it is.

    Args:
        run: folder or Hub id of a model.
        store: the data; of a landscape model a landscape folder.
        output: folder to make; None for `default_output`.
        allow_leak: evaluate on what the model was trained or selected on.
        overwrite: replace an existing folder.
        device: as for `pick_device`.
        negative_ratio: closed windows per open one, for a classifier.
        beside_of: says what to measure beside a track model or a classifier, from the model and its data; None measures
            the model alone. Beside a landscape model stands a linear one whatever this says.
        figures: draw the pictures; without them the report of a track model has none.
        **options: of `evaluate`, `evaluate_classes` or `evaluate_landscape`: part, bin_sizes, batch_size, average_rc
            (a landscape has no strands: there False is refused), progress.

    Returns:
        What metrics.json holds: the dictionary of `evaluate` with `model`, `mode`, `seed` (of training) and `leak`:
        `checked` (False where the model, or one it started from, came without provenance), `allowed`, and `overlaps`.

    Raises:
        FileNotFoundError: no such model.
        FileExistsError: `output` exists and `overwrite` is not given.
        ValueError: a leak, or what `evaluate` refuses.
        OSError: the provenance of a model on the Hub cannot be read, and `allow_leak` is not given.
    """
    here = resolve(run).folder  # a path that does not exist is refused before a folder is made in its place
    output = default_output(run) if output is None else output
    output = check_own_folder(
        output,
        overwrite,
        EVALUATION_FILES,
        others="files that are no evaluation",
        marks=EVALUATION_MARKS,
        inputs=[store.path, here],
        may_lie_in=True,
    )
    with making(output, overwrite):
        return _evaluate_into(
            output,
            run,
            store,
            allow_leak=allow_leak,
            overwrite=overwrite,
            device=device,
            negative_ratio=negative_ratio,
            beside_of=beside_of,
            figures=figures,
            **options,
        )


def _evaluate_into(
    output: Path,
    run: str | Path,
    store: GenomeStore | LandscapeData,
    *,
    allow_leak: bool,
    overwrite: bool,
    device: str | None,
    negative_ratio: float,
    beside_of: BesideOf | None,
    figures: bool,
    **options: Any,
) -> dict[str, Any]:
    """Evaluate a run into a folder whose lock is held; arguments as of `evaluate_run`."""
    part = options.get("part", "test")
    try:
        provenance = find_provenance(run)
    except OSError:
        if not allow_leak:
            raise
        provenance = None
    if provenance is not None and not allow_leak:
        refuse_leak(provenance, store, part)
    home = (resolve(run).folder or Path(run)).resolve()
    model = load_any(run)
    if isinstance(model, ClasterForProfileRegression) != isinstance(store, LandscapeData):
        raise ValueError(
            f"{str(run)!r} holds a {type(model).__name__}, which {store.path} is not data for: a landscape model is "
            "evaluated on what `chromhub data build-landscape` makes, any other on what `chromhub data build` makes"
        )
    if isinstance(store, GenomeStore):
        store = store_for(output_names(model), store)
    if isinstance(model, AtacForTrackPrediction):
        check_fit(model.config, cast(GenomeStore, store))
    elif options.pop("bin_sizes", None):
        kind = "a landscape model" if isinstance(store, LandscapeData) else "a classifier"
        raise ValueError(f"--bin-size is for track models, and {str(run)!r} is {kind}: leave it out")
    if isinstance(store, LandscapeData) and not options.pop("average_rc", True):
        raise ValueError("--one-strand is for models that read sequence: leave it out of a landscape model's")
    if beside_of is not None and not isinstance(model, ClasterForProfileRegression):
        options["beside"] = beside_of(model, cast(GenomeStore, store))
    model.to(pick_device(device))  # pyright: ignore[reportArgumentType] - transformers' stub of `to`
    found = {
        "model": str(run),
        "mode": provenance.mode if provenance else None,
        "seed": provenance.seed if provenance else None,
        "leak": leak_record(provenance, store, part, allowed=allow_leak),
    }
    profiles = np.zeros(0)
    if isinstance(model, ClasterForProfileRegression):
        of_landscape, profiles = evaluate_landscape(model, cast(LandscapeData, store), **options)
        metrics = {**found, **of_landscape}
        rows = flatten_landscape_metrics(metrics)
    elif isinstance(model, AtacForTrackPrediction):
        metrics = {**found, **evaluate(model, cast(GenomeStore, store), **options)}
        rows = flatten_metrics(metrics)
    else:
        of_classes = {"negative_ratio": negative_ratio, **options}
        metrics = {**found, **evaluate_classes(model, cast(GenomeStore, store), **of_classes)}
        rows = flatten_class_metrics(metrics)
    text = json.dumps(metrics, indent=2, allow_nan=False) + "\n"
    with finished_folder(output, overwrite, is_held=True) as folder:
        (folder / METRICS).write_text(text, encoding="utf-8")
        rows.to_csv(folder / "metrics.tsv", sep="\t", index=False, float_format="%.6g")
        if not figures:
            pass
        elif isinstance(store, LandscapeData):
            _draw_landscape(folder, store, part, profiles)
        elif isinstance(model, AtacForTrackPrediction):
            _draw(folder, model, store, metrics, batch_size=options.get("batch_size", 64))
        else:
            class_dots(metrics, folder / "classes.png")
        history = home / "history.json"
        if figures and history.exists() and (course := read_json(history, list)):
            metric = "auroc" if metrics.get("task") == "classification" else "pearson"
            training_curve(
                course, folder / "training_curve.png", metric=metric, loss_name=loss_name(model.config, metric)
            )
        if isinstance(model, AtacForTrackPrediction):
            write_evaluation_report(folder, metrics, run=home)
    if part == "test" and home in output.resolve().parents:
        with finished_file(home / METRICS, overwrite=True) as partial:
            partial.write_text(text, encoding="utf-8")
    return metrics


def _draw(
    folder: Path, model: AtacForTrackPrediction, store: GenomeStore, metrics: dict[str, Any], *, batch_size: int
) -> None:
    """Draw predicted against true of windows spread over the part, a region of it, chromosomes and peaks."""
    config = model.config
    chromosome_points(metrics, folder / "chromosomes.png")
    calibration(metrics, folder / "calibration.png")
    windows, _ = evaluation_windows(
        store, metrics["part"], input_length=config.input_length, target_length=config.target_length
    )
    options = {"batch_size": batch_size, "average_rc": metrics["reverse_complement"]}
    join = _DRAWN_BINS if config.target_length % (_DRAWN_BINS * config.bin_size) == 0 else 1
    unit = f"{store.summary} of signal per {join * store.bin_size} bp"

    def pictured(chosen: pd.DataFrame) -> list[np.ndarray]:
        pairs = [pair[1:] for pair in predicted_and_true(model, store, chosen, **options)]
        return [rebin(np.concatenate(side), join, summary=store.summary) for side in zip(*pairs, strict=True)]

    spread = _spread(windows)
    predicted, true = pictured(spread)
    known = ~np.isnan(true)
    scatter(
        predicted[known],
        true[known],
        folder / "scatter.png",
        title=f"{metrics['part']} part, {len(spread):,} of {len(windows):,} windows",
        unit=unit,
    )
    _draw_peaks(folder, model, store, metrics, **options)
    region = _region(model, store, metrics["part"], spread)
    predicted, true = (side.transpose(1, 0, 2).reshape(config.num_tracks, -1) for side in pictured(region))
    tracks(
        predicted,
        np.nan_to_num(true),
        folder / "tracks.png",
        chrom=str(region["chrom"].iloc[0]),
        start=int(region["start"].iloc[0]) + config.crop_bins * config.bin_size,
        bin_size=join * config.bin_size,
        track_names=store.track_names,
        unit=unit,
        peaks=store.peaks,
    )


def _draw_landscape(folder: Path, data: LandscapeData, part: Part, profiles: np.ndarray) -> None:
    """Draw predicted (n, T, N) against true bins, and the profile around one of the strongest genes."""
    rows = data.rows(part)
    true, grid = np.asarray(data.targets[rows]), data.grid
    counted = np.broadcast_to(np.asarray(data.mask[rows], bool)[:, None], true.shape)
    unit = f"mean signal per {grid.bin_size} bp"
    title = f"{part} part, {len(rows):,} genes"
    scatter(profiles[counted], true[counted], folder / "scatter.png", title=title, unit=unit)
    strongest = int(np.argsort(true.sum(axis=(1, 2)), kind="stable")[int(0.99 * (len(rows) - 1))])
    gene = data.genes.iloc[int(rows[strongest])]
    tracks(
        profiles[strongest],
        true[strongest],
        folder / "tracks.png",
        chrom=str(gene["chrom"]),
        start=int(str(gene["tss"])) + grid.target_start,
        bin_size=grid.bin_size,
        track_names=data.track_names,
        unit=unit,
    )


def _draw_peaks(
    folder: Path, model: AtacForTrackPrediction, store: GenomeStore, metrics: dict[str, Any], **options: Any
) -> None:
    """Draw the shape of peaks, where the part has any."""
    if not metrics["shape"]:
        return
    config = model.config
    lengths = {"input_length": config.input_length, "target_length": config.target_length}
    windows, _ = evaluation_windows(store, metrics["part"], kind="peaks", **lengths)
    pairs = [pair[1:] for pair in predicted_and_true(model, store, _spread(windows), **options)]
    predicted, true = (np.concatenate(side) for side in zip(*pairs, strict=True))
    summit_profiles(metrics, folder / "profiles.png", predicted=predicted, true=true, bin_size=config.bin_size)


def _spread(windows: pd.DataFrame) -> pd.DataFrame:
    """Return at most `_SCATTER_WINDOWS` windows, evenly spread."""
    return windows.iloc[np.unique(np.linspace(0, len(windows) - 1, _SCATTER_WINDOWS).astype(int))]


def _region(model: AtacForTrackPrediction, store: GenomeStore, part: Part, windows: pd.DataFrame) -> pd.DataFrame:
    """Return windows whose targets lie side by side around one of the strongest of `windows`.

    The strongest 1 % are passed over where there are that many: on real data they are often artefacts.
    """
    length, context = model.config.target_length, model.config.crop_bins * model.config.bin_size
    starts = store.flat_starts(windows) + context
    measured = store.gather(starts, length)[1] * store.gather_mask(starts, length)
    strength = measured.sum(axis=(1, 2), dtype=np.float64)
    centre = windows.iloc[np.argsort(strength, kind="stable")[int(0.99 * (len(windows) - 1))]]
    target = int(centre["start"]) + context
    intervals = store.split.intervals(part, store.chrom_sizes)
    inside = intervals[intervals["chrom"] == centre["chrom"]]
    low, high = next((s, e) for s, e in zip(inside["start"], inside["end"], strict=True) if s <= target < e)
    first = target - min(_REGION_TARGETS // 2, (target - low) // length) * length
    count = min(_REGION_TARGETS, (high - first) // length)
    region_starts = first + length * np.arange(count) - context
    return pd.DataFrame(
        {"chrom": centre["chrom"], "start": region_starts, "end": region_starts + model.config.input_length}
    )
