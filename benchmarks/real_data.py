"""The main job on real data: build, train, fine-tune and evaluate as a user does, beside a floor and a ceiling.

    python benchmarks/real_data.py yeast|celegans --data ../shared/data --work runs [--json]

Steps whose result lies in the work folder are not done again; a training run that was cut off is resumed.
Two numbers frame the model's test Pearson (log1p of the signal summed in bins), both made here on the same test
intervals as the model's:

* floor: ridge regression on log1p of the 6-mer counts of 512-bp tiles, both strands pooled, its penalty chosen on the
  validation tiles; beside it the floor that came with the data (its README), made with other choices.
* ceiling: the agreement of disjoint random halves of the fragments; what two experiments of half the depth share.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.store_inputs import TrackSource
from chromhub.datasets_scripts.windows import tile_intervals
from chromhub.inference.floor import TILE, FloorWindows, fit_track_floor, predict_tiles
from chromhub.inference.half_agreement import half_agreement
from chromhub.inference.metrics import PearsonState
from chromhub.modeling import AtacConfig

RESULTS = Path(__file__).parent / "results"
RECIPES = Path(__file__).parent.parent / "recipes"
BIN_SIZES = (4, 16, 128, 512)

WORM = [
    *("--fasta", "celegans/ce11.fa.gz", "--genome", "ce11"),
    *("--peaks", "celegans/ce11_regulatory_elements.bed.gz"),
    *("--blacklist", "blacklists/ce11-blacklist.v2.bed.gz"),
]
# One entry a species: how the stores are built, which recipe makes which run, and the fragments behind each store.
JOBS = {
    "yeast": {
        "stores": {  # 4,-4 puts both ends on the centre of the Tn5 site; 4,-5 is what many pipelines do
            name: [
                *("--fasta", "yeast/sacCer3_nuclear.fa.gz", "--genome", "sacCer3"),
                *("--fragments", "atac=yeast/yeast_500k_SRR1822137.bedpe.gz", "--tn5-shift", shift),
                *("--summary", "sum"),
            ]
            for name, shift in (("yeast", "4,-5"), ("yeast-centred", "4,-4"))
        },
        "split": "yeast.split.json",
        "runs": {"yeast": {"store": "yeast-centred", "recipe": "yeast.yaml"}},
        "floor_stated": {"yeast-centred": 0.64},
        "fragments": {"yeast-centred": ("yeast/yeast_500k_SRR1822137.bedpe.gz", (4, -4))},
    },
    "celegans": {  # a base of both tissues' fragments together, fine-tuned to each; neurons from scratch beside it
        "stores": {
            "worm-pooled": [*WORM, "--fragments", "pooled={work}/worm-pooled.bed.gz"],
            **{
                tissue: [
                    *(*WORM, "--track", f"{tissue}=celegans/ATAC_{tissue.capitalize()}.insertions.ce11.bw"),
                    *("--summary", "sum"),
                ]
                for tissue in ("germline", "neurons")
            },
        },
        "pooled": {
            "worm-pooled.bed.gz": [
                f"celegans/ATAC_{tissue}_Serizay2020_ce11.union3.fragments.bed.gz" for tissue in ("Germline", "Neurons")
            ],
        },
        "split": "celegans.split.json",
        "runs": {
            "celegans-pooled": {"store": "worm-pooled", "recipe": "celegans-pooled.yaml"},
            **{
                f"celegans-{name}": {
                    "store": name.split("-")[0],
                    "recipe": f"celegans-{name}.yaml",
                    "base": "celegans-pooled",
                }
                for name in ("germline", "neurons-lora", "neurons-full")
            },
            "celegans-neurons-scratch": {"store": "neurons", "recipe": "celegans-neurons-scratch.yaml"},
        },
        "floor_stated": {"germline": 0.36, "neurons": 0.38},
        "fragments": {
            tissue: (f"celegans/ATAC_{tissue.capitalize()}_Serizay2020_ce11.union3.fragments.bed.gz", (0, 0))
            for tissue in ("germline", "neurons")
        },
    },
}


def chromhub(*arguments: object) -> None:
    """Run a chromhub command; its narration stays visible."""
    command = [sys.executable, "-m", "chromhub", *map(str, arguments)]
    print("+ chromhub", *arguments, file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=sys.stderr)


def build_stores(job: dict, data: Path, work: Path) -> dict[str, GenomeStore]:
    """Build each store of the job once, of files in the data folder, or in the work folder where `{work}` says so."""
    for name, parts in job.get("pooled", {}).items():
        if not (work / name).exists():
            work.mkdir(parents=True, exist_ok=True)
            with (work / name).open("wb") as pooled:  # gzip files one after the other are a gzip file
                for part in parts:
                    pooled.write((data / part).read_bytes())
    stores = {}
    for name, arguments in job["stores"].items():
        folder = work / "data" / name
        if not folder.exists():
            paths = [
                argument.format(work=work)
                if "{work}" in argument
                else f"{argument.split('=')[0]}={data / argument.split('=')[1]}"
                if "=" in argument and "/" in argument
                else data / argument
                if "/" in argument
                else argument
                for argument in arguments
            ]
            folder.parent.mkdir(parents=True, exist_ok=True)
            chromhub("data", "build", *paths, "--split", RECIPES / job["split"], "-o", folder)
        stores[name] = GenomeStore.open(folder)
    return stores


def train_runs(job: dict, work: Path) -> None:
    """Train each run of the job, or go on where it was cut off."""
    for name, run in job["runs"].items():
        folder = work / name
        if (folder / "provenance.json").exists():
            continue
        verb = ["finetune", "--base", work / run["base"]] if "base" in run else ["train"]
        resume = ["--resume"] if (folder / "checkpoints").exists() else []
        chromhub(
            *verb, "--recipe", RECIPES / run["recipe"], "--data", work / "data" / run["store"], "-o", folder, *resume
        )


def evaluate_run(work: Path, name: str, store: str) -> dict:
    """Evaluate a run on its test intervals."""
    folder = work / name / "evaluation"
    if not folder.exists():
        bins = [argument for size in BIN_SIZES for argument in ("--bin-size", size)]
        options = [*bins, "--no-floor", "-o", folder]  # the floor is that of the store: `ridge_floor`
        chromhub("evaluate", work / name, "--data", work / "data" / store, *options)
    return json.loads((folder / "metrics.json").read_text())


def ridge_floor(store: GenomeStore) -> float:
    """Return the test Pearson of a 6-mer ridge on 512-bp tiles of the store's first track."""
    config = AtacConfig(
        input_length=TILE, target_length=TILE, bin_size=store.bin_size, target_summary=store.summary
    )  # of tiles without context
    tiles = {
        part: tile_intervals(
            store.split.intervals(part, store.chrom_sizes), length=TILE, stride=TILE, align=store.bin_size
        )
        for part in ("train", "valid", "test")
    }
    ridge, _ = fit_track_floor(store, FloorWindows(tiles["train"], tiles["valid"], "the training part"), config)
    state = PearsonState()
    for _, predicted, true in predict_tiles(ridge, store, tiles["test"], config):
        state.update(*(np.log1p(side[:, 0]) for side in (predicted, true)))
    return state.compute()


def ceiling(fragments: Path, store: GenomeStore, shift: tuple[int, int]) -> dict[str, float]:
    """Return the log1p Pearson of two random halves of the fragments on the test intervals, a bin size."""
    reads = TrackSource.parse(str(fragments), reads=True, tn5_shift=shift)
    found = half_agreement(reads, store, store.split.intervals("test", store.chrom_sizes), BIN_SIZES)
    return {size: numbers["pearson"] for size, numbers in found.items()}


def main() -> None:
    """Do the job and write its results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=sorted(JOBS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    job = JOBS[arguments.job]
    if not arguments.data.is_dir():
        parser.error(f"no data folder {arguments.data}; give --data")

    stores = build_stores(job, arguments.data, arguments.work)
    train_runs(job, arguments.work)
    frames = {}
    for name, (fragments, shift) in job["fragments"].items():
        store = stores[name]
        frames[name] = {
            "floor_512bp_6mer_ridge": ridge_floor(store),
            "floor_stated": job["floor_stated"][name],
            "ceiling_half_agreement": ceiling(arguments.data / fragments, store, shift),
        }
    results = {
        name: {
            "recipe": yaml.safe_load((RECIPES / run["recipe"]).read_text()),
            "training": json.loads((arguments.work / name / "provenance.json").read_text())["training"],
            "metrics": evaluate_run(arguments.work, name, run["store"]),
            **frames[run["store"]],
        }
        for name, run in job["runs"].items()
        if run["store"] in frames
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"real_data_{arguments.job}.json"
    path.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2) if arguments.json else f"wrote {path}")


if __name__ == "__main__":
    main()
