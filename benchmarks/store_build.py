"""Making a store and writing a bigWig: seconds against plain code and the reference package, bytes, and memory.

Everything is shown equal first, then timed in turn in one process. Ratios are theirs / ours, the median over rounds
with its range. The genome is random; its track has a value every 25 bp or so, with gaps. Ours hashes in a second thread
what it reads and writes, the others take one thread and hash nothing: `one_thread` is the ratio of processor times.

* plain: pyfaidx and a table of letters, `pyBigWig.values` by the Mb and a numpy maximum, `np.save`
* reference: atac-asap's preparation of its training windows; `reference_folds`: of those and the validation windows of
  each chromosome, as cross-validation needs and one store holds; its way to write predictions (one call a window). Left
  out, and said so, where it is not installed (`pip install --no-deps atac-asap`)
* memory: the peak of a process that builds a store of `--gigabases`, and of one that then reads every window of it. The
  FASTA is a gzip of one block over and over, so it takes megabytes; the store takes 2 bytes per bp for a while.

    python benchmarks/store_build.py [--megabases 40] [--rounds 5] [--gigabases 3.1] [--json]
"""

import argparse
import contextlib
import gzip
import importlib
import importlib.util
import io
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import pyfaidx
from chromhub.datasets_scripts.bigwig import write_bigwig
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.fasta import decode, encode
from chromhub.datasets_scripts.folds import Split
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.store_inputs import StoreInputs, TrackSource

RESULTS = Path(__file__).parent / "results" / "store_build.json"
BIN_SIZE, NUM_CHROMS, CHUNK = 4, 4, 1 << 20
WINDOW = 1024  # bp of the reference's predictions
LINES = 250_000  # bp a gzip member, in lines of 50


def write_genome(folder: Path, megabases: float) -> tuple[Path, Path]:
    """Write a random genome and a bigWig of random intervals; return their paths."""
    rng = np.random.default_rng(0)
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
    pyfaidx.Fasta(str(fasta)).close()  # makes the index, once and outside the timing
    return fasta, bigwig


def build(folder: Path, fasta: Path, bigwig: Path) -> GenomeStore:
    """Make the store."""
    inputs = StoreInputs(fasta, (TrackSource("track", bigwig),), split=Split(("chr0",), (), ()), bin_size=BIN_SIZE)
    return build_store(inputs, folder / "store", overwrite=True)


def plain(folder: Path, fasta: Path, bigwig: Path) -> Path:
    """Do the same with pyfaidx, pyBigWig and numpy, a chromosome at a time; return the folder."""
    output = folder / "plain"
    output.mkdir(exist_ok=True)
    genome, track = pyfaidx.Fasta(str(fasta), as_raw=True, sequence_always_upper=True), pyBigWig.open(str(bigwig))
    for chrom, size in track.chroms().items():
        np.save(output / f"{chrom}.codes.npy", encode(genome[chrom][:]))
        bins = np.zeros(-(-size // BIN_SIZE), np.float32)
        for start in range(0, size, CHUNK):
            values = np.nan_to_num(track.values(chrom, start, min(start + CHUNK, size), numpy=True))
            values = np.pad(values, (0, -len(values) % BIN_SIZE)).reshape(-1, BIN_SIZE).max(axis=1)
            bins[start // BIN_SIZE : start // BIN_SIZE + len(values)] = values
        np.save(output / f"{chrom}.bins.npy", bins)
    return output


def reference(folder: Path, fasta: Path, bigwig: Path, *, validation: bool = False) -> Path:
    """Prepare every chromosome with atac-asap for training, and for validation too; return what it keeps on disk."""
    prepare = importlib.import_module("asap.dataset").training_datasets
    output = folder / "asap"
    shutil.rmtree(output, ignore_errors=True)
    chroms = list(range(NUM_CHROMS))
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        prepare(str(bigwig), str(fasta), chroms, chroms if validation else [], str(output))
    return output


def write_ours(folder: Path, store: GenomeStore) -> Path:
    """Write the store's signal as a bigWig."""
    path = folder / "ours.bw"
    chunks = ((chrom, 0, store.signal(chrom)) for chrom in store.chrom_sizes)
    write_bigwig(path, store.chrom_sizes, chunks, bin_size=BIN_SIZE, overwrite=True)
    return path


def write_like_reference(folder: Path, store: GenomeStore) -> Path:
    """Write it as atac-asap's `write_predictions_to_bigwig` does: one variableStep call a window."""
    path = folder / "theirs.bw"
    file = pyBigWig.open(str(path), "w")
    file.addHeader(list(store.chrom_sizes.items()))
    for chrom in store.chrom_sizes:
        bins = store.signal(chrom)
        for first in range(0, len(bins), WINDOW // BIN_SIZE):
            values = bins[first : first + WINDOW // BIN_SIZE]
            starts = (first + np.arange(len(values))) * BIN_SIZE
            file.addEntries(chrom, starts, values=values, span=BIN_SIZE)
    file.close()
    return path


def seconds(function: Callable[[], Any]) -> tuple[float, float]:
    """Return how long a call takes, and the processor time of all threads."""
    start, busy = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - busy


def compare(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> dict[str, Any]:
    """Time two functions in turn."""
    times = np.array([(*seconds(ours), *seconds(theirs)) for _ in range(rounds)])
    ratios, one_thread = times[:, 2] / times[:, 0], times[:, 3] / times[:, 1]
    return {
        "seconds": round(float(np.median(times[:, 0])), 3),
        "their_seconds": round(float(np.median(times[:, 2])), 3),
        "ratio": round(float(np.median(ratios)), 2),
        "ratio_range": [round(float(ratios.min()), 2), round(float(ratios.max()), 2)],
        "one_thread": round(float(np.median(one_thread)), 2),
        "one_thread_range": [round(float(one_thread.min()), 2), round(float(one_thread.max()), 2)],
    }


def check_equal(store: GenomeStore, folder: Path, fasta: Path, bigwig: Path) -> None:
    """Stop unless the plain pass and both writers give what the store holds."""
    output = plain(folder, fasta, bigwig)
    files = [pyBigWig.open(str(write(folder, store))) for write in (write_ours, write_like_reference)]
    for chrom in store.chrom_sizes:
        same = np.array_equal(np.load(output / f"{chrom}.codes.npy"), store.codes(chrom))
        same &= np.array_equal(np.load(output / f"{chrom}.bins.npy"), store.signal(chrom))
        end = min(CHUNK, store.chrom_sizes[chrom]) // BIN_SIZE * BIN_SIZE
        for file in files:
            values = np.nan_to_num(file.values(chrom, 0, end, numpy=True))[::BIN_SIZE]
            same &= np.array_equal(values, store.signal(chrom)[: end // BIN_SIZE])
        if not same:
            raise SystemExit(f"{chrom} differs: no timing is worth anything")


def folder_bytes(folder: Path) -> int:
    """Return the size of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_giant(folder: Path, gigabases: float) -> tuple[Path, Path]:
    """Write a genome of 24 chromosomes from one block of bases, and a bigWig with a value every 2 kb."""
    rng = np.random.default_rng(0)
    bases = decode(rng.integers(0, 4, LINES).astype(np.uint8))
    block = gzip.compress("".join(bases[i : i + 50] + "\n" for i in range(0, LINES, 50)).encode(), 1)
    shares = np.linspace(2, 0.4, 24)  # as in human, the first has 8 %
    sizes = {f"chr{i}": max(1, int(s * gigabases * 1e9 / shares.sum() / LINES)) * LINES for i, s in enumerate(shares)}
    fasta, bigwig = folder / "giant.fa.gz", folder / "giant.bw"
    track = pyBigWig.open(str(bigwig), "w")
    track.addHeader(list(sizes.items()), maxZooms=0)
    with fasta.open("wb") as file:
        for chrom, size in sizes.items():
            file.write(gzip.compress(f">{chrom}\n".encode()))
            for _ in range(size // LINES):
                file.write(block)
            starts = np.arange(0, size, 2000)
            track.addEntries(chrom, starts, values=rng.random(len(starts)) + 0.1, span=150)
    track.close()
    return fasta, bigwig


def read_all(folder: Path) -> None:
    """Gather every window of a store once, mapped."""
    store = GenomeStore.open(folder / "store", in_memory=False)
    for chrom, size in store.chrom_sizes.items():
        starts = store.offset(chrom) + np.arange(0, size, 2048)
        for i in range(0, len(starts), 256):
            store.gather(starts[i : i + 256], 2048)
            if i % (256 * 256) == 0:
                store.release_pages()


def memory(gigabases: float, folder: Path) -> dict[str, Any]:
    """Run the build and the reading of a large genome in processes of their own; return their peaks."""
    write_giant(folder, gigabases)
    result: dict[str, Any] = {"gigabases": gigabases}
    for job in ("build", "read"):
        command = [sys.executable, __file__, "--child", job, "--folder", str(folder)]
        result[job] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return result


def peak_gb() -> float:
    """Return the most memory this process has held; `ru_maxrss` counts what its parent held when it started it too."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e6


def child(job: str, folder: Path) -> None:
    """Do one job of `memory` and print its time and peak."""
    before = peak_gb()
    build_it = partial(build, folder, folder / "giant.fa.gz", folder / "giant.bw")
    jobs = {"build": build_it, "read": partial(read_all, folder)}
    took, _ = seconds(jobs[job])
    peaks = {"peak_gb": round(peak_gb(), 2), "of_which_imports_gb": round(before, 2)}
    print(json.dumps({"seconds": round(took, 1)} | peaks))


def main() -> None:
    """Check, time, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabases", type=float, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabases", type=float, default=3.1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=["build", "read"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fasta, bigwig = write_genome(folder, arguments.megabases)
        store = build(folder, fasta, bigwig)
        check_equal(store, folder, fasta, bigwig)
        num_bp = sum(store.chrom_sizes.values())
        results: dict[str, Any] = {
            "megabases": arguments.megabases,
            "rounds": arguments.rounds,
            "machine": platform.processor() or platform.machine(),
            "equal": True,
            "dtype": store.description["tracks"][0]["dtype"],
            "bytes_per_bp": round(folder_bytes(store.path) / num_bp, 2),
        }

        ours = partial(build, folder, fasta, bigwig)
        results["plain"] = compare(ours, partial(plain, folder, fasta, bigwig), arguments.rounds)
        for name, whole in (("reference", False), ("reference_folds", True)):
            if not importlib.util.find_spec("asap"):
                results[name] = "left out: atac-asap is not installed"
                continue
            theirs = partial(reference, folder, fasta, bigwig, validation=whole)
            results[name] = compare(ours, theirs, arguments.rounds)
            results[name]["bytes_per_bp"] = round(folder_bytes(folder / "asap") / num_bp, 2)
        results["bigwig_writing"] = compare(
            lambda: write_ours(folder, store), lambda: write_like_reference(folder, store), arguments.rounds
        )
        sizes = [(folder / f"{name}.bw").stat().st_size for name in ("ours", "theirs")]
        results["bigwig_writing"]["size_ratio"] = round(sizes[0] / sizes[1], 2)
        if arguments.gigabases:
            results["memory"] = memory(arguments.gigabases, folder)
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    print(f"store of {arguments.megabases} Mb: {results['bytes_per_bp']} bytes/bp ({results['dtype']})")
    for name in ("plain", "reference", "reference_folds", "bigwig_writing"):
        row = results[name]
        if isinstance(row, str):
            print(f"{name:16} {row}")
        else:
            low, high = row["ratio_range"]
            times = f"{row['seconds']:8.2f} s against {row['their_seconds']:8.2f} s"
            print(f"{name:16} {times}  {row['ratio']:.1f}x ({low:.1f}-{high:.1f}), one thread {row['one_thread']:.1f}x")
    for job in ("build", "read") if "memory" in results else ():
        row = results["memory"][job]
        print(f"{job} {arguments.gigabases} Gb      {row['seconds']} s, peak {row['peak_gb']} GB")


if __name__ == "__main__":
    main()
