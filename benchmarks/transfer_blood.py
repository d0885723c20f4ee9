"""How much a cell-type-agnostic classifier helps with one new blood cell type: `chromhub curve` on six of them.

    python benchmarks/transfer_blood.py --data ../shared/data --work runs [--type NAME ...] [--jobs 2] [--longer]

The base is trained on sites open in any of 85 cell types (recipes/human-dhs-open.yaml). Each blood type is then
learnt from 1, 10 and 100 % of the training windows: from scratch, with a new head alone, with every weight, with
LoRA, and in two stages; three seeds each, the same optimiser steps for all. With `--longer`, scratch runs once more
on all windows of two types, with four times the steps, lest it be judged by a budget too small for it. Test intervals
are read once a run, at its end; settings were chosen on validation windows of chr22.

What is reported, on the test interval: this type's peaks against closed windows of the same GC content, and the
harder one against peaks of other types (AUROC, AUPRC), and the correlation of the logit with log1p of the peak's
signal. Means over types, of means over seeds. Runs that lie in the work folder are not done again, unfinished ones go
on.

The AUROC on validation windows, at each number of training windows, becomes what `chromhub finetune` chooses its mode
by where the user names none: finetune/measured_modes.json is rewritten.
"""

import argparse
import json
import statistics
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from chromhub.finetune.curve_table import curve_figure
from real_data import RECIPES, RESULTS, build_stores, chromhub

MEASURED_MODES = Path(__file__).parent.parent / "finetune" / "measured_modes.json"
FIGURES = Path(__file__).parent.parent / "docs" / "figures"
ALL_TYPES = ("B", "CD4", "CD8", "CLP", "GMP-A", "GMP-B", "GMP-C", "HSC", "LMPP", "MPP", "Mono", "mDC", "pDC")
TYPES = ("B", "CD8", "GMP-B", "HSC", "Mono", "pDC")
MODES = ("scratch", "head", "full", "lora", "two-stage")
FRACTIONS = (0.01, 0.1, 1.0)
SEEDS = 3
STEPS = 120
LONGER = 4  # times the steps, of LONGER_MODES on all windows
LONGER_MODES = ("scratch",)
LONGER_TYPES = ("B", "CD8")
METRICS = ("auroc_other_types", "auprc_other_types", "auroc_closed", "auprc_closed", "peak_signal_pearson")
GENOME = [
    *("--fasta", "human_hg19/hg19_chrX_0-70Mb.fa.gz", "--fasta", "human_hg19/hg19_chr20.fa.gz"),
    *("--fasta", "human_hg19/hg19_chr22_partial.fa.gz", "--genome", "hg19", "--bin-size", "8"),
    *("--blacklist", "blacklists/hg19-blacklist.v2.bed.gz", "--exclude", "chrX:69999930-155270560"),
]
DHS = "DHS=human_hg19/DHS_master_MCV_hg19.bed.gz"
JOB = {
    "split": "human.split.json",
    "stores": {
        "dhs": [*GENOME, "--track", DHS, "--kind", "DHS=peaks", "--peak-value", "name"],
        "blood": [
            *GENOME,
            *(
                argument
                for name in ALL_TYPES
                for argument in ("--track", f"{name}=human_hg19/heme_peaks/{name}_peaks.narrowPeak.gz")
            ),
        ],
    },
}


def curve(name: str, work: Path, *, longer: bool = False) -> Path:
    """Run the curve of one type, or go on with it; return its folder."""
    folder = work / "transfer" / (f"{name}-longer" if longer else name)
    if not folder.exists():
        chosen = {
            "--modes": ",".join(LONGER_MODES if longer else MODES),
            "--fractions": "100" if longer else ",".join(f"{100 * share:g}" for share in FRACTIONS),
            "--seeds": 1 if longer else SEEDS,
            "--max-steps": STEPS * (LONGER if longer else 1),
        }
        options = [part for option in chosen.items() for part in option]
        base, data, recipe = work / "dhs-open", work / "data" / "blood", RECIPES / "human-blood-curve.yaml"
        tracks = ["--set", f"tracks=[{name}]"]
        command = ["curve", "--base", base, "--data", data, "--recipe", recipe, *options, *tracks]
        chromhub(*command, "--threads", 1, "-o", folder)
    return folder


def rows_of(folder: Path) -> list[dict]:
    """Return the cells of a curve."""
    return [json.loads(path.read_text()) for path in sorted((folder / "rows").glob("*.json"))]


def points_of(rows: list[dict]) -> list[dict]:
    """Return each mode and fraction: every metric's mean over seeds with the smallest and largest, and the cost."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["mode"], row["fraction"]].append(row)
    return [
        {
            "mode": mode,
            "fraction": fraction,
            "windows": group[0]["windows"],
            "parameters_trained": group[0]["parameters_trained"],
            "seconds": statistics.median(row["seconds"] for row in group),
            "peak_memory_gb": statistics.median(row["peak_memory_gb"] for row in group),
            "metrics": {metric: spread([row["metrics"][metric] for row in group]) for metric in METRICS},
        }
        for (mode, fraction), group in groups.items()
    ]


def spread(values: list[float]) -> dict[str, float]:
    """Return mean, smallest and largest."""
    return {"mean": statistics.fmean(values), "smallest": min(values), "largest": max(values)}


def over_types(rows: dict[str, list[dict]]) -> list[dict]:
    """Return the points of the mean over types: the mean of each seed over types comes first, then that over seeds."""
    groups = defaultdict(list)
    for of_type in rows.values():
        for row in of_type:
            groups[row["mode"], row["fraction"], row["seed"]].append(row)
    means = [
        {
            **group[0],
            "metrics": {metric: statistics.fmean(row["metrics"][metric] for row in group) for metric in METRICS},
            "windows": round(statistics.fmean(row["windows"] for row in group)),
            "seconds": statistics.median(row["seconds"] for row in group),
        }
        for group in groups.values()
    ]
    return points_of(means)


def measured_modes(rows: dict[str, list[dict]]) -> dict:
    """Return the validation AUROC of each mode by number of training windows, the mean over types and seeds."""
    groups = defaultdict(lambda: defaultdict(list))
    for row in [row for of_type in rows.values() for row in of_type]:
        groups[row["fraction"]][row["mode"]].append(row)
    sizes = [
        {
            "windows": modes["full"][0]["windows"],
            "modes": {
                mode: {
                    "mean": round(statistics.fmean(row["valid"] for row in group), 4),
                    "parameters_trained": group[0]["parameters_trained"],
                }
                for mode, group in modes.items()
            },
        }
        for _, modes in sorted(groups.items())
    ]
    return {"source": "benchmarks/transfer_blood.py", "metric_name": "validation AUROC", "sizes": sizes}


def figure(points: list[dict], metric: str) -> None:
    """Draw one metric of the mean over types."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    drawn = [{**point, **point["metrics"][metric]} for point in points]
    title = f"mean of {len(TYPES)} blood cell types, test interval of chr20"
    curve_figure({"metric": metric, "points": drawn}, FIGURES / f"transfer_blood_{metric}.png", title=title)


def main() -> None:
    """Build, pre-train, run every curve, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs"))
    parser.add_argument("--type", action="append", choices=TYPES, help="repeatable; all by default")
    parser.add_argument("--jobs", type=int, default=1, help="curves at once, one thread each")
    parser.add_argument("--longer", action="store_true", help="four times the steps, on all windows, for two types")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    work, types = arguments.work, arguments.type or TYPES

    build_stores(JOB, arguments.data, work)
    if not (work / "dhs-open" / "provenance.json").exists():
        resume = ["--resume"] if (work / "dhs-open" / "checkpoints").exists() else []
        recipe = ["--recipe", RECIPES / "human-dhs-open.yaml", "--data", work / "data" / "dhs"]
        chromhub("train", *recipe, "-o", work / "dhs-open", *resume)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        rows = {
            name: rows_of(folder)
            for name, folder in zip(types, pool.map(partial(curve, work=work), types), strict=True)
        }
        controls = pool.map(partial(curve, work=work, longer=True), LONGER_TYPES if arguments.longer else ())
        longer = [row for folder in controls for row in rows_of(folder)]
    points = over_types(rows)
    base = json.loads((work / "dhs-open" / "provenance.json").read_text())["training"]
    results = {
        "base": {
            "recipe": "human-dhs-open.yaml",
            "parameters": base["parameters_trained"],
            "auroc": base["eval_auroc"],
        },
        "steps": STEPS,
        "seeds": SEEDS,
        "mean_over_types": points,
        "longer": {
            mode: {
                "steps": STEPS * LONGER,
                "types": LONGER_TYPES,
                "metrics": {
                    metric: statistics.fmean(row["metrics"][metric] for row in longer if row["mode"] == mode)
                    for metric in METRICS
                },
            }
            for mode in LONGER_MODES
            if longer
        },
        "types": {name: points_of(of_type) for name, of_type in rows.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "transfer_blood.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    if set(types) == set(TYPES):
        MEASURED_MODES.write_text(json.dumps(measured_modes(rows), indent=1) + "\n")
    for metric in ("auroc_other_types", "auroc_closed"):
        figure(points, metric)
    if arguments.json:
        print(path.read_text())
        return
    for point in points:
        values = "  ".join(f"{metric} {point['metrics'][metric]['mean']:.3f}" for metric in METRICS)
        print(f"{point['mode']:10s} {100 * point['fraction']:4g} % {point['windows']:7,} windows  {values}")


if __name__ == "__main__":
    main()
