"""CLASTER on real data, as a user does it: build, train with and without contacts, evaluate, perturb, attribute; yeast.

    python benchmarks/claster_yeast.py --data ../shared/data --work runs/claster [--json]

MNase, PolII and Scc1 of chromosomes II, IV and XVI give RNA (both strands summed) around 1,790 start sites; a 10-kb
Hi-C map is the structure. The input is scaled to the genome: 20 kb in bins of 50 bp, 41 bins of 200 bp predicted. Each
chromosome is held out once; another chooses the checkpoint and the third alone trains. A linear model is fitted on the
same genes. Where chromosome IV is held out, which the shipped ATAC-seq model has not seen either, a head on that frozen
sequence model is trained for the same targets. The BED has start sites alone, so of `genes` each is the one bin that
holds its start site.

Steps whose result lies in the work folder are not done again. Wall clock is not measured here.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import yaml
from real_data import chromhub

RESULTS = Path(__file__).parent / "results"
RECIPES = Path(__file__).parent.parent / "recipes"
TRACKS = ("MNase", "PolII", "Scc1")
FOLDS = (("IV", "II", "XVI"), ("XVI", "IV", "II"), ("II", "XVI", "IV"))  # train, valid, test
RUNS = {"landscape": "claster-yeast.yaml", "landscape+contacts": "claster-yeast-contacts.yaml"}
GRID = {
    **{"--input-bins": 401, "--input-bin-size": 50, "--bins": 41, "--bin-size": 200, "--smoothing": 200},
    "--contact-bins": 21,
}
SEQUENCE_MODEL = Path(__file__).parent.parent / "hub_models" / "convnext-dcnn-small-atac-saccer3"
SEQUENCE_FOLD = "IV"  # neither trained on nor chosen on by that model
LEVELS = ("bins", "genes", "start_sites")
NUMBERS = (("pearson_log2p1", "log2p1", "pearson"), ("pearson_raw", "raw", "pearson"), ("spearman", "raw", "spearman"))


def build(inputs: Path, folder: Path, valid: str, test: str) -> None:
    """Build a landscape folder once."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    tracks = [part for name in TRACKS for part in ("--track", f"{name}={inputs / f'tc_{name}.bw'}")]
    targets = [part for strand in ("fwd", "rev") for part in ("--target", f"RNA={inputs / f'tc_RNA.{strand}.bw'}")]
    grid = [part for pair in GRID.items() for part in pair]
    places = ("--genes", inputs / "TSSs.bed", "--chroms", "II,IV,XVI", "--contacts", inputs / "yeast.10kb.cool")
    split = ("--valid", valid, "--test", test, "--genome", "sacCer3")
    chromhub("data", "build-landscape", *tracks, *targets, *grid, *places, *split, "-o", folder)


def perturb(run: Path, data: Path, inputs: Path, chrom: str) -> dict:
    """Take PolII away around each start site of the test chromosome, and see which gene loses most."""
    folder, bed = run / "perturbed", run / "promoters.bed"
    if not folder.exists():
        rows = [line.split() for line in (inputs / "TSSs.bed").read_text().splitlines()]
        unique = {int(row[1]): row[3] for row in rows if row[0] == chrom}
        bed.write_text("".join(f"{chrom}\t{max(0, p - 250)}\t{p + 250}\t{name}\n" for p, name in unique.items()))
        options = ("--kind", "zero", "--tracks", "PolII", "--figures", "1")
        chromhub("perturb", run, "--data", data, "--elements", bed, *options, "-o", folder)
    summary = json.loads((folder / "summary.json").read_text())
    decay = np.genfromtxt(folder / "decay.tsv", delimiter="\t", names=True)
    return {
        "what": "PolII to 0 within 250 bp of each start site of the test chromosome",
        "closest_is_primary": summary["closest_is_primary"],
        "pairs": summary["pairs"],
        "decay": [{name: round(float(row[name]), 4) for name in ("from_bp", "to_bp", "mean")} for row in decay],
    }


def attribute(run: Path, data: Path) -> dict:
    """Return each track's peak of attribution, and the distance beyond which it is below a fifth of it."""
    folder = run / "attribution"
    if not folder.exists():
        chromhub("attribute-landscape", run, "--data", data, "--genes", 50, "-o", folder)
    summary = json.loads((folder / "summary.json").read_text())
    tracks = {
        name: {"peak": round(found["peak"], 4), "reach_bp": found["reach_bp"]}
        for name, found in summary["tracks"]["RNA"].items()
    }
    return {**{key: summary[key] for key in ("genes", "maps", "steps")}, "tracks": tracks}


def sequence(work: Path, data: Path, fasta: Path) -> dict:
    """Return the numbers of a head on the frozen sequence model."""
    folder = work / f"sequence-{SEQUENCE_FOLD}"
    if not folder.exists():
        chromhub("sequence-baseline", SEQUENCE_MODEL, "--data", data, "--fasta", fasta, "--epochs", 15, "-o", folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    keys = ("checked", "overlaps")
    return {"model": SEQUENCE_MODEL.name, "leak": {key: metrics["leak"][key] for key in keys}, **fold_numbers(metrics)}


def fold_numbers(metrics: dict) -> dict:
    """Return the numbers of a fold, by level and predictor."""
    levels = metrics["results"]["RNA"]
    return {
        level: {
            predictor: {
                "n": scales["raw"]["n"],
                **{name: round(scales[scale][key], 4) for name, scale, key in NUMBERS},
                "r2_raw": round(scales["raw"]["r2"], 4),
            }
            for predictor, scales in levels[level].items()
        }
        for level in LEVELS
    }


def mean_numbers(folds: list[dict]) -> dict:
    """Return the mean over folds, by level and predictor."""
    return {
        level: {
            predictor: {
                name: round(float(np.mean([fold[level][predictor][name] for fold in folds])), 4)
                for name in ("pearson_log2p1", "pearson_raw", "spearman", "r2_raw")
            }
            for predictor in folds[0][level]
        }
        for level in LEVELS
    }


def main() -> None:
    """Do all folds and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/claster"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    inputs = arguments.data / "yeast" / "landscape"
    if not inputs.is_dir():
        parser.error(f"no data folder {inputs}; give --data")

    results: dict = {"grid": {name.lstrip("-"): value for name, value in GRID.items()}, "runs": {}}
    for name, recipe in RUNS.items():
        folds = {}
        for train, valid, test in FOLDS:
            data, run = arguments.work / "data" / f"test-{test}", arguments.work / f"{name}-{test}"
            build(inputs, data, valid, test)
            if not (run / "provenance.json").exists():
                chromhub("train", "--data", data, "--recipe", RECIPES / recipe, "-o", run, "--overwrite")
            if not (run / "evaluation").exists():
                chromhub("evaluate", run, "--data", data)
            training = json.loads((run / "provenance.json").read_text())["training"]
            folds[test] = {
                "train": train,
                "valid": valid,
                "best_step": training["best_step"],
                "parameters": training["parameters_trained"],
                **fold_numbers(json.loads((run / "metrics.json").read_text())),
            }
            if name == "landscape":
                folds[test]["perturbation"] = perturb(run, data, inputs, test)
                folds[test]["attribution"] = attribute(run, data)
        results["runs"][name] = {
            "recipe": yaml.safe_load((RECIPES / recipe).read_text()),
            "mean": mean_numbers(list(folds.values())),
            "test_chromosomes": folds,
        }
    fasta = arguments.data / "yeast" / "sacCer3_nuclear.fa.gz"
    fold = arguments.work / "data" / f"test-{SEQUENCE_FOLD}"
    results["sequence"] = {"test_chromosomes": {SEQUENCE_FOLD: sequence(arguments.work, fold, fasta)}}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "claster_yeast.json"
    path.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2) if arguments.json else f"wrote {path}")


if __name__ == "__main__":
    main()
