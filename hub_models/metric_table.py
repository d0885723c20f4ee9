"""metrics.json as it is shown: a card's table, the Hub's model-index, the headline of a list."""

import math
from typing import Any

from huggingface_hub import EvalResult

from ..inference.evaluate import POOLED, flatten_metrics

HEADER = ["track", "windows", "chromosomes", "bin", "Pearson, log1p", "Pearson, raw", "MSE, log1p", "bins compared"]
_MAX_NAMED = 5  # leaks that a card names


def table(metrics: dict[str, Any]) -> list[list[str]]:
    """Return the cells below `HEADER`: every bin size pooled, then the finest for each chromosome."""
    finest = _finest(metrics)
    groups: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in _rows(metrics):
        if row["chrom"] == POOLED or row["bin_size"] == finest:
            key = (row["track"], row["set"], row["chrom"], row["bin_size"])
            groups.setdefault(key, {})[row["scale"]] = row
    cells = []
    for (track, name, chrom, bin_size), by_scale in groups.items():
        log1p, raw = by_scale["log1p"], by_scale["raw"]
        numbers = [_shown(log1p["pearson"]), _shown(raw["pearson"]), _shown(log1p["mse"]), f"{log1p['n']:,}"]
        cells.append([track, name, "all" if chrom == POOLED else chrom, f"{bin_size} bp", *numbers])
    return cells


def sentence(metrics: dict[str, Any]) -> str:
    """Say what the numbers were made on."""
    data = metrics["data"]
    genome = f" ({data['genome']})" if data["genome"] else ""
    strands = "the mean of both strands" if metrics["reverse_complement"] else "one strand"
    return (
        f"On the {metrics['part']} part of {data['name']}{genome}, data fingerprint `{data['fingerprint']}`, "
        f"{strands}: {', '.join(metrics['intervals'])}."
    )


def eval_results(metrics: dict[str, Any]) -> list[EvalResult]:
    """Return each pooled Pearson for the Hub's model-index, as exact as metrics.json has it.

    An evaluation on what the model has seen gives none: the index has no room for the caveat.
    """
    if metrics.get("leak", {}).get("overlaps"):
        return []
    data = metrics["data"]
    return [
        EvalResult(
            task_type="other",
            task_name="DNA sequence to chromatin signal",
            dataset_type=data["name"],
            dataset_name=f"{data['name']} ({data['genome']})" if data["genome"] else data["name"],
            dataset_split=metrics["part"],
            dataset_revision=data["fingerprint"],
            metric_type="pearsonr",
            metric_name=f"Pearson r, {row['track']}, {row['set']}, {row['bin_size']} bp, {row['scale']}",
            metric_value=float(row["pearson"]),
        )
        for row in _rows(metrics)
        if row["chrom"] == POOLED and not math.isnan(row["pearson"])
    ]


def headline(metrics: dict[str, Any]) -> dict[str, float]:
    """Return Pearson's r of the finest bins in log1p, pooled, by part and set of windows (and track, of several)."""
    finest, shown = _finest(metrics), {}
    for row in _rows(metrics):
        at_finest = row["bin_size"] == finest and row["scale"] == "log1p" and row["chrom"] == POOLED
        if at_finest and not math.isnan(row["pearson"]):
            track = [row["track"]] if len(metrics["results"]) > 1 else []
            shown[" ".join([metrics["data"]["name"], metrics["part"], row["set"], *track])] = row["pearson"]
    return shown


def caveat(metrics: dict[str, Any]) -> str:
    """Say what speaks against the numbers: what the model had seen of the data; "" where nothing does."""
    leak = metrics.get("leak", {"checked": False, "overlaps": []})
    if not leak["checked"]:
        return "What the model was trained on is not recorded, so it may have seen these intervals."
    if not leak["overlaps"]:
        return ""
    named, more = leak["overlaps"][:_MAX_NAMED], len(leak["overlaps"]) - _MAX_NAMED
    return (
        f"The model, or one it started from, was trained or chosen on {', '.join(named)}"
        f"{f' and {more} more' if more > 0 else ''}: these numbers do not tell how it does on new sequence."
    )


def _rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results row by row, with the columns of metrics.tsv; NaN where not defined."""
    return flatten_metrics(metrics).to_dict("records")


def _finest(metrics: dict[str, Any]) -> int:
    return min((row["bin_size"] for row in _rows(metrics)), default=0)


def _shown(number: float) -> str:
    return "not defined" if math.isnan(number) else f"{number:.4f}"
