"""Why a tuned classifier did not tell blood cell types apart: one thing changed at a time, on validation windows.

    python benchmarks/why_tuning_fails.py --data ../shared/data --work runs [--json]

Thirteen blood cell types, windows of 640 bp, each open or closed in each type by the peaks that cover its centre. Every
row is measured on the windows of chr22, the validation part; the test part is not read. Numbers are AUROC, the mean of
B, CD8, GMP-B, HSC, Mono and pDC, of each type's peaks against peaks of other types alone ("other types") and against
windows without a peak of the same GC content ("closed").

First come models that are not tuned: ridge regressions on 6-mer counts and on the features of the shipped base. They
say what is in the sequence, and where. Then networks, each with one change against the row that it names; the last ones
start from a base that seven other blood cell types trained. Runs that lie in the work folder are not made again.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chromhub.datasets_scripts.chosen_tracks import ChosenTracks
from chromhub.datasets_scripts.dataset import WindowPlan, training_windows
from chromhub.datasets_scripts.folds import Part
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.window_labels import LabelRule
from chromhub.inference.class_measures import SETS, ClassWindows
from chromhub.inference.class_predictions import class_logits
from chromhub.inference.evaluate_classes import evaluate_classes
from chromhub.inference.kmer_ridge import kmer_features
from chromhub.inference.load import load_any
from real_data import RECIPES, RESULTS, build_stores, chromhub
from transfer_blood import JOB, TYPES

SHIPPED = Path(__file__).parent.parent / "hub_models" / "convnext-cnn-tiny-dhs-hg19"
LENGTH = 640  # bp
PENALTIES = (1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
BATCH = 256

Features = Callable[[np.ndarray], np.ndarray]
WIDE = RECIPES / "human-blood-joint-types.yaml"
MOTIFS = ("--set", "stem_motifs=jaspar:vertebrates")
MEAN_CORE = (
    "{type: cnn, channels: [128, 128], kernel_size: 5, padding: same, pool_sizes: [16, 2, 2], "
    "dropouts: [0.1, 0.1, 0.2], hidden_size: 128, output: position}"
)
# name: (what is changed, against which row, the recipe, what is set)
SHIPPED_BASE = ["--base", SHIPPED, "--new-head", "--mode", "full"]
JOINT = [
    *("--base", SHIPPED.with_name("cnn-dhs-hg19-joint"), "--mode", "full"),
    *("--recipe", RECIPES / "human-blood-together.yaml", "--set", f"tracks=[{','.join(TYPES)}]"),
]
RUNS: dict[str, tuple[str, str | None, list[Any]]] = {
    "tiny": ("the shipped base, all types in one head, 120 steps at 1e-4", None, [*SHIPPED_BASE, "--max-steps", 120]),
    "tiny-rate": (
        "learning rate 1e-3",
        "tiny",
        [*SHIPPED_BASE, "--max-steps", 120, "--set", "learning_rate=1e-3"],
    ),
    "wide": (
        "256 filters of 15 bp and dense layers that see each position, from scratch, 600 steps",
        None,
        ["--recipe", WIDE, "--max-steps", 600],
    ),
    "wide-mean": (
        "the mean over positions in place of dense layers that see each",
        "wide-motifs",
        ["--recipe", WIDE, "--max-steps", 600, *MOTIFS, "--set", f"model.core={MEAN_CORE}"],
    ),
    "wide-motifs": ("filters that start as motifs", "wide", ["--recipe", WIDE, "--max-steps", 600, *MOTIFS]),
    "wide-between": (
        "a loss over types within a window",
        "wide-motifs",
        ["--recipe", WIDE, "--max-steps", 600, *MOTIFS, "--set", "between_types=0.3"],
    ),
    "wide-steps": (
        "1,200 steps",
        "wide-between",
        ["--recipe", WIDE, "--max-steps", 1200, *MOTIFS, "--set", "between_types=0.3"],
    ),
    "wide-kmers": (
        "a linear part of 6-mer counts beside the network",
        "wide-motifs",
        ["--recipe", WIDE, "--max-steps", 600, *MOTIFS, "--set", "kmers=true"],
    ),
    "joint": ("the joint base, every weight for six types, 300 steps at 1e-3", None, [*JOINT, "--max-steps", 300]),
    "joint-rate": ("learning rate 3e-4", "joint", [*JOINT, "--max-steps", 300, "--set", "learning_rate=3e-4"]),
    "joint-head": ("the head alone", "joint", [*JOINT, "--max-steps", 300, "--mode", "head"]),
    "joint-kmers": (
        "a linear part of 6-mer counts beside the network",
        "joint",
        [*JOINT, "--max-steps", 300, "--set", "kmers=true"],
    ),
    "joint-steps": ("1,200 steps", "joint", [*JOINT, "--max-steps", 1200]),
}


def windows_of(store: GenomeStore, part: Part) -> tuple[np.ndarray, ClassWindows]:
    """Return the base codes (n, 640) of the windows that runs choose of a part, and what is true of them."""
    jitter = 64 if part == "train" else 0
    plan = WindowPlan("peaks+background")
    table, _ = training_windows(store, plan, input_length=LENGTH, max_jitter=jitter, part=part)
    codes = store.gather_codes(store.flat_starts(table), LENGTH)
    return codes, ClassWindows.of(store, table, LabelRule(), negative_ratio=1.0, seed=0)


def mean_auroc(results: dict[str, Any]) -> dict[str, float]:
    """Return the mean over the six types against each set, of `results` of an evaluation."""
    return {name: float(np.mean([results[track][name]["auroc"] for track in TYPES])) for name in SETS}


def ridge_scores(
    features: Features, train: tuple[np.ndarray, ClassWindows], valid: tuple[np.ndarray, ClassWindows]
) -> dict[str, Any]:
    """Fit ridge regressions of the labels on features of the bases; return the best penalty's measures."""
    inputs, held_out = features(train[0]), features(valid[0])
    mean, scale = inputs.mean(0), np.maximum(inputs.std(0), 1e-6)
    inputs, held_out = (inputs - mean) / scale, (held_out - mean) / scale
    targets = train[1].labels.astype(np.float32)
    values, vectors = np.linalg.eigh((inputs.T @ inputs / len(inputs)).astype(np.float64))
    projected = vectors.T @ (inputs.T @ (targets - targets.mean(0)) / len(inputs))
    rotated = held_out @ vectors.astype(np.float32)
    tried = []
    for penalty in PENALTIES:
        scores = rotated @ (projected / (np.maximum(values, 0)[:, None] + penalty))
        tried.append({"penalty": penalty, **mean_auroc(valid[1].measure(scores)["results"])})
    return {"features": inputs.shape[1], **max(tried, key=lambda row: row["other_types"])}


def kmers(*widths: int) -> Features:
    """Return the features that count 6-mers in the central bp, one region a width."""

    def features(codes: np.ndarray) -> np.ndarray:
        return np.concatenate([kmer_features(piece, widths=widths) for piece in pieces_of(codes)])

    return features


def base_features(*, by_position: bool) -> Features:
    """Return the features of the shipped base: their mean over the window, or of each position."""
    model: Any = load_any(SHIPPED).eval()

    @torch.no_grad()
    def features(codes: np.ndarray) -> np.ndarray:
        found = []
        for piece in pieces_of(codes):
            hidden = model(torch.from_numpy(piece)).last_hidden_state
            found.append((hidden.flatten(1) if by_position else hidden.mean(-1)).numpy())
        return np.concatenate(found)

    return features


def pieces_of(codes: np.ndarray) -> list[np.ndarray]:
    """Cut windows into batches."""
    return [codes[i : i + BATCH] for i in range(0, len(codes), BATCH)]


def untuned(codes: np.ndarray, valid: ClassWindows) -> dict[str, float]:
    """Return the measures of the shipped base as it is, one score for all types."""
    model: Any = load_any(SHIPPED).eval()
    scores = np.concatenate(list(class_logits(model, pieces_of(codes), average_rc=False)))
    return mean_auroc(valid.measure(np.repeat(scores, len(valid.names), axis=1))["results"])


def run(name: str, options: list[Any], work: Path, store: GenomeStore, threads: int) -> dict[str, Any]:
    """Train a run where it does not lie in the work folder, and measure it on the validation part."""
    folder = work / "why" / name
    if not (folder / "provenance.json").exists():
        verb = "finetune" if "--base" in options else "train"
        recipe = [] if "--recipe" in options else ["--recipe", RECIPES / "human-blood-curve.yaml"]
        resume = ["--resume"] if (folder / "checkpoints").exists() else []
        common = ["--data", work / "data" / "blood", "--threads", threads, "-o", folder, *resume]
        chromhub(verb, *recipe, *options, *common)
    path = folder / "valid.json"
    if not path.exists():
        model: Any = load_any(folder)
        names = [model.config.id2label[i] for i in range(model.config.num_labels)]
        found = evaluate_classes(model, ChosenTracks.of(store, names), part="valid", batch_size=BATCH)
        path.write_text(json.dumps(found["results"]))
    results = json.loads(path.read_text())
    training = json.loads((folder / "provenance.json").read_text())["training"]
    return {
        "parameters": training["parameters_trained"],
        "steps": training["steps"],
        "seconds": training["wall_seconds"],
        **mean_auroc(results),
    }


def main() -> None:
    """Measure every row, print and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--run", action="append", choices=sorted(RUNS), help="repeatable; all by default")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    work = arguments.work
    build_stores(JOB, arguments.data, work)
    store = GenomeStore.open(work / "data" / "blood")
    path = RESULTS / "why_tuning_fails.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"untuned": {}, "runs": {}}
    if not results["untuned"]:
        train, valid = windows_of(store, "train"), windows_of(store, "valid")
        linear = {
            "6-mers of the window (the floor)": kmers(LENGTH),
            "6-mers of the central 320 bp": kmers(320),
            "6-mers of both": kmers(320, LENGTH),
            "the shipped base's features, mean over the window": base_features(by_position=False),
            "the shipped base's features, each position": base_features(by_position=True),
        }
        results["untuned"] = {
            "the shipped base as it is": untuned(*valid),
            **{name: ridge_scores(features, train, valid) for name, features in linear.items()},
        }
    for name in arguments.run or RUNS:
        changed, against, options = RUNS[name]
        found = run(name, options, work, store, arguments.threads)
        results["runs"][name] = {"changed": changed, "against": against, **found}
        results["runs"] = {each: results["runs"][each] for each in RUNS if each in results["runs"]}
        path.write_text(json.dumps(results, indent=1) + "\n")
    path.write_text(json.dumps(results, indent=1) + "\n")
    if arguments.json:
        print(path.read_text())
        return
    for name, row in (*results["untuned"].items(), *((row["changed"], row) for row in results["runs"].values())):
        print(f"{row['other_types']:.3f}  {row['closed']:.3f}  {name}")


if __name__ == "__main__":
    main()
