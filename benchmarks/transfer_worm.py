"""From a base of C. elegans germline and neurons together to each tissue: what tells them apart.

    python benchmarks/transfer_worm.py --data ../shared/data --work runs [--json]

Reported on the test chromosome, at 16 and 128 bp: the Pearson correlation of predicted and true log1p signal of
neurons, and that of the difference between the tissues, predicted (neurons of a model, minus germline of the germline
model) and true. Runs and predictions that lie in the work folder are not made again. real_data.py describes the runs
and builds the stores.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyBigWig
from chromhub.datasets_scripts.store import GenomeStore
from real_data import JOBS, RESULTS, build_stores, chromhub, train_runs

BIN_SIZES = (16, 128)
BASE = "celegans-germline"
ADAPTED = ("celegans-neurons-full", "celegans-neurons-lora", "celegans-neurons-scratch")


def predicted(work: Path, run: str, store: GenomeStore, store_name: str, chrom: str) -> np.ndarray:
    """Return a run's prediction of a chromosome, (bins,) of the store's bin size."""
    path = work / run / f"{chrom}.bw"
    if not path.exists():
        chromhub("predict", work / run, "--data", work / "data" / store_name, "--chrom", chrom, "-o", path)
    length, bin_size = store.chrom_sizes[chrom], store.bin_size
    with pyBigWig.open(str(path)) as file:
        values = np.nan_to_num(file.values(chrom, 0, length, numpy=True))
    return values[: length // bin_size * bin_size : bin_size]


def pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Pearson correlation of two (n,) arrays."""
    return float(np.corrcoef(first, second)[0, 1])


def log_signal(bins: np.ndarray, factor: int) -> np.ndarray:
    """Sum bins by `factor`, and take log1p."""
    return np.log1p(bins[: len(bins) // factor * factor].reshape(-1, factor).sum(1))


def main() -> None:
    """Train what is missing, predict, correlate, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    work, job = arguments.work, JOBS["celegans"]
    stores = build_stores(job, arguments.data, work)
    train_runs(job, work)

    neurons, germline = stores["neurons"], stores["germline"]
    (chrom,) = neurons.split.intervals("test", neurons.chrom_sizes)["chrom"]
    true = {name: store.signal(chrom)[: len(store.codes(chrom)) // 4] for name, store in stores.items()}
    base = predicted(work, BASE, germline, "germline", chrom)
    results: dict[str, dict] = {}
    for run in (*ADAPTED, BASE):
        bins = base if run == BASE else predicted(work, run, neurons, "neurons", chrom)
        training = json.loads((work / run / "provenance.json").read_text())["training"]
        results[run] = {
            "recipe": f"{run}.yaml",
            "parameters_trained": training["parameters_trained"],
            "windows": training["windows"]["train"],
            "steps": training["steps"],
            "pearson_log1p": {},
            "pearson_of_tissue_difference": {},
        }
        for size in BIN_SIZES:
            factor = size // neurons.bin_size
            new, old, true_new, true_old = (
                log_signal(values, factor) for values in (bins, base, true["neurons"], true["germline"])
            )
            results[run]["pearson_log1p"][size] = pearson(new, true_new)
            if run != BASE:
                results[run]["pearson_of_tissue_difference"][size] = pearson(new - old, true_new - true_old)
    path = RESULTS / "transfer_worm.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    if arguments.json:
        print(path.read_text())
        return
    for run in results:
        print(run, results[run]["pearson_log1p"], results[run]["pearson_of_tissue_difference"])


if __name__ == "__main__":
    main()
