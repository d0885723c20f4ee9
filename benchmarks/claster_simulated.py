"""Does a trained landscape model find enhancers that a known rule planted? Simulated chromatin, P1 on every enhancer.

    python benchmarks/claster_simulated.py --work runs/simulated [--json]

A gene's transcription is its promoter's H3K4me3 times the sum of its enhancers' H3K27ac, each weighed by
exp(-distance / 1 kb) within 4 kb (tests/landscape_folder.py). A model is trained on one chromosome, and on another
every enhancer loses its H3K27ac in the landscape of every gene that holds it. A pair counts as regulated where the rule
itself loses a quarter of the gene's transcription or more. Scores are set beside the distance, beside chance, and
beside the rule's own loss in the model's place: its absolute loss ranks pairs less than perfectly by the share lost.
"""

import argparse
import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
from chromhub.datasets_scripts.landscape import LandscapeData
from chromhub.inference.perturbation import Perturbation, element_bins
from chromhub.inference.ranking import average_precision, spearman
from real_data import chromhub

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "claster_simulated.json"
CHROMS = {"a": 9_000_000, "b": 1_200_000, "c": 1_800_000}  # to train, to choose the checkpoint, to test
LOST = 0.25  # share of its transcription that a regulated gene loses
_spec = importlib.util.spec_from_file_location("landscape_folder", ROOT / "tests" / "landscape_folder.py")
assert _spec is not None
assert _spec.loader is not None
landscape_folder = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(landscape_folder)


def planted_pairs(data: LandscapeData, enhancers: pd.DataFrame) -> pd.DataFrame:
    """Return each enhancer with each gene whose landscape holds it, and the share of transcription the rule loses."""
    grid, rows = data.grid, []
    for row in data.rows("test"):
        gene, before = data.genes.iloc[int(row)], np.asarray(data.landscapes[int(row)])
        level = landscape_folder.activity(before[None])[0]
        near = enhancers.loc[(enhancers["chrom"] == gene["chrom"]) & ((enhancers["start"] - gene["tss"]).abs() < 5000)]
        for element in near.to_dict("records"):
            bins = element_bins(
                element["start"],
                element["end"],
                int(str(gene["tss"])),
                num_bins=grid.num_input_bins,
                bin_size=grid.input_bin_size,
            )
            if bins is None or level <= 0:
                continue
            after = Perturbation("p1").apply(before, *bins, names=data.input_tracks, bin_size=grid.input_bin_size)
            lost = 1 - landscape_folder.activity(after[None])[0] / level
            place = {name: element[name] for name in ("chrom", "start", "end")}
            rows.append({**place, "gene": gene["gene"], "regulated": int(lost >= LOST), "lost": lost * level})
    return pd.DataFrame(rows)


def main() -> None:
    """Simulate, train, perturb, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/simulated"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    work = arguments.work
    if not (work / "enhancers.bed").exists():
        data, enhancers = landscape_folder.write_landscape(work / "data", chroms=CHROMS)
        planted_pairs(data, enhancers).to_csv(work / "pairs.tsv", sep="\t", index=False)
        enhancers.to_csv(work / "enhancers.bed", sep="\t", index=False, header=False)
    data, run = LandscapeData.open(work / "data"), work / "run"
    if not (run / "provenance.json").exists():
        recipe = ROOT / "recipes" / "claster-simulated.yaml"
        chromhub("train", "--data", data.path, "--recipe", recipe, "-o", run, "--overwrite")
    if not (run / "evaluation").exists():
        chromhub("evaluate", run, "--data", data.path)
    if not (run / "perturbed").exists():
        places = ("--elements", work / "enhancers.bed", "--pairs", work / "pairs.tsv")
        chromhub("perturb", run, "--data", data.path, *places, "--kind", "p1", "-o", run / "perturbed")
    summary = json.loads((run / "perturbed" / "summary.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())["results"]["RNA0"]
    pairs = pd.read_csv(work / "pairs.tsv", sep="\t")
    found = summary["crispri"]["RNA0"]
    effects = pd.read_csv(run / "perturbed" / "pairs.tsv", sep="\t").merge(pairs, on=["chrom", "start", "end", "gene"])
    predicted, lost = effects["delta"].to_numpy(), effects["lost"].to_numpy()
    results = {
        "genes": {part: len(data.rows(part)) for part in ("train", "valid", "test")},
        "pairs": {"tested": found["pairs"], "regulated": found["regulated"]},
        "effect_and_rule": {
            "pearson": round(float(np.corrcoef(predicted, lost)[0, 1]), 4),
            "spearman": round(spearman(predicted, lost), 4),
        },
        "auprc": {
            **{name: round(score["auprc"], 4) for name, score in found["scores"].items()},
            "random": round(found["random"], 4),
            "the_rule_itself": round(average_precision(pairs["lost"].to_numpy(), pairs["regulated"].to_numpy()), 4),
        },
        "best_threshold": {
            name: {key: round(score[key], 4) for key in ("precision", "recall")}
            for name, score in found["scores"].items()
        },
        "calls": {name: {key: round(value, 4) for key, value in call.items()} for name, call in found["calls"].items()},
        "accuracy": {
            level: {
                predictor: {key: round(scales["raw"][key], 4) for key in ("pearson", "spearman", "r2")}
                for predictor, scales in metrics[level].items()
            }
            for level in ("bins", "genes")
        },
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2) if arguments.json else f"wrote {RESULTS}")


if __name__ == "__main__":
    main()
