"""The golden test: the same reads in every format, order and naming give the same counts."""

import gzip
import importlib.util
import random

import numpy as np
import pytest
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.fasta import decode
from chromhub.datasets_scripts.folds import Split
from chromhub.datasets_scripts.fragments import count_insertions
from chromhub.datasets_scripts.reads import ReadRules
from chromhub.datasets_scripts.store_inputs import StoreInputs, TrackSource
from chromhub.datasets_scripts.track_kinds import READ_KINDS

SIZES = {"chr2": 3000, "chr1": 5000, "chrM": 900}
READ_LENGTH = 50
needs_pysam = pytest.mark.skipif(
    importlib.util.find_spec("pysam") is None, reason="pysam (extra `bam`) is not installed"
)
FORMATS = ["fragments", "bedpe", "tagalign", pytest.param("bam", marks=needs_pysam)]


def toy_reads(num: int = 400) -> list[tuple[str, int, int]]:
    """Fragments with many shared ends, some shorter than a read."""
    rng = random.Random(0)
    reads = []
    for _ in range(num):
        chrom = rng.choice(list(SIZES))
        start = rng.randrange(0, SIZES[chrom] - 300, 7)
        reads.append((chrom, start, start + rng.randrange(30, 300)))
    return reads


def counts_by_hand(reads, shift=(0, 0)) -> dict[str, np.ndarray]:
    """Count one read and one end at a time."""
    found = {chrom: np.zeros(size, int) for chrom, size in SIZES.items()}
    for chrom, start, end in reads:
        for place in (start + shift[0], end - 1 + shift[1]):
            if 0 <= place < SIZES[chrom]:
                found[chrom][place] += 1
    return found


def write(path, kind, reads, *, naming=lambda name: name, contigs=tuple(SIZES)):
    """Write fragments as a file of a kind."""
    lines = []
    for i, (chrom, start, end) in enumerate(reads):
        name, left, right = naming(chrom), min(end, start + READ_LENGTH), max(start, end - READ_LENGTH)
        if kind == "fragments":
            lines.append(f"{name}\t{start}\t{end}\tAAAC-{i % 3}\t1")
        elif kind == "bedpe":
            mates = [(start, left, "+"), (right, end, "-")][:: 1 if i % 2 else -1]  # either mate may come first
            (a, b, s), (c, d, t) = mates
            lines.append(f"{name}\t{a}\t{b}\t{name}\t{c}\t{d}\tread{i}\t60\t{s}\t{t}")
        else:
            lines += [f"{name}\t{start}\t{left}\tN\t1000\t+", f"{name}\t{right}\t{end}\tN\t1000\t-"]
    if kind == "bam":
        write_bam(path, reads, naming=naming, contigs=contigs)
    else:
        path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def write_bam(
    path, reads, *, naming=lambda name: name, contigs=tuple(SIZES), sizes=SIZES, change=lambda i, read: [read]
):
    """Write a proper pair for each fragment; `change` turns each alignment into the ones to write."""
    import pysam

    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": naming(c), "LN": sizes[c]} for c in contigs]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for i, (chrom, start, end) in enumerate(reads):
            length = min(READ_LENGTH, end - start)
            for reverse in (False, True):
                read = pysam.AlignedSegment(file.header)
                read.query_name = f"read{i}"
                read.flag = 0x3 | (0x10 | 0x80 if reverse else 0x20 | 0x40)
                read.reference_id = read.next_reference_id = contigs.index(chrom)
                places = (start, end - length)[:: -1 if reverse else 1]
                read.reference_start, read.next_reference_start = places
                read.template_length = (start - end) if reverse else end - start
                read.mapping_quality = 60
                read.cigartuples = [(0, length)]
                read.query_sequence = "A" * length
                for changed in change(i, read):
                    file.write(changed)
    return path


def counted(path, kind, *, shift=(0, 0), rules=None):
    counts, report = count_insertions(path, SIZES, kind=kind, tn5_shift=shift, rules=rules)
    return dict(counts), report


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("shift", [(0, 0), (4, -5), (4, -4)])
def test_every_format_gives_the_same_counts(tmp_path, kind, shift) -> None:
    reads = toy_reads()
    found, report = counted(write(tmp_path / "a", kind, reads), kind, shift=shift)
    for chrom, expected in counts_by_hand(reads, shift).items():
        assert np.array_equal(found[chrom], expected)
    assert report.read == report.kept + sum(report.dropped.values())
    assert report.kept == len(reads) * (2 if kind == "tagalign" else 1)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("naming", [lambda name: name, lambda name: name[3:].replace("M", "MT")], ids=["chr1", "1"])
def test_order_and_naming_do_not_matter(tmp_path, kind, naming) -> None:
    reads = toy_reads()
    expected = counts_by_hand(reads)
    shuffled = random.Random(1).sample(reads, len(reads))
    for i, (order, contigs) in enumerate(
        [(sorted(reads), ("chr1", "chr2", "chrM")), (shuffled, ("chrM", "chr2", "chr1"))]
    ):
        path = write(tmp_path / str(i), kind, order, naming=naming, contigs=contigs)
        found, report = counted(path, kind)
        assert all(np.array_equal(found[chrom], expected[chrom]) for chrom in SIZES)
        assert report.unknown_chroms == []


@pytest.mark.parametrize("kind", FORMATS)
def test_collapse(tmp_path, kind) -> None:
    reads = [("chr1", 10, 110), ("chr1", 10, 110), ("chr1", 10, 111), ("chr2", 10, 110)]
    found, report = counted(write(tmp_path / "a", kind, reads), kind, rules=ReadRules(duplicates="collapse"))
    if kind == "tagalign":  # no pairs: a place of one strand counts once
        assert (found["chr1"][10], report.dropped) == (1, {"duplicate by its two ends": 3})
    else:
        assert (found["chr1"][10], found["chr1"][109], report.dropped["duplicate by its two ends"]) == (2, 1, 1)


def test_read_support(tmp_path) -> None:
    (tmp_path / "a.tsv").write_text("chr1\t10\t20\tAA-1\t3\nchr1\t10\t30\tCC-1\t1\n")
    assert counted(tmp_path / "a.tsv", "fragments")[0]["chr1"][10] == 2
    found, report = counted(tmp_path / "a.tsv", "fragments", rules=ReadRules(duplicates="keep"))
    assert (found["chr1"][10], found["chr1"][19], report.read) == (4, 3, 4)
    (tmp_path / "a.tsv").write_text("chr1\t10\t20\tAA-1\t3\nchr1\t10\t30\tCC-1\t0\n")
    with pytest.raises(ValueError, match="line 2: column 5, the read support, must be 1 or more"):
        counted(tmp_path / "a.tsv", "fragments", rules=ReadRules(duplicates="keep"))


def test_bedpe_of_mates_apart(tmp_path) -> None:
    lines = ["chr1\t5\t9\tchr2\t8\t12", ".\t-1\t-1\tchr1\t8\t12", "chr1\t8\t12\t.\t-1\t-1", "chr1\t30\t40\tchr1\t5\t9"]
    (tmp_path / "a.bedpe").write_text("\n".join(lines))
    found, report = counted(tmp_path / "a.bedpe", "bedpe")
    assert np.flatnonzero(found["chr1"]).tolist() == [5, 39]
    assert report.dropped == {"a mate is unmapped": 2, "mates on two chromosomes": 1}
    assert (report.read, report.kept) == (4, 1)


@pytest.mark.parametrize(
    ("kind", "line", "sentence"),
    [
        ("bedpe", "chr1\t5\t9", "line 2: bedpe must have at least 6 columns"),
        ("bedpe", "chr1\t5\t9\tchr1\t9\t8", "line 2: must have 0 <= start < end"),
        ("bedpe", "chr1\t5\t9\tchr1\tx\t8", "line 2: column 2, the start, must be an integer, got 'x'"),
        ("tagalign", "chr1\t5\t9\tN\t1000\t.", r"line 2: column 6, the strand, must be \+ or -, got '.'"),
        ("tagalign", "chr1\t5\t9", "line 2: column 6, the strand, must be"),
        ("tagalign", "chr1\t9\t9\tN\t1000\t+", "line 2: must have 0 <= start < end"),
    ],
)
def test_bad_lines_are_named(tmp_path, kind, line, sentence) -> None:
    good = {"bedpe": "chr1\t5\t9\tchr1\t8\t12", "tagalign": "chr1\t5\t9\tN\t1000\t+"}[kind]
    (tmp_path / "a").write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(ValueError, match=sentence):
        counted(tmp_path / "a", kind)


@needs_pysam
def test_a_store_has_the_same_track_from_every_format_order_and_naming(tmp_path) -> None:
    reads = toy_reads()
    rng = np.random.default_rng(0)
    bases = {chrom: decode(rng.integers(0, 4, size).astype(np.uint8)) for chrom, size in SIZES.items()}
    (tmp_path / "g.fa").write_text("".join(f">{chrom}\n{sequence}\n" for chrom, sequence in bases.items()))
    tracks = []
    for kind in READ_KINDS:
        for name, naming, contigs in (
            ("as", lambda chrom: chrom, ("chr1", "chr2", "chrM")),
            ("other", lambda chrom: chrom[3:].replace("M", "MT"), ("chrM", "chr2", "chr1")),
        ):
            order = sorted(reads) if name == "as" else random.Random(2).sample(reads, len(reads))
            path = write(tmp_path / f"{kind}.{name}", kind, order, naming=naming, contigs=contigs)
            tracks.append(TrackSource(f"{kind}-{name}", path, kind, (4, -4), exclude=("chrM",)))
    split = Split(("chr1",), ("chr2:0-1500",), ("chr2:1500-3000",))
    inputs = StoreInputs(tmp_path / "g.fa", tuple(tracks), split=split, bin_size=1)
    store = build_store(inputs, tmp_path / "store")
    assert len(store.track_names) == 8
    assert len({entry["digest"] for entry in store.description["tracks"]}) == 1
    expected = counts_by_hand([read for read in reads if read[0] != "chrM"], (4, -4))
    for chrom in SIZES:
        for track in store.track_names:
            assert np.array_equal(store.signal(chrom, track), expected[chrom])
