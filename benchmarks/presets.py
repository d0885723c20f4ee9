"""Every architecture on the same data, windows, order and steps: recipes/yeast-presets.yaml with one word changed.

    python benchmarks/presets.py --data ../shared/data --work runs [--preset NAME ...] [--json]

The "-small" form of each preset, and where a preset keeps a quirk of the reference its textbook form beside it, so
that the whole table fits two CPU cores. Nothing was chosen per architecture, so
the table says how far each comes in one pass, not what it can reach. Runs that lie in the work folder are not trained
again, unfinished ones are resumed; the results file is rewritten after each.
"""

import argparse
import json
from pathlib import Path

from chromhub.modeling import PRESETS
from real_data import JOBS, RECIPES, RESULTS, build_stores, chromhub

# What is trained: a preset, and fields of its model that differ.
RUNS: dict[str, tuple[str, list[str]]] = {name: (name, []) for name in PRESETS if name.endswith("-small")} | {
    "lstm-small, every position": ("lstm-small", ["model.stem.padding=same", "model.core.output=position"]),
    "convnext-lstm-small, every position": ("convnext-lstm-small", ["model.core.output=position"]),
    "convnext-transformer-small, RoFormer": (
        "convnext-transformer-small",
        ["model.core.rotary=heads", "model.core.identical_layers=false"],
    ),
    "convnext-xlstm-small, both directions": ("convnext-xlstm-small", ["model.core.bidirectional=true"]),
}
BIN_SIZES = (4, 16, 128, 512)


def run(name: str, work: Path) -> dict:
    """Train one and evaluate it on the test chromosomes, each unless it is there."""
    preset, changed = RUNS[name]
    folder, data = work / "presets" / name.replace(", ", "-").replace(" ", "-"), work / "data" / "yeast"
    if not (folder / "provenance.json").exists():
        resume = ["--resume"] if (folder / "checkpoints").exists() else []
        recipe = RECIPES / "yeast-presets.yaml"
        settings = [argument for change in changed for argument in ("--set", change)]
        chromhub("train", "--recipe", recipe, "--preset", preset, *settings, "--data", data, "-o", folder, *resume)
    if not (folder / "evaluation").exists():
        bins = [argument for size in BIN_SIZES for argument in ("--bin-size", size)]
        chromhub("evaluate", folder, "--data", data, *bins, "--no-floor", "-o", folder / "evaluation")
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    (sets,) = metrics["results"].values()
    record = json.loads((folder / "provenance.json").read_text())
    training = record["training"]
    return {
        "parameters": training["parameters_trained"],
        "steps": training["steps"],
        "windows": training["windows"]["train"],
        "valid_pearson": training["eval_pearson"],
        "test_pearson_log1p": {
            size: by_scale["log1p"]["pearson"] for size, by_scale in sets["genome_wide"]["pooled"].items()
        },
    }


def main() -> None:
    """Train, evaluate, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with yeast/")
    parser.add_argument("--work", type=Path, default=Path("runs"))
    parser.add_argument("--preset", action="append", choices=list(RUNS), help="repeatable; all by default")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    build_stores(JOBS["yeast"], arguments.data, arguments.work)
    path = RESULTS / "presets_yeast.json"
    for name in arguments.preset or RUNS:
        result = run(name, arguments.work)
        results = json.loads(path.read_text()) if path.exists() else {}
        results[name] = result
        path.write_text(json.dumps({key: results[key] for key in RUNS if key in results}, indent=1) + "\n")
        if not arguments.json:
            values = "  ".join(f"{size} bp {value:.3f}" for size, value in result["test_pearson_log1p"].items())
            print(f"{name:40s} {result['parameters']:>10,} parameters  {values}", flush=True)
    if arguments.json:
        print(path.read_text())


if __name__ == "__main__":
    main()
