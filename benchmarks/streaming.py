"""Windows per second: exported Parquet shards, streamed and map-style, against the store they were made of.

All give the same batches of 64 tensors, codes and float32 signal of one track, windows of 2,048 bp, moved by up to the
margin and half of them turned around, through the loaders that training uses. First every window of an epoch is shown
equal; then whole epochs are timed in turn, on two cores where the machine has more. The shards lie in the page cache.

* store: `GenomeStore` in memory, one process
* map-style: the copy that `load_dataset` keeps, one process
* streaming: one process, whose threads read ahead; and two worker processes
* datasets: the shuffled stream of `datasets` itself over the same shards, as Arrow tables that are neither cut, turned
  nor made tensors. It sleeps for 5 seconds at the end of a pass over several shards, whatever their size

"First batch" is the wait from the start of an epoch, "longest wait" the worst in the rest of it, its end included. The
genome is random, its track has a value every 25 bp or so, with gaps. Ratios are to the store in the same round, and
processor time is that of all threads and workers.

    python benchmarks/streaming.py [--megabases 60] [--rounds 5] [--margin 1024] [--output FILE] [--json]
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.dataset import WindowDataset
from chromhub.datasets_scripts.export import ExportPlan, export_shards
from chromhub.datasets_scripts.folds import Split
from chromhub.datasets_scripts.loader import WindowBatches, WindowLoader
from chromhub.datasets_scripts.shard_windows import ShardWindows
from chromhub.datasets_scripts.shards import Shards
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.store_inputs import StoreInputs, TrackSource
from chromhub.datasets_scripts.streaming import StreamingWindows, StreamLoader
from datasets import disable_progress_bars, load_dataset
from windows import write_genome

RESULTS = Path(__file__).parent / "results" / "streaming.json"
LENGTH, BIN_SIZE, BATCH, CORES = 2048, 4, 64, 2
MEGABASES, ROUNDS, MARGIN = 60, 5, 1024
Epoch = Callable[[int], Iterable[Any]]
"""Starts an epoch; gives its batches."""


def loaded(dataset: WindowDataset | ShardWindows) -> Epoch:
    """Return the epochs of a map-style dataset, as in training."""
    batches = WindowBatches(len(dataset), batch_size=BATCH, seed=0)

    def epoch(number: int) -> Iterable[Any]:
        batches.set_epoch(number)
        dataset.set_epoch(number)
        return WindowLoader(dataset, batches)

    return epoch


def streamed(stream: StreamingWindows, *, num_workers: int) -> Epoch:
    """Return the epochs of a stream, as in training."""
    loader = StreamLoader(stream, num_workers=num_workers)

    def epoch(number: int) -> Iterable[Any]:
        loader.set_epoch(number)
        return loader

    return epoch


def theirs(shards: Shards) -> Epoch:
    """Return the epochs of `datasets`' own stream, shuffled within 4,096 windows."""
    stream: Any = load_dataset(shards.name, split="train", streaming=True)
    stream = stream.shuffle(seed=0, buffer_size=4096).with_format("arrow")

    def epoch(number: int) -> Iterable[Any]:
        stream.set_epoch(number)
        return stream.iter(BATCH)

    return epoch


def windows_of(batches: Iterable[dict[str, torch.Tensor]]) -> list[int]:
    """Return a hash of every value of each window of an epoch, sorted."""
    return sorted(
        hash(codes.tobytes() + labels.tobytes())
        for batch in batches
        for codes, labels in zip(batch["inputs"].numpy(), batch["labels"].numpy(), strict=True)
    )


def cpu_seconds() -> float:
    """Return the processor time of this process and of its workers that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def time_epoch(start: Callable[[], Iterable[Any]]) -> dict[str, float]:
    """Draw an epoch; return windows a second, by the clock and by processor time, and the waits for batches."""
    began, cpu = time.perf_counter(), cpu_seconds()
    number, times = 0, [began]
    for batch in start():
        number += batch.num_rows if hasattr(batch, "num_rows") else len(batch["inputs"])
        times.append(time.perf_counter())
    times.append(time.perf_counter())
    waits = np.diff(times)
    return {
        "windows_per_second": number / (times[-1] - began),
        "windows_per_cpu_second": number / (cpu_seconds() - cpu),
        "first_batch_seconds": float(waits[0]),
        "longest_wait_seconds": float(waits[1:].max()),
    }


def must_be_equal(readers: dict[str, Epoch], starts: np.ndarray) -> None:
    """Stop unless all readers give the same windows of an epoch: no timing would be worth anything."""
    expected = windows_of(readers["store"](0))
    for name, epoch in readers.items():
        if name == "datasets":
            found = np.concatenate([batch["start"].to_numpy() for batch in epoch(0)])
            same = np.array_equal(np.sort(found), np.sort(starts))
        else:
            same = windows_of(epoch(0)) == expected
        if not same:
            raise SystemExit(f"{name} and the store do not give the same windows: no timing is worth anything")
    sys.stderr.write(f"equal: {len(expected):,} windows of {', '.join(readers)}\n")


def measure(*, megabases: float = MEGABASES, rounds: int = ROUNDS, margin: int = MARGIN) -> dict[str, Any]:
    """Make store and shards, show the readers equal, time them; return the results."""
    disable_progress_bars()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fasta, bigwig = write_genome(folder, megabases, np.random.default_rng(0))
        split = Split(("chr0", "chr1", "chr2"), ("chr3",), ())
        inputs = StoreInputs(fasta, (TrackSource("track", bigwig),), split=split, bin_size=BIN_SIZE)
        store = GenomeStore.open(build_store(inputs, folder / "store").path, in_memory=True)
        started = time.perf_counter()
        shards = export_shards(store, folder / "shards", ExportPlan(margin=margin))
        exporting = time.perf_counter() - started
        windows = shards.windows("train")
        options: dict[str, Any] = {"max_jitter": margin, "reverse_complement": True, "seed": 0}
        stream = StreamingWindows(shards, "train", batch_size=BATCH, **options)
        readers = {
            "store": loaded(WindowDataset(store, windows, input_length=LENGTH, **options)),
            "map-style": loaded(ShardWindows(shards, "train", cache_dir=str(folder / "cache"), **options)),
            "streaming": streamed(stream, num_workers=0),
            "streaming, 2 workers": streamed(stream, num_workers=2),
            "datasets": theirs(shards),
        }
        must_be_equal(readers, windows["start"].to_numpy())
        epochs: dict[str, list[dict[str, float]]] = {reader: [] for reader in readers}
        for number in range(1, rounds + 1):
            for reader, epoch in readers.items():
                epochs[reader].append(time_epoch(lambda epoch=epoch, number=number: epoch(number)))
        parquet = sum((folder / "shards" / file.path).stat().st_size for file in shards.part_files("train"))

    return {
        "windows": len(windows),
        "window": f"{LENGTH} bp and {margin} bp of margin on each side, 1 track in {BIN_SIZE}-bp bins, batch {BATCH}",
        "signal_dtype": shards.layout.signal_dtype,
        "shards": len(shards.part_files("train")),
        "equal": True,
        "rounds": rounds,
        "export_windows_per_second": round(len(windows) / exporting),
        "parquet_bytes_per_window": round(parquet / len(windows)),
        "readers": {reader: summary(rows, epochs["store"]) for reader, rows in epochs.items()},
        "machine": {
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "python": platform.python_version(),
            "load": round(os.getloadavg()[0], 1),
        },
    }


def summary(rows: list[dict[str, float]], store: list[dict[str, float]]) -> dict[str, Any]:
    """Return the medians of a reader's rounds with their ranges, and its longest waits."""
    result: dict[str, Any] = {}
    for rate in ("windows_per_second", "windows_per_cpu_second"):
        values = [row[rate] for row in rows]
        result[rate] = round(statistics.median(values))
        result[f"{rate}_range"] = [round(min(values)), round(max(values))]
        ratios = [row[rate] / base[rate] for row, base in zip(rows, store, strict=True)]
        result[rate.replace("windows_per", "ratio_per")] = round(statistics.median(ratios), 3)
    result["first_batch_seconds"] = round(statistics.median(row["first_batch_seconds"] for row in rows), 4)
    result["first_batch_seconds_worst"] = round(max(row["first_batch_seconds"] for row in rows), 4)
    result["longest_wait_seconds"] = round(max(row["longest_wait_seconds"] for row in rows), 4)
    return result


def lines(result: dict[str, Any]) -> str:
    """Return the results as lines to read."""
    text = [f"{result['windows']:,} windows, the same in all; {result['parquet_bytes_per_window']:,} bytes in Parquet"]
    for reader, row in result["readers"].items():
        low, high = row["windows_per_second_range"]
        text.append(
            f"{reader:20} {row['windows_per_second']:>9,} windows/s ({low:,}-{high:,}), "
            f"{row['windows_per_cpu_second']:,} a second of processor time; first batch "
            f"{row['first_batch_seconds'] * 1e3:.0f} ms, longest wait {row['longest_wait_seconds'] * 1e3:,.0f} ms"
        )
    return "\n".join(text)


def main() -> None:
    """Check, time, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabases", type=float, default=MEGABASES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--margin", type=int, default=MARGIN)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    arguments = parser.parse_args()
    if arguments.rounds < 5:
        parser.error(f"--rounds must be at least 5, got {arguments.rounds}")
    result = measure(megabases=arguments.megabases, rounds=arguments.rounds, margin=arguments.margin)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2) if arguments.json else lines(result))


if __name__ == "__main__":
    main()
