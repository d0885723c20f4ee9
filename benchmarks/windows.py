"""Windows per second: a GenomeStore's batches against pyfaidx + pyBigWig read window by window, in one process.

Both make the same batches of the same random windows: base codes and the largest value of each 4-bp bin, and the same
with one-hot float32 bases in place of codes. First every batch of a round is shown equal; then the readers are timed in
turn. Ratios are ours / theirs, the median over rounds with its range. The genome is random, its track has a value every
25 bp or so, with gaps.

    python benchmarks/windows.py [--megabases 20] [--rounds 7] [--json]
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig
import pyfaidx
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.dataset import WindowDataset
from chromhub.datasets_scripts.fasta import decode, encode
from chromhub.datasets_scripts.folds import Split
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.store_inputs import StoreInputs, TrackSource

RESULTS = Path(__file__).parent / "results" / "windows.json"
LENGTH, BIN_SIZE, BATCH = 2048, 4, 64
NUM_CHROMS = 4
OURS_BATCHES, THEIRS_BATCHES = 200, 10  # a round of each takes a few tenths of a second
BASES = np.arange(4, dtype=np.uint8)[:, None]
Batch = tuple[np.ndarray, np.ndarray]


def write_genome(folder: Path, megabases: float, rng: np.random.Generator) -> tuple[Path, Path]:
    """Write a random genome and a bigWig of random intervals; return their paths."""
    size = int(megabases * 1e6) // NUM_CHROMS
    fasta, bigwig = folder / "genome.fa", folder / "track.bw"
    track = pyBigWig.open(str(bigwig), "w")
    track.addHeader([(f"chr{i}", size) for i in range(NUM_CHROMS)])
    with fasta.open("w") as file:
        for i in range(NUM_CHROMS):
            bases = decode(rng.integers(0, 4, size).astype(np.uint8))
            file.write(f">chr{i}\n" + "".join(bases[j : j + 60] + "\n" for j in range(0, size, 60)))
            edges = np.unique(rng.integers(0, size, size // 25))
            kept = rng.random(len(edges) - 1) < 0.8
            starts, ends = edges[:-1][kept], edges[1:][kept]
            values = rng.gamma(0.5, 4.0, len(starts))
            track.addEntries([f"chr{i}"] * len(starts), starts.tolist(), ends=ends.tolist(), values=values.tolist())
    track.close()
    return fasta, bigwig


def make_store(folder: Path, fasta: Path, bigwig: Path) -> tuple[GenomeStore, float]:
    """Build and open the store; return it and the seconds it took."""
    start = time.perf_counter()
    inputs = StoreInputs(fasta, (TrackSource("track", bigwig),), split=Split(("chr0",), (), ()), bin_size=BIN_SIZE)
    store = build_store(inputs, folder / "store")
    return GenomeStore.open(store.path, in_memory=True), time.perf_counter() - start


def window_reader(fasta: Path, bigwig: Path, windows: pd.DataFrame) -> Callable[[np.ndarray], Batch]:
    """Return a function that reads a batch with one pyfaidx and one pyBigWig call a window."""
    genome = pyfaidx.Fasta(str(fasta), as_raw=True, sequence_always_upper=True)
    track = pyBigWig.open(str(bigwig))
    rows = list(windows.itertuples(index=False, name=None))

    def read(indices: np.ndarray) -> Batch:
        codes = np.empty((len(indices), LENGTH), np.uint8)
        labels = np.empty((len(indices), 1, LENGTH // BIN_SIZE), np.float32)
        for i, index in enumerate(indices):
            chrom, start, end = rows[index]
            codes[i] = encode(genome[chrom][start:end])
            values = np.nan_to_num(track.values(chrom, start, end, numpy=True))
            labels[i, 0] = values.reshape(-1, BIN_SIZE).max(axis=1)
        return codes, labels

    return read


def store_reader(dataset: WindowDataset) -> Callable[[np.ndarray], Batch]:
    """Return a function that reads a batch from the store."""

    def read(indices: np.ndarray) -> Batch:
        batch = dataset.__getitems__(indices)
        return batch["inputs"], batch["labels"]

    return read


def one_hot(read: Callable[[np.ndarray], Batch]) -> Callable[[np.ndarray], Batch]:
    """Return a reader of (B, 4, L) float32 bases from one of codes."""

    def read_one_hot(indices: np.ndarray) -> Batch:
        codes, labels = read(indices)
        return (codes[:, None] == BASES).astype(np.float32), labels

    return read_one_hot


def windows_per_second(read: Callable[[np.ndarray], Batch], batches: list[np.ndarray]) -> float:
    """Return how many windows a second the reader makes."""
    start = time.perf_counter()
    for indices in batches:
        read(indices)
    return sum(map(len, batches)) / (time.perf_counter() - start)


def main() -> None:
    """Check, time, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabases", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fasta, bigwig = write_genome(folder, arguments.megabases, rng)
        store, build_seconds = make_store(folder, fasta, bigwig)
        number = OURS_BATCHES * BATCH
        chroms = rng.integers(0, NUM_CHROMS, number)
        starts = rng.integers(0, (store.chrom_sizes["chr0"] - LENGTH) // BIN_SIZE, number) * BIN_SIZE
        windows = pd.DataFrame({"chrom": [f"chr{i}" for i in chroms], "start": starts, "end": starts + LENGTH})
        ours = store_reader(WindowDataset(store, windows, input_length=LENGTH))
        theirs = window_reader(fasta, bigwig, windows)
        readers = {"codes": (ours, theirs), "one-hot float32": (one_hot(ours), one_hot(theirs))}
        batches = list(rng.permutation(number).reshape(-1, BATCH))
        for our_read, their_read in readers.values():
            for indices in batches[:THEIRS_BATCHES]:
                for our_array, their_array in zip(our_read(indices), their_read(indices), strict=True):
                    if our_array.dtype != their_array.dtype or not np.array_equal(our_array, their_array):
                        raise SystemExit("the two readers differ: no timing is worth anything")
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
        for _ in range(arguments.rounds):
            for name, (our_read, their_read) in readers.items():
                mine = windows_per_second(our_read, batches)
                rates[name].append((mine, windows_per_second(their_read, batches[:THEIRS_BATCHES])))

    result = {
        "megabases": arguments.megabases,
        "windows": f"{LENGTH} bp, 1 track in {BIN_SIZE}-bp bins, batch {BATCH}, random order",
        "rounds": arguments.rounds,
        "machine": platform.processor() or platform.machine(),
        "build_seconds": round(build_seconds, 2),
        "equal": True,
        "readers": {
            name: {
                "store_windows_per_second": round(statistics.median(a for a, _ in pairs)),
                "pyfaidx_pybigwig_windows_per_second": round(statistics.median(b for _, b in pairs)),
                "ratio": round(statistics.median(a / b for a, b in pairs), 1),
                "ratio_range": [round(min(a / b for a, b in pairs), 1), round(max(a / b for a, b in pairs), 1)],
            }
            for name, pairs in rates.items()
        },
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{result['windows']}; store built in {build_seconds:.1f} s; batches equal")
    for name, row in result["readers"].items():
        low, high = row["ratio_range"]
        speeds = f"{row['store_windows_per_second']:9,d} against {row['pyfaidx_pybigwig_windows_per_second']:6,d}"
        print(f"{name:16s} {speeds} windows/s  {row['ratio']:6.1f}x ({low:.1f}-{high:.1f})")


if __name__ == "__main__":
    main()
