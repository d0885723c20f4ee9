"""A random genome with its track, and readers of its windows: what data.py and streaming.py compare.

The readers make the same batches of the same windows: base codes and the largest value of each 4-bp bin, and the same
with one-hot float32 bases in place of codes; from a GenomeStore, or by pyfaidx + pyBigWig window by window.
"""

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

LENGTH, BIN_SIZE, BATCH = 2048, 4, 64
NUM_CHROMS = 4
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
        batch = dataset.batch(indices)
        return batch["inputs"], batch["labels"]

    return read


def one_hot(read: Callable[[np.ndarray], Batch]) -> Callable[[np.ndarray], Batch]:
    """Return a reader of (B, 4, L) float32 bases from one of codes."""

    def read_one_hot(indices: np.ndarray) -> Batch:
        codes, labels = read(indices)
        return (codes[:, None] == BASES).astype(np.float32), labels

    return read_one_hot
