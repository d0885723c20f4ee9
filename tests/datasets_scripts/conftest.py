"""A toy genome: two chromosomes of about 40 kb, and tracks whose values are formulas of the position."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from chromhub.datasets_scripts.bigwig import write_bigwig
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.fasta import decode
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.store_inputs import StoreInputs, TrackSource

SIZES = {"chr1": 40_000, "chr2": 38_001}  # the second ends within a bin of 4


def toy_codes(chrom: str) -> np.ndarray:
    """Random bases with 100 N at 20,000 of chr1."""
    codes = np.random.default_rng(list(SIZES).index(chrom)).integers(0, 4, SIZES[chrom]).astype(np.uint8)
    if chrom == "chr1":
        codes[20_000:20_100] = 4
    return codes


def toy_signal(chrom: str, track: str) -> np.ndarray:
    """Per bp: position modulo 97 ("a") or 89 ("b") in the first 300 bp of every kb, 0 elsewhere."""
    position = np.arange(SIZES[chrom])
    return np.where(position % 1000 < 300, position % {"a": 97, "b": 89}[track], 0).astype(np.float32)


def write_fasta(path: Path, sequences: dict[str, str], *, width: int = 60, newline: str = "\n") -> Path:
    lines = []
    for name, bases in sequences.items():
        lines += [f">{name}", *(bases[i : i + width] for i in range(0, len(bases), width))]
    path.write_bytes((newline.join(lines) + newline).encode())
    return path


@dataclass(frozen=True)
class Toy:
    """The toy's files, and `build` to make a store of them with some inputs changed."""

    folder: Path
    inputs: StoreInputs

    def build(self, name: str = "store", *, overwrite: bool = False, **changes) -> GenomeStore:
        return build_store(replace(self.inputs, **changes), self.folder / name, overwrite=overwrite)

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def bigwig(self, name: str, sizes: dict[str, int], values: Callable[[str], np.ndarray]) -> Path:
        path = self.folder / name
        write_bigwig(path, sizes, ((chrom, 0, values(chrom)) for chrom in sizes), bin_size=1)
        return path


@pytest.fixture
def toy(tmp_path) -> Toy:
    fasta = write_fasta(tmp_path / "genome.fa", {chrom: decode(toy_codes(chrom)) for chrom in SIZES})
    peaks = [
        ("chr1", 1000, 1300, 150),
        ("chr1", 5000, 5300, 100),
        ("chr1", 5200, 5500, 50),
        ("chr2", 30_000, 30_400, -1),
    ]
    lines = (f"{c}\t{s}\t{e}\tp\t0\t.\t1\t-1\t-1\t{summit}\n" for c, s, e, summit in peaks)
    (tmp_path / "peaks.narrowPeak").write_text("".join(lines))
    (tmp_path / "blacklist.bed").write_text("chr1\t10000\t11000\tbad\n")
    (tmp_path / "unmappable.bed").write_text("chr1\t15000\t15500\nchr2\t2000\t2010\n")
    split = {"train": ["chr1"], "valid": ["chr2:0-19000"], "test": ["chr2:19000-38001"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    for track in "ab":
        chunks = ((chrom, 0, toy_signal(chrom, track)) for chrom in SIZES)
        write_bigwig(tmp_path / f"{track}.bw", SIZES, chunks, bin_size=1)
    inputs = StoreInputs(
        fasta=fasta,
        tracks=tuple(TrackSource(track, tmp_path / f"{track}.bw") for track in "ab"),
        split=tmp_path / "split.json",
        peaks=tmp_path / "peaks.narrowPeak",
        blacklist=tmp_path / "blacklist.bed",
        unmappable=tmp_path / "unmappable.bed",
        genome="toy",
    )
    return Toy(tmp_path, inputs)


@pytest.fixture
def store(toy) -> GenomeStore:
    return toy.build()
