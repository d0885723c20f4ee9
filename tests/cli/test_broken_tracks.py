"""Broken tracks, sheets and barcodes through the command line: exit code 2, one sentence, and nothing left behind."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyBigWig
import pytest

from tests.cli.test_broken_inputs import (
    _nothing_is_left,
    assert_refused,
    bigwig,
    build,
    cut,
    folder_of,
    fragments,
    parametrized,
    renamed,
)
from tests.datasets_scripts.conftest import SIZES, Toy
from tests.datasets_scripts.test_read_formats import write_bam

__all__ = ["_nothing_is_left"]

TRACKS = {
    "truncated": (lambda toy: cut(renamed(toy.folder / "a.bw", "x.bw"), 0.6), ["x.bw", "truncated"]),
    "truncated header": (lambda toy: cut(renamed(toy.folder / "a.bw", "x.bw"), 0.0001), ["x.bw", "bigWig"]),
    "empty": (lambda toy: toy.file("x.bw", ""), ["x.bw", "is not a bigWig"]),
    "a BED": (lambda toy: renamed(toy.folder / "blacklist.bed", "x.bw"), ["x.bw", "is not a bigWig"]),
    "a FASTA": (lambda toy: toy.inputs.fasta, ["genome.fa", "is not recognised: say what it is by --kind NAME=KIND"]),
    "a folder": (lambda toy: folder_of(toy, "x.bw"), ["x.bw", "does not exist or is not a file"]),
    "another assembly": (lambda toy: bigwig(toy, {"chr1": 50_000, "chr2": 38_001}, [1]), ["made.bw", "50"]),
    "no chromosome in common": (lambda toy: bigwig(toy, {"scaffold_1": 900}, [1]), ["made.bw", "scaffold_1", "chr1"]),
    "negative": (lambda toy: bigwig(toy, SIZES, [1, -2]), ["made.bw", "chr1:10", "must not be negative, got -2"]),
    "infinite": (lambda toy: bigwig(toy, SIZES, [1, np.inf]), ["made.bw", "chr1:10", "must be finite, got inf"]),
    "only zeros": (lambda toy: bigwig(toy, SIZES, [0]), ["made.bw", "no signal"]),
    "a name with a slash": (lambda toy: f"a/b={toy.folder / 'a.bw'}", ["'a/b'", "--track name=path"]),
}


@parametrized(TRACKS)
def test_tracks(toy, make: Callable[[Toy], object], parts) -> None:
    assert_refused(build(toy, track=make(toy)), *parts)


def test_a_bigwig_whose_data_is_damaged(toy) -> None:
    path = renamed(toy.folder / "a.bw", "x.bw")
    content = bytearray(path.read_bytes())
    with pyBigWig.open(str(path)) as file:
        assert file.isBigWig()
    start = int.from_bytes(content[16:24], "little") + 8  # the data's offset, its number of sections before it
    content[start + 16 : start + 4000] = bytes(3984)
    path.write_bytes(content)
    assert_refused(build(toy, track=path), "x.bw", "truncated or damaged")


@parametrized(
    {
        "empty": ("", ["holds no fragment"]),
        "end before start": ("chr1\t5\t9\nchr1\t9\t5\n", ["line 2", "0 <= start < end"]),
        "no integer": ("chr1\t5\t9\nchr1\tx\t5\n", ["line 2", "must be an integer, got 'x'"]),
        "no chromosome in common": ("X1\t5\t9\n", ["X1", "chr1"]),
        "past the end": ("chr1\t50000\t50100\n", ["no signal"]),
    }
)
def test_fragments(toy, make: str, parts) -> None:
    assert_refused(build(toy, **fragments(toy, make)), "cells.tsv", *parts)


@parametrized(
    {
        "empty": ("", ["holds no barcode"]),
        "two types": ("AA-1\tB\nAA-1\tT\n", ["line 2", "barcode AA-1 must have one cell type"]),
        "none of the file's": ("GG-1\tB\n", ["have no barcode in common", "GG-1"]),
    }
)
def test_barcodes(toy, make: str, parts) -> None:
    cells = fragments(toy, "chr1\t5\t90\tAA-1\t1\nchr1\t50\t95\tCC-1\t1\n")
    assert_refused(build(toy, **cells, barcodes=toy.file("types.tsv", make)), "types.tsv", *parts)


@parametrized(
    {
        "empty": ("", ["holds no sample"]),
        "no path": ("name,kind\na,bigwig\n", ["line 1", "must have a column path"]),
        "a missing file": ("name,path\nx,none.bw\n", ["line 2, column path", "none.bw does not exist"]),
        "one name twice": ("name,path\nx,a.bw\nx,b.bw\n", ["line 3, column name", "names must differ"]),
        "an unknown column": ("name,path,colour\nx,a.bw,red\n", ["line 1, column 'colour'", "must be one of"]),
    }
)
def test_sheets(toy, make: str, parts) -> None:
    assert_refused(build(toy, track=None, sheet=toy.file("sheet.csv", make)), "sheet.csv", *parts)


@parametrized(
    {
        "overlapping": ("chr1\t0\t10\t1\nchr1\t5\t15\t2\n", ["line 2", "must not overlap"]),
        "no number": ("chr1\t0\t10\tnan\n", ["line 1", "column 4, the value, must be a number, got 'nan'"]),
        "negative": ("chr1\t0\t10\t-1\n", ["line 1", "must not be negative, got -1"]),
        "empty": ("", ["holds no interval"]),
    }
)
def test_bedgraphs(toy, make: str, parts) -> None:
    assert_refused(build(toy, track=toy.file("x.bedGraph", make)), "x.bedGraph", *parts)


@pytest.mark.skipif(find_spec("pysam") is None, reason="pysam (extra `bam`) is not installed")
@parametrized(
    {
        "truncated": (lambda toy: cut(bam(toy, "x.bam"), 0.6), ["x.bam", "truncated"]),
        "a FASTA": (lambda toy: renamed(toy.inputs.fasta, "x.bam"), ["x.bam is no BAM"]),
        "a bigWig": (lambda toy: renamed(toy.folder / "a.bw", "x.bam"), ["x.bam is a bigWig, not a bam file"]),
        "another assembly": (lambda toy: bam(toy, "x.bam", chr1=39_999), ["x.bam", "39999", "40000"]),
    }
)
def test_bams(toy, make: Callable[[Toy], Path], parts) -> None:
    assert_refused(build(toy, track=make(toy)), *parts)


def bam(toy: Toy, name: str, **sizes: int) -> Path:
    """Write a BAM of 2,000 pairs."""
    reads = [("chr1", i * 10, i * 10 + 90) for i in range(2000)]
    return write_bam(toy.folder / name, reads, contigs=("chr1", "chr2"), sizes=SIZES | sizes)
