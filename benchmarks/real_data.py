"""The main job on real data: build, train, fine-tune and evaluate as a user does, beside a floor and a ceiling.

    python benchmarks/real_data.py yeast|celegans --data ../shared/data --work runs [--json]

Steps whose result lies in the work folder are not done again; a training run that was cut off is resumed.
Two numbers frame the model's test Pearson (log1p of the signal summed in bins), both made here on the same test
intervals as the model's:

* floor: ridge regression on the 6-mer counts of 512-bp tiles, both strands pooled, standardised, penalty 1 a feature;
  beside it the floor that came with the data (its README), made with other choices.
* ceiling: the agreement of disjoint random halves of the fragments; what two experiments of half the depth share.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml
from chromhub.datasets_scripts.fragments import count_insertions
from chromhub.datasets_scripts.store import GenomeStore

RESULTS = Path(__file__).parent / "results"
RECIPES = Path(__file__).parent.parent / "recipes"
BIN_SIZES = (4, 16, 128, 512)

# One entry a species: how the stores are built, which recipe makes which run, and the fragments behind each store.
JOBS = {
    "yeast": {  # 4,-5 as the published checkpoint; 4,-4 puts both ends on the centre of the Tn5 site
        "stores": {
            "yeast": [
                *("--fasta", "yeast/sacCer3_nuclear.fa.gz", "--genome", "sacCer3"),
                *("--fragments", "atac=yeast/yeast_500k_SRR1822137.bedpe.gz", "--tn5-shift", "4,-5"),
                *("--summary", "sum"),
            ],
        },
        "split": "yeast.split.json",
        "runs": {"yeast": {"store": "yeast", "recipe": "yeast.yaml"}},
        "floor_stated": {"yeast": 0.64},
        "fragments": {"yeast": ("yeast/yeast_500k_SRR1822137.bedpe.gz", (4, -5))},
    },
    "celegans": {
        "stores": {
            tissue: [
                *("--fasta", "celegans/ce11.fa.gz", "--genome", "ce11"),
                *("--track", f"{tissue}=celegans/ATAC_{tissue.capitalize()}.insertions.ce11.bw", "--summary", "sum"),
                *("--peaks", "celegans/ce11_regulatory_elements.bed.gz"),
                *("--blacklist", "blacklists/ce11-blacklist.v2.bed.gz"),
            ]
            for tissue in ("germline", "neurons")
        },
        "split": "celegans.split.json",
        "runs": {
            "celegans-germline": {"store": "germline", "recipe": "celegans-germline.yaml"},
            "celegans-neurons-lora": {
                "store": "neurons",
                "recipe": "celegans-neurons-lora.yaml",
                "base": "celegans-germline",
            },
            "celegans-neurons-full": {
                "store": "neurons",
                "recipe": "celegans-neurons-full.yaml",
                "base": "celegans-germline",
            },
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
    """Build each store of the job once."""
    stores = {}
    for name, arguments in job["stores"].items():
        folder = work / "data" / name
        if not folder.exists():
            paths = [
                f"{argument.split('=')[0]}={data / argument.split('=')[1]}"
                if "=" in argument
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
        chromhub("evaluate", work / name, "--data", work / "data" / store, *bins, "-o", folder)
    return json.loads((folder / "metrics.json").read_text())


def pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation."""
    return float(np.corrcoef(first, second)[0, 1])


def kmer_counts(codes: np.ndarray, *, tile: int, k: int = 6) -> np.ndarray:
    """Count k-mers in tiles, a k-mer and its reverse complement as one.

    Args:
        codes: (L,) base codes.
        tile: bp a tile; the rest of L is left out.
        k: bases.

    Returns:
        (L // tile, 2080) float32 for k = 6. k-mers with an N, or across two tiles, are not counted.
    """
    windows = codes[: len(codes) // tile * tile].reshape(-1, tile).astype(np.int64)
    known = np.ones((len(windows), tile - k + 1), bool)
    index = np.zeros_like(known, dtype=np.int64)
    for i in range(k):
        column = windows[:, i : i + tile - k + 1]
        known &= column < 4
        index = index * 4 + np.minimum(column, 3)
    every = np.arange(4**k)
    complement = sum((3 - (every >> (2 * i)) % 4) << (2 * (k - 1 - i)) for i in range(k))
    _, canonical = np.unique(np.minimum(every, complement), return_inverse=True)
    width = int(canonical.max()) + 1
    rows = np.repeat(np.arange(len(windows)), known.sum(1))
    flat = rows * width + canonical[index[known]]
    return np.bincount(flat, minlength=len(windows) * width).reshape(-1, width).astype(np.float32)


def ridge_floor(store: GenomeStore, *, tile: int = 512) -> float:
    """Return the test Pearson of a 6-mer ridge on tiles of the store's first track."""

    def tiles(part: str):
        for chrom, start, end in store.split.intervals(part, store.chrom_sizes).itertuples(index=False):
            counts = kmer_counts(store.codes(chrom)[start:end], tile=tile)
            bins = store.signal(chrom)[start // store.bin_size : end // store.bin_size]
            per_tile = tile // store.bin_size
            yield counts, np.log1p(bins[: len(counts) * per_tile].reshape(-1, per_tile).sum(1))

    moments, total, count = None, 0.0, 0
    for counts, target in tiles("train"):  # one pass: the moments of [features, target]
        rows = np.column_stack([counts, target]).astype(np.float64)
        moments = rows.T @ rows if moments is None else moments + rows.T @ rows
        total, count = total + rows.sum(0), count + len(rows)
    mean = total / count
    covariance = moments / count - np.outer(mean, mean)
    scale = np.sqrt(np.maximum(np.diag(covariance)[:-1], 1e-12))
    gram = covariance[:-1, :-1] / np.outer(scale, scale) + np.eye(len(scale)) / count
    weights = np.linalg.solve(gram, covariance[:-1, -1] / scale) / scale
    predicted, true = zip(*((counts @ weights, target) for counts, target in tiles("test")), strict=True)
    return pearson(np.concatenate(predicted), np.concatenate(true))


def half_agreement(fragments: Path, store: GenomeStore, shift: tuple[int, int], *, seed: int = 0) -> dict[str, float]:
    """Return the log1p Pearson of two random halves of the fragments on the test intervals, a bin size."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        halves = [Path(folder) / f"half{i}.bed" for i in (0, 1)]
        with gzip.open(fragments, "rt") as lines, halves[0].open("w") as first, halves[1].open("w") as second:
            for line in lines:
                (first if rng.random() < 0.5 else second).write(line)
        counts = [dict(count_insertions(half, store.chrom_sizes, tn5_shift=shift)[0]) for half in halves]
    agreement = {}
    for size in BIN_SIZES:
        binned = [[], []]
        for chrom, start, end in store.split.intervals("test", store.chrom_sizes).itertuples(index=False):
            for half in (0, 1):
                values = counts[half][chrom][start : start + (end - start) // size * size]
                binned[half].append(np.log1p(values.reshape(-1, size).sum(1)))
        agreement[str(size)] = pearson(np.concatenate(binned[0]), np.concatenate(binned[1]))
    return agreement


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
    for name, store in stores.items():
        fragments, shift = job["fragments"][name]
        frames[name] = {
            "floor_512bp_6mer_ridge": ridge_floor(store),
            "floor_stated": job["floor_stated"][name],
            "ceiling_half_agreement": half_agreement(arguments.data / fragments, store, shift),
        }
    results = {
        name: {
            "recipe": yaml.safe_load((RECIPES / run["recipe"]).read_text()),
            "training": json.loads((arguments.work / name / "provenance.json").read_text())["training"],
            "metrics": evaluate_run(arguments.work, name, run["store"]),
            **frames[run["store"]],
        }
        for name, run in job["runs"].items()
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"real_data_{arguments.job}.json"
    path.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2) if arguments.json else f"wrote {path}")


if __name__ == "__main__":
    main()
