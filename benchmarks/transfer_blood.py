"""How well an agnostic classifier adapts to six blood cell types that it has not seen: `chromhub curve` on them.

    python benchmarks/transfer_blood.py --data ../shared/data --work runs [--jobs 2] [--seeds 2] [--types-alone B ...]

The base (recipes/human-joint.yaml, human-joint-head.yaml) was trained on sites open in any of 85 cell types and on
seven other blood cell types. B, CD8, GMP-B, HSC, Mono and pDC are learnt from 1, 10 and 100 % of the training windows:
all six in one head ("together"), from scratch, with a new head alone, or with every weight; and one at a time
("alone"), with the head alone, by LoRA, or with every weight. From scratch the stem starts from motifs, as the base's
did. All runs of a kind have the same number of optimiser steps, and keep the weights that were best on validation
windows of chr22. Test intervals are read once a run, at its end. "together-dhs-base" is "together" from a base that
saw the sites of the 85 cell types alone, in as many steps: what the seven blood types bring.

What is reported, on the test interval: each type's peaks against closed windows of the same GC content, and the harder
one against peaks of other types (AUROC, AUPRC); beside them the floor, a ridge on 6-mers of the same training windows,
and the untuned base. Means over types, of means over seeds. Cells that lie in the work folder are not run again.

The AUROC on validation windows, at each number of training windows, becomes what `chromhub finetune` chooses its mode
by where the user names none: finetune/measured_modes.json is rewritten.
"""

import argparse
import gzip
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
SEEN = ("CD4", "CLP", "GMP-A", "GMP-C", "LMPP", "MPP", "mDC")  # by the base
FRACTIONS = (0.01, 0.1, 1.0)
TOGETHER, ALONE = "together", "alone"
LONGER = "together-longer"  # four times the steps, on all windows
DHS_BASE = "together-dhs-base"  # as "together", from a base that saw no blood cell type, trained for as many steps
MODES = {
    TOGETHER: ("scratch", "head", "full"),
    LONGER: ("full", "scratch"),
    DHS_BASE: ("head", "full"),
    ALONE: ("head", "lora", "full"),
}
STEPS = {TOGETHER: 300, LONGER: 1200, DHS_BASE: 300, ALONE: 100}
METRICS = ("auroc_other_types", "auprc_other_types", "auroc_closed", "auprc_closed", "peak_signal_pearson")
GENOME = [
    *("--fasta", "human_hg19/hg19_chrX_0-70Mb.fa.gz", "--fasta", "human_hg19/hg19_chr20.fa.gz"),
    *("--fasta", "human_hg19/hg19_chr22_partial.fa.gz", "--genome", "hg19", "--bin-size", "8"),
    *("--blacklist", "blacklists/hg19-blacklist.v2.bed.gz", "--exclude", "chrX:69999930-155270560"),
]
DHS = "human_hg19/DHS_master_MCV_hg19.bed.gz"
SHARED_BY = (1, 6, 30)  # cell types of 85, one track of the joint base each


def peaks_of(names: tuple[str, ...]) -> list[str]:
    """Return the options that make a track of each blood type's peaks."""
    return [
        argument
        for name in names
        for argument in ("--track", f"{name}=human_hg19/heme_peaks/{name}_peaks.narrowPeak.gz")
    ]


JOB = {
    "split": "human.split.json",
    "stores": {
        "blood": [*GENOME, *peaks_of(ALL_TYPES)],
    },
}


def build_joint(data: Path, work: Path) -> None:
    """Build the store of the joint base: sites open in at least 1, 6 and 30 cell types, and seven blood types."""
    tracks = []
    for least in SHARED_BY:
        path = work / "mcv" / f"DHS{least}.bed.gz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(data / DHS, "rt") as sites, gzip.open(path, "wt") as kept:
                kept.writelines(line for line in sites if int(line.split("\t")[3].removeprefix("MCV-")) >= least)
        tracks += ["--track", f"DHS{least}={path.resolve()}", "--kind", f"DHS{least}=peaks"]
    job = {"split": JOB["split"], "stores": {"blood-joint": [*GENOME, *tracks, *peaks_of(SEEN)]}}
    build_stores(job, data, work)


def train_once(folder: Path, recipe: str, data: Path, *options: object) -> None:
    """Train a run, or go on with it, where it is not finished."""
    if not (folder / "provenance.json").exists():
        resume = ["--resume"] if (folder / "checkpoints").exists() else []
        verb = "finetune" if "--base" in options else "train"
        chromhub(verb, "--recipe", RECIPES / recipe, *options, "--data", data, "-o", folder, *resume)


def curve(name: str, work: Path, *, seeds: int) -> Path:
    """Run the curve of all types together or of one alone, or go on with it; return its folder."""
    folder = work / "transfer-joint" / name
    if not folder.exists():
        kind = name if name in STEPS else ALONE
        chosen = {
            "--modes": ",".join(MODES[kind]),
            "--fractions": "1" if kind == LONGER else ",".join(f"{share:g}" for share in FRACTIONS),
            "--seeds": seeds if kind == TOGETHER else 1,
            "--max-steps": STEPS[kind],
        }
        options = [part for option in chosen.items() for part in option]
        base, data = work / ("dhs-base" if kind == DHS_BASE else "blood-base"), work / "data" / "blood"
        recipe = RECIPES / f"human-blood-{ALONE if kind == ALONE else TOGETHER}.yaml"
        tracks = ["--set", f"tracks=[{name}]" if kind == ALONE else f"tracks=[{','.join(TYPES)}]"]
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
            "seconds": statistics.median(row["seconds"] or 0 for row in group),
            "best_step": statistics.median(row["best_step"] or 0 for row in group),
            "metrics": {metric: spread([row["metrics"][metric] for row in group]) for metric in METRICS},
        }
        for (mode, fraction), group in groups.items()
    ]


def spread(values: list[float | None]) -> dict[str, float] | None:
    """Return mean, smallest and largest; None where one is not known."""
    if None in values:
        return None
    return {"mean": statistics.fmean(values), "smallest": min(values), "largest": max(values)}


def mean_of(values: list[float | None]) -> float | None:
    """Return the mean, None where one is not known."""
    return None if None in values else statistics.fmean(values)


def over_types(rows: dict[str, list[dict]]) -> list[dict]:
    """Return the points of the mean over types: the mean of each seed over types comes first, then that over seeds."""
    groups = defaultdict(list)
    for of_type in rows.values():
        for row in of_type:
            groups[row["mode"], row["fraction"], row["seed"]].append(row)
    means = [
        {
            **group[0],
            "metrics": {metric: mean_of([row["metrics"][metric] for row in group]) for metric in METRICS},
            "windows": round(statistics.fmean(row["windows"] for row in group)),
            "seconds": statistics.median(row["seconds"] or 0 for row in group),
            "best_step": statistics.median(row["best_step"] or 0 for row in group),
        }
        for group in groups.values()
    ]
    return points_of(means)


def measured_modes(rows: list[dict]) -> dict:
    """Return the validation AUROC of each mode by number of training windows, the mean over types learnt alone."""
    groups = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["valid"] is not None:  # of the floor and the base it is not known
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
    parser.add_argument("--types-alone", nargs="*", choices=TYPES, default=list(TYPES), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3, help="of the curve of all types together")
    parser.add_argument("--jobs", type=int, default=1, help="curves at once, one thread each")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    work, alone = arguments.work, arguments.types_alone

    build_stores(JOB, arguments.data, work)
    build_joint(arguments.data, work)
    joint = work / "data" / "blood-joint"
    train_once(work / "blood-joint", "human-joint.yaml", joint)
    train_once(work / "blood-base", "human-joint-head.yaml", joint, "--base", work / "blood-joint")
    sites = f"tracks=[{','.join(f'DHS{least}' for least in SHARED_BY)}]"
    train_once(work / "dhs-joint", "human-joint.yaml", joint, "--set", sites)
    train_once(work / "dhs-base", "human-joint-head.yaml", joint, "--base", work / "dhs-joint")
    with ThreadPoolExecutor(arguments.jobs) as pool:
        names = [TOGETHER, LONGER, DHS_BASE, *alone]
        folders = pool.map(partial(curve, work=work, seeds=arguments.seeds), names)
        rows = {name: rows_of(folder) for name, folder in zip(names, folders, strict=True)}
    together, longer, from_dhs = rows.pop(TOGETHER), rows.pop(LONGER), rows.pop(DHS_BASE)
    base = json.loads((work / "blood-joint" / "provenance.json").read_text())["training"]
    results = {
        "base": {
            "recipe": "human-joint.yaml",
            "parameters": base["parameters_trained"],
            "auroc": base["eval_auroc"],
            "steps": base["steps"],
        },
        "steps": STEPS,
        "types": list(TYPES),
        TOGETHER: points_of(together),
        LONGER: points_of(longer),
        DHS_BASE: points_of(from_dhs),
        ALONE: {"types": alone, "mean_over_types": over_types(rows) if alone else []},
        "each_type_alone": {name: points_of(of_type) for name, of_type in rows.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "transfer_blood.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    if set(alone) == set(TYPES):
        every = [row for of_type in rows.values() for row in of_type]
        MEASURED_MODES.write_text(json.dumps(measured_modes(every), indent=1) + "\n")
    for metric in ("auroc_other_types", "auroc_closed"):
        figure(results[TOGETHER], metric)
    if arguments.json:
        print(path.read_text())
        return
    for kind, points in (
        (TOGETHER, results[TOGETHER]),
        (LONGER, results[LONGER]),
        (DHS_BASE, results[DHS_BASE]),
        (ALONE, results[ALONE]["mean_over_types"]),
    ):
        for point in points:
            values = "  ".join(f"{metric} {point['metrics'][metric]['mean']:.3f}" for metric in METRICS)
            print(
                f"{kind:9s} {point['mode']:8s} {100 * point['fraction']:4g} % {point['windows']:7,} windows  {values}"
            )


if __name__ == "__main__":
    main()
