"""A store of a few hundred kb, written without the builders: signal rises around each GATAAG."""

import json
from pathlib import Path

import numpy as np
from chromhub.datasets_scripts.store import FORMAT, VERSION, GenomeStore
from chromhub.datasets_scripts.store_files import PADDING, fingerprint_of, flat_layout

MOTIF = np.array([2, 0, 3, 0, 0, 2], np.uint8)  # GATAAG


def small_store(
    path: Path,
    *,
    seed: int = 0,
    num_tracks: int = 1,
    bin_size: int = 4,
    summary: str = "max",
    sizes: dict[str, int] | None = None,
    split: dict[str, list[str]] | None = None,
    genome: str = "toy",
) -> GenomeStore:
    """Write a store and open it; the same seed gives the same sequences."""
    sizes = sizes or {"one": 60_000, "two": 12_000, "three": 12_000}
    rng = np.random.default_rng(seed)
    offsets, length = flat_layout(sizes)
    codes = np.full(length, 4, np.uint8)
    signal = np.zeros(length // bin_size, np.float32)
    for chrom, size in sizes.items():
        bases = rng.integers(0, 4, size).astype(np.uint8)
        for start in rng.integers(200, size - 200, size // 1500):
            bases[start : start + 6] = MOTIF
            first = (offsets[chrom] + start) // bin_size
            signal[first - 100 // bin_size : first + 100 // bin_size] += rng.uniform(4, 8)
        codes[offsets[chrom] : offsets[chrom] + size] = bases
    (path / "tracks").mkdir(parents=True)
    np.save(path / "codes.npy", codes)
    names = [f"t{i}" for i in range(num_tracks)]
    for i, name in enumerate(names):
        np.save(path / "tracks" / f"{name}.npy", signal * (1 + i))
    for table, columns in (
        ("peaks", "chrom\tstart\tend\tsummit"),
        *((t, "chrom\tstart\tend") for t in ("blacklist", "unmappable", "gaps")),
    ):
        (path / f"{table}.tsv").write_text(columns + "\n")
    (path / "split.json").write_text(json.dumps(split or {"train": ["one"], "valid": ["two"], "test": ["three"]}))
    description = {
        "format": FORMAT,
        "version": VERSION,
        "genome": genome,
        "chroms": [{"name": chrom, "size": size, "digest": f"{seed}-{chrom}"} for chrom, size in sizes.items()],
        "bin_size": bin_size,
        "summary": summary,
        "tracks": [{"name": name} for name in names],
    }
    (path / "store.json").write_text(json.dumps(description))
    seal(path)
    assert PADDING > 2048
    return GenomeStore.open(path)


def seal(path: Path) -> None:
    """Record the fingerprint of a store's files as they are now, after a test has changed one."""
    description = json.loads((path / "store.json").read_text())
    description["fingerprint"] = fingerprint_of(description, path)
    (path / "store.json").write_text(json.dumps(description))
