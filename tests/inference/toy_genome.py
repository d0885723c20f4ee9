"""A genome of a few kb as files, and the store that the builders make of it."""

from pathlib import Path

import numpy as np
from chromhub.datasets_scripts.bigwig import write_bigwig
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.fasta import decode
from chromhub.datasets_scripts.folds import Split
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.store_inputs import StoreInputs, TrackSource

# Not in the order of their names, not multiples of a tile; chrA starts with a tile without a base.
SIZES = {"chrB": 16_384, "chrA": 9_002, "chrC": 5_001}
SPLIT = Split(train=("chrB:0-8192",), valid=("chrB:8192-16384",), test=("chrA", "chrC"))


def toy_codes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    codes = {chrom: rng.integers(0, 4, size).astype(np.uint8) for chrom, size in SIZES.items()}
    codes["chrA"][:1030] = 4
    return codes


def toy_fasta(path: Path) -> Path:
    path.write_text("".join(f">{chrom} toy\n{decode(codes)}\n" for chrom, codes in toy_codes().items()))
    return path


def toy_store(folder: Path, *, tracks: tuple[str, ...] = ("atac",), peaks: bool = True, **inputs) -> GenomeStore:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(4)
    for name in tracks:
        signal = [(chrom, 0, rng.gamma(0.5, 2.0, -(-size // 4)).astype(np.float32)) for chrom, size in SIZES.items()]
        write_bigwig(folder / f"{name}.bw", SIZES, signal, bin_size=4)
    bed = folder / "peaks.bed"
    bed.write_text(
        "".join(f"{chrom}\t{at}\t{at + 200}\n" for chrom, at in (("chrA", 3000), ("chrA", 6000), ("chrB", 50)))
    )
    defaults = {"split": SPLIT, "bin_size": 4, "summary": "max", "genome": "toy"}
    build_store(
        StoreInputs(
            fasta=toy_fasta(folder / "genome.fa"),
            tracks=tuple(TrackSource(name, folder / f"{name}.bw") for name in tracks),
            peaks=bed if peaks else None,
            **{**defaults, **inputs},
        ),
        folder / "store",
    )
    return GenomeStore.open(folder / "store")
