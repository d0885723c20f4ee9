"""Batches per second: a GenomeStore against the other ways to feed a model, in one process.

The peers, each with its own store or files of the same random genome, 2048-bp windows, one track in 4-bp bins, batches
of 64 in random order:

* pyfaidx + pyBigWig, one call a window;
* atac-asap's own DataLoader (the reference package, importable as `asap`), with its random shift, reverse complement
  and log1p; ours does the same to the same windows;
* GenVarLoader (importable as `genvarloader`), model-ready: one-hot and bins made from its bytes and bases.

First values are shown equal; then, in each round, all are timed in turn on one thread: in processor time, which a busy
machine changes less, and by the clock. "codes" are our batches as they leave the loader, 1 byte a base; "one-hot" is
float32 (B, 4, L), as the model reads it. Ratios are ours / theirs, the median over rounds with its range. A peer that
is not installed is left out, in a sentence. Last comes the rate of streams (streaming.py), on two cores.

    python benchmarks/data.py [--megabases 20] [--rounds 7] [--output FILE] [--json]
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import itertools
import json
import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}

import platform
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streaming
import torch
from chromhub.datasets_scripts.dataset import WindowDataset
from chromhub.datasets_scripts.loader import WindowBatches, WindowLoader
from chromhub.datasets_scripts.store import GenomeStore
from windows import BASES, BATCH, BIN_SIZE, LENGTH, NUM_CHROMS, make_store, one_hot, store_reader, window_reader
from windows import write_genome as write_inputs

RESULTS = Path(__file__).parent / "results" / "data.json"
PERMUTED = [0, 2, 1, 3, 4]  # the reference's A G C T N as our codes
SECONDS = 0.3  # of CPU, one side of one round

Iteration = Callable[[], Iterator[Any]]
"""Starts an endless pass over batches; every item is one of `BATCH` windows."""


def endless(start: Callable[[], Any]) -> Iteration:
    """Return an iteration that starts the epoch again where it ends."""
    return lambda: itertools.chain.from_iterable(start() for _ in itertools.count())


def windows_per_second(batches: Iterator[Any]) -> tuple[float, float]:
    """Draw batches for a while; return the rate in CPU time and by the clock.

    An iterator in use goes on, so that no start is timed.
    """
    next(batches)
    number, start, clock = 0, time.process_time(), time.perf_counter()
    while (seconds := time.process_time() - start) < SECONDS:
        next(batches)
        number += BATCH
    return number / seconds, number / (time.perf_counter() - clock)


def compare(pairs: dict[str, dict[str, tuple[Iteration, Iteration]]], *, rounds: int) -> dict[str, Any]:
    """Time ours and theirs in turn, all of them in every round; return rates, the median ratios and their ranges."""
    running = {
        (peer, name): (ours(), theirs()) for peer, rows in pairs.items() for name, (ours, theirs) in rows.items()
    }
    rates: dict[tuple[str, str], list[tuple[Any, Any]]] = {key: [] for key in running}
    for _ in range(rounds):
        for key, (ours, theirs) in running.items():
            mine = windows_per_second(ours)
            rates[key].append((mine, windows_per_second(theirs)))
    results: dict[str, Any] = {peer: {} for peer in pairs}
    for (peer, name), rows in rates.items():
        ratio, wall = ([a[i] / b[i] for a, b in rows] for i in range(2))
        results[peer][name] = {
            "store_windows_per_second": round(statistics.median(a[0] for a, _ in rows)),
            "peer_windows_per_second": round(statistics.median(b[0] for _, b in rows)),
            "ratio": round(statistics.median(ratio), 1),
            "ratio_range": [round(min(ratio), 1), round(max(ratio), 1)],
            "ratio_by_the_clock": round(statistics.median(wall), 1),
            "ratio_by_the_clock_range": [round(min(wall), 1), round(max(wall), 1)],
        }
    return results


def must_equal(ours: np.ndarray, theirs: np.ndarray, *, tolerance: float = 0.0) -> None:
    """Stop where values differ: no timing of them is worth anything."""
    if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=tolerance, atol=tolerance):
        raise SystemExit("the two loaders differ: no timing is worth anything")


def random_windows(store: GenomeStore, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return windows that start on bins."""
    chroms = rng.integers(0, NUM_CHROMS, number)
    starts = rng.integers(0, (store.chrom_sizes["chr0"] - LENGTH) // BIN_SIZE, number) * BIN_SIZE
    return pd.DataFrame({"chrom": [f"chr{i}" for i in chroms], "start": starts, "end": starts + LENGTH})


def against_files(store: GenomeStore, fasta: Path, bigwig: Path, windows: pd.DataFrame) -> dict[str, Any]:
    """Return the pairs against pyfaidx and pyBigWig, after equal batches."""
    dataset = WindowDataset(store, windows, input_length=LENGTH)
    ours, theirs = store_reader(dataset), window_reader(fasta, bigwig, windows)
    batches = [np.array(batch) for batch in WindowBatches(len(windows), batch_size=BATCH, seed=0)]
    pairs = {"codes": (ours, theirs), "one-hot": (one_hot(ours), one_hot(theirs))}
    for our_read, their_read in pairs.values():
        for indices in batches[:5]:
            for our_array, their_array in zip(our_read(indices), their_read(indices), strict=True):
                must_equal(our_array, their_array)
    return {
        name: tuple(endless(lambda read=read: (read(indices) for indices in batches)) for read in readers)
        for name, readers in pairs.items()
    }


def with_log1p(dataset: WindowDataset, *, as_one_hot: bool) -> Iteration:
    """Return our training batches, as the reference's: log1p signal, and one-hot or codes."""
    batches = WindowBatches(len(dataset), batch_size=BATCH, seed=0)

    def epoch() -> Iterator[Any]:
        for batch in WindowLoader(dataset, batches):
            codes, labels = batch["inputs"], torch.log1p(batch["labels"])
            yield (
                (torch.from_numpy((codes.numpy()[:, None] == BASES).astype(np.float32)) if as_one_hot else codes),
                labels,
            )

    return endless(epoch)


def against_reference(store: GenomeStore, fasta: Path, bigwig: Path, folder: Path) -> dict[str, Any]:
    """Return the pairs against atac-asap's training loader, after equal items."""
    training_datasets = importlib.import_module("asap.dataset").training_datasets
    chroms = list(range(NUM_CHROMS))
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, _ = training_datasets(str(bigwig), str(fasta), chroms, chroms[:1], str(folder / "asap"))
    starts = [np.asarray(starts).reshape(-1) for starts in theirs.seq_starts]  # of 4096 bp: shift 0 to 2048
    first = np.concatenate(starts)
    windows = pd.DataFrame({"chrom": np.repeat([f"chr{i}" for i in chroms], list(map(len, starts))), "start": first})
    windows = windows.assign(start=first + LENGTH // 2, end=first + LENGTH // 2 + LENGTH)
    ours = WindowDataset(store, windows, input_length=LENGTH, max_jitter=LENGTH // 2, reverse_complement=True, seed=0)
    random.seed(0)
    indices = np.random.default_rng(0).integers(0, len(windows), 200)
    items = [theirs[int(i)] for i in indices]
    random.seed(0)  # the same draws again: shift, then strand
    for i in indices:
        ours._jitter[i] = random.randint(0, LENGTH // BIN_SIZE) * BIN_SIZE - LENGTH // 2
        ours._reversed[i] = random.random() >= 0.5
        batch, (bases, _, signal) = ours[int(i)], items[np.flatnonzero(indices == i)[0]]
        if (indices == i).sum() == 1:
            must_equal((batch["inputs"][:, None] == BASES[[0, 2, 1, 3], 0]).astype(np.float32), bases.numpy())
            must_equal(np.log1p(batch["labels"][0]), signal.numpy().reshape(-1), tolerance=1e-3)  # theirs is of float16
    ours.set_epoch(0)
    loader = torch.utils.data.DataLoader(theirs, batch_size=BATCH, shuffle=True, drop_last=True)
    return {
        "one-hot": (with_log1p(ours, as_one_hot=True), endless(lambda: loader)),
        "codes": (with_log1p(ours, as_one_hot=False), endless(lambda: loader)),
    }


def against_genvarloader(
    store: GenomeStore, fasta: Path, bigwig: Path, windows: pd.DataFrame, folder: Path
) -> dict[str, Any]:
    """Return the pair against GenVarLoader, whose bytes and bases are made model-ready, after equal batches."""
    gvl = importlib.import_module("genvarloader")
    importlib.import_module("loguru").logger.disable("genvarloader")
    table = windows.rename(columns={"start": "chromStart", "end": "chromEnd"})
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        polars = importlib.import_module("polars")
        tracks = gvl.BigWigs("track", {"sample": str(bigwig)})
        gvl.write(path=folder / "gvl", bed=polars.from_pandas(table), tracks=tracks, overwrite=True)
        opened = gvl.Dataset.open(folder / "gvl", reference=str(fasta)).with_len(LENGTH)
    theirs = opened.with_seqs("reference").with_tracks("track")
    # GenVarLoader sorts its regions: ours are put in its order.
    regions = theirs.regions.to_pandas() if hasattr(theirs.regions, "to_pandas") else pd.DataFrame(theirs.regions)
    ordered = regions.iloc[:, :3].set_axis(["chrom", "start", "end"], axis=1)
    dataset = WindowDataset(store, ordered.astype({"chrom": str}), input_length=LENGTH)
    bases = np.frombuffer(b"ACGT", np.uint8)[:, None]

    def read(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sequences, signal = theirs[indices, 0]
        letters = np.asarray(sequences).view(np.uint8).reshape(len(indices), 1, LENGTH)
        values = np.nan_to_num(np.asarray(signal, np.float32).reshape(len(indices), 1, LENGTH))
        return (letters == bases).astype(np.float32), values.reshape(len(indices), 1, -1, BIN_SIZE).max(axis=-1)

    ours = one_hot(store_reader(dataset))
    batches = [np.array(batch) for batch in WindowBatches(len(windows), batch_size=BATCH, seed=0)]
    for indices in batches[:5]:
        for our_array, their_array in zip(ours(indices), read(indices), strict=True):
            must_equal(our_array, their_array)
    both = (endless(lambda read=reader: (read(indices) for indices in batches)) for reader in (ours, read))
    return {"one-hot": tuple(both)}


def main() -> None:
    """Check, time, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabases", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.rounds < 5:
        parser.error(f"--rounds must be at least 5, got {arguments.rounds}")
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    pairs: dict[str, Any] = {}
    left_out: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fasta, bigwig = write_inputs(folder, arguments.megabases, rng)
        store, _ = make_store(folder, fasta, bigwig)
        windows = random_windows(store, 200 * BATCH, rng)
        pairs["pyfaidx + pyBigWig"] = against_files(store, fasta, bigwig, windows)
        if importlib.util.find_spec("asap"):
            pairs["atac-asap loader"] = against_reference(store, fasta, bigwig, folder)
        else:
            left_out.append("atac-asap is not installed, so its loader was not timed: pip install --no-deps atac-asap")
        if importlib.util.find_spec("genvarloader"):
            pairs["GenVarLoader"] = against_genvarloader(store, fasta, bigwig, windows, folder)
        else:
            left_out.append("GenVarLoader is not installed, so it was not timed: pip install genvarloader")
        sys.stderr.write("".join(f"equal: batches of the store and of {peer}\n" for peer in pairs))
        peers = compare(pairs, rounds=arguments.rounds)
        pairs.clear()
    result = {
        "megabases": arguments.megabases,
        "windows": f"{LENGTH} bp, 1 track in {BIN_SIZE}-bp bins, batch {BATCH}, random order, 1 thread, CPU time",
        "rounds": arguments.rounds,
        "machine": platform.processor() or platform.machine(),
        "load": round(os.getloadavg()[0], 1),
        "equal": True,
        "peers": peers,
        "left_out": left_out,
        "streaming": streaming.measure(),
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    for sentence in left_out:
        sys.stderr.write(sentence + "\n")
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{result['windows']}; batches equal")
    for peer, rows in peers.items():
        for name, row in rows.items():
            (low, high), (slow, fast) = row["ratio_range"], row["ratio_by_the_clock_range"]
            speeds = f"{row['store_windows_per_second']:9,d} against {row['peer_windows_per_second']:6,d}"
            wall = f"by the clock {row['ratio_by_the_clock']:.1f}x ({slow:.1f}-{fast:.1f})"
            print(f"{peer:20s} {name:8s} {speeds} windows/s  {row['ratio']:6.1f}x ({low:.1f}-{high:.1f}), {wall}")
    print(streaming.lines(result["streaming"]))


if __name__ == "__main__":
    main()
