from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pysam = pytest.importorskip("pysam", reason="pysam (extra `bam`) is not installed")
from chromhub.datasets_scripts import bam as bam_module  # noqa: E402
from chromhub.datasets_scripts.bam import bam_chrom_sizes, read_bam  # noqa: E402
from chromhub.datasets_scripts.fragments import count_insertions  # noqa: E402
from chromhub.datasets_scripts.reads import ReadRules  # noqa: E402

from .test_read_formats import SIZES, toy_reads, write_bam  # noqa: E402

READS = [("chr1", 100 * i, 100 * i + 90) for i in range(8)]


def ends(path: Path, rules: ReadRules | None = None) -> tuple[list[tuple[int, int]], dict[str, int]]:
    """Return first and last bases of the reads that count, and the number of others by reason."""
    dropped: Counter[str] = Counter()
    chunks = list(read_bam(path, rules or ReadRules(), dropped))
    return [pair for c in chunks for pair in zip(c.first.tolist(), c.last.tolist(), strict=True)], dict(dropped)


def flagged(*flags: int):
    """Return a `change` that sets a flag on the two mates of fragment 0, 1, ..."""

    def change(i, read):
        read.flag |= flags[i] if i < len(flags) else 0
        return [read]

    return change


def test_flags_are_dropped_and_counted_and_one_mate_counts(tmp_path) -> None:
    path = write_bam(tmp_path / "a.bam", READS, change=flagged(0x4, 0x100, 0x800, 0x200, 0x400))
    found, dropped = ends(path)
    assert found == [(500, 589), (600, 689), (700, 789)]
    assert dropped == {
        **dict.fromkeys(("unmapped", "secondary alignment", "supplementary alignment"), 2),
        **dict.fromkeys(("failed quality control", "marked duplicate"), 2),
        "the other mate of a pair": 3,
    }
    assert len(ends(path, ReadRules(duplicates="keep"))[0]) == 4
    report = count_insertions(path, SIZES, kind="bam")
    list(report[0])
    assert (report[1].read, report[1].kept) == (16, 3)


def test_improper_pairs_do_not_count(tmp_path) -> None:
    def change(i, read):
        read.flag &= ~0x2 if i == 0 else -1
        if i == 1:
            read.template_length *= -1
        return [read]

    found, dropped = ends(write_bam(tmp_path / "a.bam", READS[:3], change=change))
    assert found == [(200, 289)]
    assert dropped == {
        "not a proper pair": 2,
        "mates that do not face each other": 1,
        "the other mate of a pair": 2,
    }


def test_mates_with_one_start(tmp_path) -> None:
    def change(_, read):
        read.template_length *= -1  # which of the two is the left one is arbitrary
        return [read]

    path = write_bam(tmp_path / "a.bam", [("chr1", 10, 40)], change=change)  # shorter than a read
    assert ends(path)[0] == [(10, 39)]


def test_mapping_quality_of_both_mates(tmp_path) -> None:
    def change(i, read):
        if i == 0 and not read.is_reverse:
            read.mapping_quality = 5
        if i == 1 and not read.is_reverse:
            read.set_tag("MQ", 5)  # the mate's, as samtools fixmate -m writes it
        return [read]

    path = write_bam(tmp_path / "a.bam", READS[:3], change=change)
    assert len(ends(path)[0]) == 3
    found, dropped = ends(path, ReadRules(min_mapping_quality=30))
    assert (found, dropped["mapping quality below 30"]) == ([(200, 289)], 2)


def test_reads_without_mates_are_cut_at_their_five_prime_end(tmp_path) -> None:
    def change(_, read):
        read.flag &= 0x10
        read.next_reference_id, read.next_reference_start, read.template_length = -1, -1, 0
        if read.is_reverse:
            read.cigartuples = [(0, 20), (2, 5), (0, 30)]  # a deletion makes it 55 bp on the genome
        return [read]

    path = write_bam(tmp_path / "a.bam", [("chr1", 100, 300)], change=change)
    # forward: 100; reverse: starts at 300 - 50 = 250 and ends before 250 + 55
    assert ends(path)[0] == [(100, -1), (-1, 304)]
    counts = dict(count_insertions(path, SIZES, kind="bam", tn5_shift=(4, -5))[0])
    assert np.flatnonzero(counts["chr1"]).tolist() == [104, 299]


def test_chunks_and_sizes(tmp_path, monkeypatch) -> None:
    path = write_bam(tmp_path / "a.bam", toy_reads())
    whole = ends(path)
    monkeypatch.setattr(bam_module, "_CHUNK", 37)
    assert ends(path) == whole
    assert bam_chrom_sizes(path) == SIZES


def test_another_assembly_is_refused(tmp_path) -> None:
    path = write_bam(tmp_path / "a.bam", READS)
    counts, _ = count_insertions(path, SIZES | {"chr1": 4000}, kind="bam")
    with pytest.raises(ValueError, match="says chr1 has 5000 bp, the FASTA's chr1 has 4000: they are of different"):
        list(counts)


def test_damaged_files_are_refused(tmp_path) -> None:
    path = write_bam(tmp_path / "a.bam", toy_reads())
    body = path.read_bytes()
    middle = bytearray(body)
    middle[len(body) // 2] ^= 255
    for name, content in (
        ("cut", body[: len(body) // 2]),
        ("no end", body[:-28]),
        ("text", b"chr1\t0\t5\n"),
        ("empty", b""),
        ("middle", bytes(middle)),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="is no BAM, or a truncated"):
            ends(tmp_path / name)


def test_without_pysam(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pysam", None)
    with pytest.raises(ValueError, match=r'which needs pysam: pip install "chromhub\[bam\]"'):
        ends(tmp_path / "a.bam")
