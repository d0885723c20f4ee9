"""The HTML report of an evaluation: its numbers, pictures, and where the run comes from, in one file."""

import json
from pathlib import Path
from typing import Any

from ..datasets_scripts.plain_files import read_json
from .beside import measured
from .model_folder import RECORD
from .report import Figure, Section, Table, write_report

_CAPTIONS = {
    "tracks.png": "A region of the part: true signal above, predicted below",
    "scatter.png": "Predicted against true signal",
    "chromosomes.png": "Pearson's r of each chromosome; dashed: all pooled",
    "calibration.png": "Mean true signal of bins of alike predictions, and quantiles of both sides; dashed: equal",
    "profiles.png": "Around summits: mean profiles, and single peaks by their true signal",
    "training_curve.png": "Loss and validation metric of the training run",
    "classes.png": "AUROC and AUPRC of each track",
}


def write_evaluation_report(folder: Path, metrics: dict[str, Any], *, run: str | Path) -> None:
    """Write report.html into a folder that holds the pictures.

    Args:
        folder: of the evaluation.
        metrics: what metrics.json holds, of a track model.
        run: its provenance.json is told, where there is one.
    """
    sections = [
        Section("All chromosomes pooled", table=_pooled(metrics), figures=_figures(folder, "scatter.png")),
        Section("A region", figures=_figures(folder, "tracks.png")),
        Section("By chromosome", table=_by_chrom(metrics), figures=_figures(folder, "chromosomes.png")),
        Section(
            "Peaks", paragraphs=_peak_words(metrics), table=_peaks(metrics), figures=_figures(folder, "profiles.png")
        ),
        Section("Calibration", figures=_figures(folder, "calibration.png")),
    ]
    if (folder / "training_curve.png").exists():
        sections.append(Section("Training", figures=_figures(folder, "training_curve.png")))
    sections.append(Section("Where it comes from", paragraphs=_leak_words(metrics), code=_record(metrics, run)))
    write_report(
        folder / "report.html",
        title=f"Evaluation of {metrics['model']}",
        lead=_lead(metrics),
        sections=sections,
        footer="Made by chromhub evaluate; all numbers are in metrics.json beside this file.",
    )


def _lead(metrics: dict[str, Any]) -> str:
    data = metrics["data"]
    words = []
    for track, sets in metrics["results"].items():
        found = {name: _finest(sets[name]["pooled"]) for name in ("peaks", "genome_wide") if name in sets}
        numbers = " and ".join(f"{_number(found[name][1])} {name.replace('_', '-')}" for name in found)
        size = next(iter(found.values()))[0]
        words.append(f"{track}: Pearson's r of log1p signal in {size}-bp bins is {numbers}")
    return f"The {metrics['part']} part of {data['name']} ({data['genome'] or 'genome not named'}). {'; '.join(words)}."


def _finest(pooled: dict[str, Any]) -> tuple[str, float | None]:
    size = min(pooled, key=int)
    return size, pooled[size]["log1p"]["pearson"]


def _pooled(metrics: dict[str, Any]) -> Table:
    columns = [
        "track",
        "windows",
        "bp",
        "by",
        "Pearson\nlog1p",
        "Pearson\nraw",
        "Spearman",
        "MSE\nlog1p",
        "deviance\nexplained",
    ]
    rows, sides = [], dict(measured(metrics))
    for track, sets in metrics["results"].items():
        for name, result in sets.items():
            for size in result["pooled"]:
                for by, side in sides.items():
                    scales = side["results"].get(track, {}).get(name, {}).get("pooled", {}).get(size, {})
                    if not scales:
                        continue
                    log1p, raw = scales["log1p"], scales.get("raw", {})
                    numbers = (*(found.get("pearson") for found in (log1p, raw)), log1p.get("spearman"))
                    numbers += (log1p["mse"], raw.get("deviance_explained"))
                    rows.append([track, name.replace("_", " "), size, by, *map(_number, numbers)])
    return Table(
        columns,
        rows,
        note=" ".join(
            [
                "Deviance: of a Poisson model, against predicting the mean throughout; raw scale.",
                *_beside_words(metrics),
            ]
        ),
    )


def _beside_words(metrics: dict[str, Any]) -> list[str]:
    """Say what each predictor beside the model is, or why there is none."""
    words = []
    floor, base, ceiling = (metrics.get(name) or {} for name in ("floor", "base", "ceiling"))
    if floor.get("results"):
        words.append(
            f"Floor: a ridge regression on {floor['k']}-mers, on {floor['training_windows']:,} tiles of "
            f"{floor['tile']} bp ({floor['windows']})."
        )
    if base.get("results"):
        words.append(f"Base: {base['model']}, which the model was fine-tuned from.")
    if ceiling.get("results"):
        words.append("Ceiling: how well two random halves of the reads agree.")
    missing = [(name, side["why"]) for name, side in (("floor", floor), ("base", base)) if side.get("why")]
    return [*words, *(f"No {name}: {why}." for name, why in missing)]


def _by_chrom(metrics: dict[str, Any]) -> Table:
    rows = []
    for track, sets in metrics["results"].items():
        for name, result in sets.items():
            for chrom, found in result["chroms"].items():
                size = min(found, key=int)
                log1p, raw = found[size]["log1p"], found[size]["raw"]
                numbers = (log1p["pearson"], raw["pearson"], log1p["spearman"])
                rows.append([track, name.replace("_", " "), chrom, f"{log1p['n']:,}", *map(_number, numbers)])
    return Table(["track", "windows", "chromosome", "bins", "Pearson\nlog1p", "Pearson\nraw", "Spearman"], rows)


def _peaks(metrics: dict[str, Any]) -> Table:
    rows = []
    for track, calls in metrics["peak_calls"].items():
        found = calls["pooled"]
        shape = metrics["shape"].get(track, {}).get("pooled", {})
        counts = [f"{found[key]:,}" for key in ("true", "predicted")]
        numbers = [_number(found[key]) for key in ("precision", "recall", "f1")]
        rows.append([track, f"{calls['rule']['cutoff']:.3g}", *counts, *numbers, _number(shape.get("cosine"))])
    return Table(["track", "cutoff", "true\npeaks", "predicted\npeaks", "precision", "recall", "F1", "cosine"], rows)


def _peak_words(metrics: dict[str, Any]) -> list[str]:
    rule = next(iter(metrics["peak_calls"].values()))["rule"]
    return [
        "Called on true and on predicted signal as MACS's bdgpeakcall does: at or above the cutoff, over gaps of at "
        f"most {rule['max_gap']} bp, at least {rule['min_length']} bp. Two peaks match where they share at least "
        f"{rule['min_overlap']:.0%} of the shorter one."
    ]


def _leak_words(metrics: dict[str, Any]) -> list[str]:
    leak = metrics["leak"]
    if leak.get("unchecked"):
        return [
            f"Whether the model has seen {leak['unchecked'][0]} cannot be told: the data has other bases than it was "
            "trained on, under the same name and length."
        ]
    if not leak["checked"]:
        return ["What the model was trained on is not recorded, so it may have seen these intervals."]
    if leak["overlaps"]:
        return [f"The model was trained or selected on {', '.join(leak['overlaps'][:8])}: the numbers are too good."]
    return ["The model was neither trained nor selected on these intervals."]


def _record(metrics: dict[str, Any], run: str | Path) -> str:
    told = {key: metrics[key] for key in ("model", "mode", "seed", "part", "data", "intervals", "versions")}
    record = Path(run).expanduser() / RECORD
    if record.exists():
        told["provenance"] = read_json(record)
    return json.dumps(told, indent=1)


def _figures(folder: Path, *names: str) -> list[Figure]:
    return [Figure(folder / name, _CAPTIONS[name]) for name in names if (folder / name).exists()]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
