"""Windows per second: exported Parquet shards, streamed and map-style, against the store they were made of.

All make the same batches of codes and float32 signal of one track, windows of 2,048 bp, moved by up to the margin and
half of them turned around. First every window of an epoch is shown equal; then the readers are timed in turn. Ratios
are to `GenomeStore` in memory, the median over rounds with its range. The genome is random, its track has a value every
25 bp or so, with gaps. Rates by processor time hold on a busy machine too; a stream spreads over two cores, the others
have one.

    python benchmarks/streaming.py [--megabases 20] [--rounds 5] [--margin 1024] [--json]
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.dataset import WindowDataset
from chromhub.datasets_scripts.export import ExportPlan, export_shards
from chromhub.datasets_scripts.folds import Split
from chromhub.datasets_scripts.shard_windows import ShardWindows
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.store_inputs import StoreInputs, TrackSource
from chromhub.datasets_scripts.streaming import StreamingWindows
from datasets import disable_progress_bars
from windows import write_genome

RESULTS = Path(__file__).parent / "results" / "streaming.json"
LENGTH, BIN_SIZE, BATCH = 2048, 4, 64
Batch = dict[str, np.ndarray]


def in_order(dataset: WindowDataset | ShardWindows, epoch: int) -> Iterable[Batch]:
    """Yield an epoch's batches in a random order."""
    dataset.set_epoch(epoch)
    order = np.random.default_rng(epoch).permutation(len(dataset))
    for i in range(0, len(order), BATCH):
        yield dataset.__getitems__(order[i : i + BATCH])


def streamed(stream: StreamingWindows, epoch: int) -> Iterable[Batch]:
    """Yield an epoch's batches in the stream's order."""
    stream.set_epoch(epoch)
    yield from stream


def windows_of(batches: Iterable[Batch]) -> list[int]:
    """Return a hash of every value of each window of an epoch, sorted."""
    return sorted(
        hash(codes.tobytes() + labels.tobytes())
        for batch in batches
        for codes, labels in zip(batch["inputs"], batch["labels"], strict=True)
    )


def windows_per_second(batches: Iterable[Batch]) -> tuple[float, float]:
    """Return how many windows come in a second, and in a second of processor time of all threads."""
    start, cpu = time.perf_counter(), time.process_time()
    number = sum(len(batch["inputs"]) for batch in batches)
    return number / (time.perf_counter() - start), number / (time.process_time() - cpu)


def main() -> None:
    """Check, time, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabases", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--margin", type=int, default=1024)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    arguments = parser.parse_args()
    disable_progress_bars()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fasta, bigwig = write_genome(folder, arguments.megabases, np.random.default_rng(0))
        split = Split(("chr0", "chr1", "chr2"), ("chr3",), ())
        inputs = StoreInputs(fasta, (TrackSource("track", bigwig),), split=split, bin_size=BIN_SIZE)
        store = GenomeStore.open(build_store(inputs, folder / "store").path, in_memory=True)
        started = time.perf_counter()
        shards = export_shards(store, folder / "shards", ExportPlan(margin=arguments.margin))
        exporting = time.perf_counter() - started
        options = {"max_jitter": arguments.margin, "reverse_complement": True, "seed": 0}
        data = WindowDataset(store, shards.windows("train"), input_length=LENGTH, **options)
        mapped = ShardWindows(shards, "train", cache_dir=str(folder / "cache"), **options)
        stream = StreamingWindows(shards, "train", batch_size=BATCH, **options)
        readers: dict[str, Callable[[int], Iterable[Batch]]] = {
            "store": lambda epoch: in_order(data, epoch),
            "map-style": lambda epoch: in_order(mapped, epoch),
            "streaming": lambda epoch: streamed(stream, epoch),
        }
        expected = windows_of(readers["store"](0))
        equal = {reader: windows_of(make(0)) == expected for reader, make in readers.items()}
        if not all(equal.values()):
            raise SystemExit(f"the readers do not give the same windows: {equal}")
        rates: dict[str, list[float]] = {reader: [] for reader in readers}
        cpu_rates: dict[str, list[float]] = {reader: [] for reader in readers}
        for epoch in range(1, arguments.rounds + 1):
            for reader, make in readers.items():
                rate, cpu_rate = windows_per_second(make(epoch))
                rates[reader].append(rate)
                cpu_rates[reader].append(cpu_rate)
        parquet = sum(file.stat().st_size for file in (folder / "shards" / "data").glob("train-*"))

    result = {
        "windows": len(data),
        "equal": True,
        "margin": arguments.margin,
        "rounds": arguments.rounds,
        "export_windows_per_second": round(len(data) / exporting),
        "parquet_bytes_per_window": round(parquet / len(data)),
        "windows_per_second": {reader: round(statistics.median(values)) for reader, values in rates.items()},
        "best_windows_per_second": {reader: round(max(values)) for reader, values in rates.items()},
        "windows_per_cpu_second": {reader: round(statistics.median(values)) for reader, values in cpu_rates.items()},
        "ratio_to_store": {
            reader: spread([a / b for a, b in zip(rates[reader], rates["store"], strict=True)])
            for reader in ("map-style", "streaming")
        },
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "load": round(os.getloadavg()[0], 1)},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{len(data):,} windows, the same in all three; {result['parquet_bytes_per_window']:,} bytes each in Parquet")
    for reader, rate in result["windows_per_second"].items():
        best, cpu = result["best_windows_per_second"][reader], result["windows_per_cpu_second"][reader]
        print(f"{reader:10} {rate:>9,} windows/s (best {best:,}; {cpu:,} a second of processor time)")
    for reader, (median, low, high) in result["ratio_to_store"].items():
        print(f"{reader:10} {median:.2f}x the store ({low:.2f}-{high:.2f})")


def spread(ratios: list[float]) -> list[float]:
    """Return median, smallest and largest."""
    return [round(value, 3) for value in (statistics.median(ratios), min(ratios), max(ratios))]


if __name__ == "__main__":
    main()
