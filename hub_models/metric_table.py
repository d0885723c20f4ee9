"""metrics.json as it is shown: a card's table, the Hub's model-index, the headline of a list."""

import math
from typing import Any

import pandas as pd
from huggingface_hub import EvalResult

from ..inference.beside import MODEL, measured
from ..inference.class_measures import MEAN
from ..inference.evaluate import flatten_metrics
from ..inference.evaluate_classes import TASK, flatten_class_metrics
from ..inference.evaluate_landscape import TASK as LANDSCAPE
from ..inference.evaluate_landscape import flatten_landscape_metrics
from ..inference.track_states import POOLED

HEADER = ["track", "windows", "chromosomes", "bin", "Pearson, log1p", "Pearson, raw", "MSE, log1p", "bins compared"]
CLASS_HEADER = ["track", "against", "windows", "of them open", "AUROC", "AUPRC"]
LANDSCAPE_HEADER = ["track", "of", "by", "n", "Pearson, log2", "Pearson, raw", "Spearman", "R2, raw"]
_LEVEL_NAMES = {"bins": "bins", "genes": "genes", "start_sites": "start sites"}
_MAX_NAMED = 5  # leaks that a card names


def header(metrics: dict[str, Any]) -> list[str]:
    """Return the titles of the columns of `table`; those of what stands beside the model last, where it was made."""
    titles = {TASK: CLASS_HEADER, LANDSCAPE: LANDSCAPE_HEADER}.get(metrics.get("task", ""), HEADER)
    measure = "AUROC" if metrics.get("task") == TASK else "Pearson, log1p"
    return [*titles, *(f"{measure}, {name}" for name in beside(metrics)), *(["gain"] if _gain(metrics) else [])]


def beside(metrics: dict[str, Any]) -> list[str]:
    """Return what stands beside the model's numbers: some of "base", "floor" and "ceiling"."""
    return [name for name, _ in measured(metrics) if name != MODEL]


def table(metrics: dict[str, Any]) -> list[list[str]]:
    """Return the cells below `header`: every bin size pooled, then the finest for each chromosome.

    Of a landscape model: bins, genes and start sites, the model and beside it the linear one. Of a classifier: each
    track against closed windows and against other types' peaks, and the means.
    """
    if metrics.get("task") == TASK:
        return _class_table(metrics)
    if metrics.get("task") == LANDSCAPE:
        return [
            [
                track,
                _LEVEL_NAMES[level],
                predictor,
                f"{scales['raw']['n']:,}",
                *(
                    "not defined" if scales[scale][key] is None else f"{scales[scale][key]:.4f}"
                    for scale, key in (("log2p1", "pearson"), ("raw", "pearson"), ("raw", "spearman"), ("raw", "r2"))
                ),
            ]
            for track, levels in metrics["results"].items()
            for level, predictors in levels.items()
            for predictor, scales in predictors.items()
        ]
    finest = _finest(metrics)
    groups: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    others: dict[tuple[Any, ...], float] = {}
    for row in flatten_metrics(metrics).to_dict("records"):
        key = (row["track"], row["set"], row["chrom"], row["bin_size"])
        if row["of"] != MODEL:
            others[key, row["of"], row["scale"]] = row["pearson"]
        elif row["chrom"] == POOLED or row["bin_size"] == finest:
            groups.setdefault(key, {})[row["scale"]] = row
    cells = []
    for (track, name, chrom, bin_size), by_scale in groups.items():
        log1p, raw = by_scale["log1p"], by_scale["raw"]
        numbers = [_shown(log1p["pearson"]), _shown(raw["pearson"]), _shown(log1p["mse"]), f"{log1p['n']:,}"]
        found = (others.get(((track, name, chrom, bin_size), of, "log1p")) for of in beside(metrics))
        numbers += ["" if number is None else _shown(number) for number in found]
        cells.append([track, name, "all" if chrom == POOLED else chrom, f"{bin_size} bp", *numbers])
    return cells


def sentence(metrics: dict[str, Any]) -> str:
    """Say what the numbers were made on."""
    data = metrics["data"]
    genome = f" ({data['genome']})" if data["genome"] else ""
    strands = "the mean of both strands" if metrics["reverse_complement"] else "one strand"
    if metrics.get("task") == LANDSCAPE:
        strands = f"{metrics['windows']['genes']:,} genes"
    return (
        f"On the {metrics['part']} part of {data['name']}{genome}, data fingerprint `{data['fingerprint']}`, "
        f"{strands}: {', '.join(metrics['intervals'])}."
    )


def eval_results(metrics: dict[str, Any]) -> list[EvalResult]:
    """Return each pooled Pearson, or AUROC and AUPRC, for the Hub's model-index, as exact as metrics.json has it.

    An evaluation on what the model has seen gives none: the index has no room for the caveat.
    """
    if metrics.get("leak", {}).get("overlaps"):
        return []
    if metrics.get("task") == TASK:
        return [
            _eval_result(metrics, key, f"{key.upper()}, {row['track']}, {row['set']}", row[key])
            for row in flatten_class_metrics(metrics).to_dict("records")
            if row["of"] == MODEL
            for key in ("auroc", "auprc")
            if not math.isnan(row[key])
        ]
    if metrics.get("task") == LANDSCAPE:
        return [
            _eval_result(
                metrics, kind, f"{name}, {row['track']}, {row['level'].replace('_', ' ')}, {row['scale']}", row[key]
            )
            for row in flatten_landscape_metrics(metrics).to_dict("records")
            if row["predictor"] == "model"
            for key, kind, name in (("pearson", "pearsonr", "Pearson r"), ("spearman", "spearmanr", "Spearman r"))
            if not math.isnan(row[key]) and (key == "pearson" or row["scale"] == "raw")
        ]
    return [
        _eval_result(
            metrics,
            "pearsonr",
            f"Pearson r, {row['track']}, {row['set']}, {row['bin_size']} bp, {row['scale']}",
            row["pearson"],
        )
        for row in _rows(metrics)
        if row["chrom"] == POOLED and not math.isnan(row["pearson"])
    ]


def headline(metrics: dict[str, Any]) -> dict[str, float]:
    """Return Pearson's r of the finest bins in log1p, pooled, by part and set of windows (and track, of several)."""
    if metrics.get("task") == TASK:
        where = f"{metrics['data']['name']} {metrics['part']}"
        return {f"{where} {name} AUROC": m["auroc"] for name, m in metrics[MEAN].items() if m["auroc"] is not None}
    if metrics.get("task") == LANDSCAPE:
        rows = flatten_landscape_metrics(metrics)
        rows = rows.loc[(rows["predictor"] == "model") & (rows["scale"] == "log2p1") & rows["pearson"].notna()]
        where = f"{metrics['data']['name']} {metrics['part']}"
        several = len(metrics["results"]) > 1
        return {
            " ".join([where, row["level"].replace("_", " "), *([row["track"]] if several else [])]): row["pearson"]
            for row in rows.to_dict("records")
        }
    finest, shown = _finest(metrics), {}
    for row in _rows(metrics):
        at_finest = row["bin_size"] == finest and row["scale"] == "log1p" and row["chrom"] == POOLED
        if at_finest and not math.isnan(row["pearson"]):
            track = [row["track"]] if len(metrics["results"]) > 1 else []
            shown[" ".join([metrics["data"]["name"], metrics["part"], row["set"], *track])] = row["pearson"]
    return shown


def check_metrics(metrics: dict[str, Any], where: str) -> None:
    """Refuse the content of a metrics.json that cannot be shown: every reader of it is tried.

    Raises:
        ValueError: a part is missing or of another type.
    """
    try:
        for reader in (header, beside, table, sentence, eval_results, headline, caveat):
            reader(metrics)
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of its readers is a fault of the file
        why = " ".join(f"{type(error).__name__} {error}".split())
        raise ValueError(f"{where} is not what `chromhub evaluate` wrote ({why:.200}); evaluate again") from None


def caveat(metrics: dict[str, Any]) -> str:
    """Say what speaks against the numbers: what the model had seen of the data; "" where nothing does."""
    leak = metrics.get("leak", {"checked": False, "overlaps": []})
    if leak.get("unchecked"):
        return (
            f"Whether the model has seen {leak['unchecked'][0]} cannot be told: the data has other bases than it was "
            "trained on, under the same name and length."
        )
    if not leak["checked"]:
        return "What the model was trained on is not recorded, so it may have seen these intervals."
    if not leak["overlaps"]:
        return ""
    named, more = leak["overlaps"][:_MAX_NAMED], len(leak["overlaps"]) - _MAX_NAMED
    return (
        f"The model, or one it started from, was trained or chosen on {', '.join(named)}"
        f"{f' and {more} more' if more > 0 else ''}: these numbers do not tell how it does on new sequence."
    )


def _eval_result(metrics: dict[str, Any], kind: str, name: str, value: float) -> EvalResult:
    """Return one number for the model-index."""
    data = metrics["data"]
    named = {TASK: "DNA sequence to open chromatin", LANDSCAPE: "Chromatin landscape to transcription"}
    return EvalResult(
        task_type="other",
        task_name=named.get(metrics.get("task", ""), "DNA sequence to chromatin signal"),
        dataset_type=data["name"],
        dataset_name=f"{data['name']} ({data['genome']})" if data["genome"] else data["name"],
        dataset_split=metrics["part"],
        dataset_revision=data["fingerprint"],
        metric_type=kind,
        metric_name=name,
        metric_value=float(value),
    )


def _rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the model's results row by row, with the columns of metrics.tsv; NaN where not defined."""
    return [row for row in flatten_metrics(metrics).to_dict("records") if row["of"] == MODEL]


def _class_table(metrics: dict[str, Any]) -> list[list[str]]:
    """Return the cells of a classifier's table."""
    rows = flatten_class_metrics(metrics).to_dict("records")
    others = {(row["track"], row["set"], row["of"]): row["auroc"] for row in rows}
    gain, cells = _gain(metrics), []
    for row in rows:
        if row["of"] != MODEL:
            continue
        counts = ("" if pd.isna(row[key]) else f"{row[key]:,}" for key in ("n", "positives"))
        numbers = [row["auroc"], row["auprc"], *(others[row["track"], row["set"], of] for of in beside(metrics))]
        cells.append([row["track"], row["set"], *counts, *map(_shown, numbers)])
        if gain:
            value = {**gain["tracks"], MEAN: gain[MEAN]}.get(row["track"])
            cells[-1].append("" if row["set"] != "other_types" else "not defined" if value is None else f"{value:.4f}")
    return cells


def _gain(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return what fine-tuning added to the base, of a classifier whose base was measured."""
    return (metrics.get("base") or {}).get("gain") or {}


def _finest(metrics: dict[str, Any]) -> int:
    return min((row["bin_size"] for row in _rows(metrics)), default=0)


def _shown(number: float) -> str:
    return "not defined" if math.isnan(number) else f"{number:.4f}"
