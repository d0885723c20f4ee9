"""Broken inputs through the command line: exit code 2, one sentence that names the file, and nothing left behind."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from chromhub.cli import app
from chromhub.datasets_scripts.store import GenomeStore
from typer.testing import CliRunner

from tests.datasets_scripts.conftest import SIZES, Toy

Options = dict[str, object]


def chromhub(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def build(toy: Toy, **changes: object):
    """Run `chromhub data build` on the toy with some options changed; None leaves one out."""
    folder = toy.folder
    options: Options = {
        "fasta": folder / "genome.fa",
        "track": folder / "a.bw",
        "peaks": folder / "peaks.narrowPeak",
        "blacklist": folder / "blacklist.bed",
        "split": folder / "split.json",
        "output": folder / "out",
    } | changes
    words = [("--" + name.replace("_", "-"), value) for name, value in options.items() if value is not None]
    return chromhub("data", "build", *(word for pair in words for word in pair))


def assert_refused(result, *parts: str) -> None:
    """One sentence on standard error, with every part in it."""
    assert result.exit_code == 2, (result.stderr, result.exception)
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")
    for part in parts:
        assert part in result.stderr, (part, result.stderr)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def cut(path: Path, share: float) -> Path:
    """Keep the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def cut_gzip(path: Path, name: str, share: float = 0.6) -> Path:
    """Write a file as gzip, and keep its first part."""
    target = path.with_name(name)
    target.write_bytes(gzip.compress(path.read_bytes()))
    return cut(target, share)


def bigwig(toy: Toy, sizes: dict[str, int], values: list[float]) -> Path:
    """Write a bigWig of one interval a value at the start of each chromosome, whatever the values are."""
    path = toy.folder / "made.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(list(sizes.items()))
        starts = [10 * i for i in range(len(values))]
        for chrom in sizes:
            file.addEntries(
                [chrom] * len(starts), starts, ends=[s + 10 for s in starts], values=[float(value) for value in values]
            )
    return path


def fragments(toy: Toy, text: str) -> Options:
    return {"track": None, "fragments": toy.file("cells.tsv", text)}


def folder_of(toy: Toy, name: str) -> Path:
    (toy.folder / name).mkdir()
    return toy.folder / name


def written(toy: Toy, name: str, content: bytes) -> Path:
    (toy.folder / name).write_bytes(content)
    return toy.folder / name


def renamed(source: Path, name: str) -> Path:
    """Copy a file under another name."""
    return Path(shutil.copy(source, source.with_name(name)))


FASTA = {
    "empty": (lambda toy: toy.file("x.fa", ""), ["x.fa", "holds no sequence"]),
    "blank": (lambda toy: toy.file("x.fa", "\n\n"), ["x.fa", "holds no sequence"]),
    "header only": (lambda toy: toy.file("x.fa", ">chr1\n>chr2\nACGT\n"), ["x.fa", "chr1 has no bases"]),
    "header without name": (lambda toy: toy.file("x.fa", ">\nACGT\n"), ["x.fa", "without a name"]),
    "duplicate names": (lambda toy: toy.file("x.fa", ">chr1\nAC\n>chr1 b\nGT\n"), ["x.fa", "'chr1' twice"]),
    "protein": (lambda toy: toy.file("x.fa", ">chr1\nMELQ\n"), ["x.fa", "chr1", "got 'E'"]),
    "truncated gzip": (lambda toy: cut_gzip(toy.inputs.fasta, "x.fa.gz"), ["x.fa.gz", "truncated or damaged gzip"]),
    "a BED": (lambda toy: renamed(toy.folder / "blacklist.bed", "x.fa"), ["x.fa", "is it FASTA?"]),
    "a bigWig": (lambda toy: renamed(toy.folder / "a.bw", "x.fa"), ["x.fa", "is it FASTA?"]),
    "a 2bit": (lambda toy: written(toy, "x.fa", b"\x43\x27\x41\x1a\0\0"), ["x.fa is a 2bit file", "`twoBitToFa`"]),
    "a folder": (lambda toy: folder_of(toy, "x.fa"), ["x.fa", "does not exist or is not a file"]),
    "missing": (lambda toy: toy.folder / "x.fa", ["x.fa", "does not exist"]),
}
INTERVALS = {
    "end before start": ("chr1\t5\t9\nchr1\t100\t50\n", ["line 2", "0 <= start < end", "100 and 50"]),
    "empty interval": ("chr1\t100\t100\n", ["line 1", "0 <= start < end"]),
    "negative start": ("chr1\t-5\t100\n", ["line 1", "0 <= start < end"]),
    "no integer": (
        "chr1\t5\t9\n#c\nchr1\t1e3\t2000\n",
        ["line 3", "column 2, the start, must be an integer, got '1e3'"],
    ),
    "a header": ("chrom\tstart\tend\nchr1\t5\t9\n", ["line 1", "must be an integer, got 'start'"]),
    "two columns": ("chr1\t5\n", ["line 1", "at least 3 tab-separated columns"]),
    "commas": ("chr1,5,9\n", ["line 1", "at least 3 tab-separated columns"]),
    "no chromosome in common": ("scaffold_1\t5\t9\n", ["scaffold_1", "chr1"]),
}
PEAKS = {
    "empty": ("", ["holds no peak", "leave --peaks out"]),
    "comments only": ("# none\ntrack name=x\n", ["holds no peak"]),
    "past the end": ("chr1\t40000\t40100\nchr2\t38000\t38002\n", ["none of 2 peaks lies on the genome"]),
    "summit outside": ("chr1\t100\t200\tp\t0\t.\t1\t-1\t-1\t100\n", ["line 1", "the summit, must lie in [0, 100)"]),
}
SPLITS = {
    "no JSON": ('{"train": ["chr1"]', ["is not JSON"]),
    "a list": ('["chr1"]', ["train, valid and test"]),
    "a part missing": ('{"train": ["chr1"]}', ["train, valid and test"]),
    "no lists": ('{"train": "chr1", "valid": [], "test": []}', ["train must be a list"]),
    "overlapping parts": ('{"train": ["chr1"], "valid": ["chr1:5-9"], "test": []}', ["must not overlap", "chr1:5-9"]),
    "off the end": ('{"train": ["chr1:0-40001"], "valid": [], "test": []}', ["chr1:0-40001"]),
    "another genome": ('{"train": ["chrX"], "valid": [], "test": []}', ["chrX"]),
    "no region": ('{"train": ["chr1:9-5"], "valid": [], "test": []}', ["chr1:9-5"]),
}


@pytest.fixture(autouse=True)
def _nothing_is_left(toy):
    """Whatever happens, no store appears, none is half-written, and no input changes."""
    before = {path.name for path in toy.folder.iterdir()}
    yield
    left = {path for path in toy.folder.iterdir() if path.name not in before}
    assert not [path for path in left if path.name.startswith((".out", "out")) and "kept" not in path.name]


def parametrized(table: dict) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("make", "parts"), table.values(), ids=table)


@parametrized(FASTA)
def test_fasta(toy, make: Callable[[Toy], Path], parts) -> None:
    assert_refused(build(toy, fasta=make(toy)), *parts)


@pytest.mark.parametrize("option", ["peaks", "blacklist", "unmappable"])
@parametrized(INTERVALS)
def test_intervals(toy, option, make: str, parts) -> None:
    assert_refused(build(toy, **{option: toy.file("x.bed", make)}), "x.bed", *parts)


@parametrized(PEAKS)
def test_peaks(toy, make: str, parts) -> None:
    assert_refused(build(toy, peaks=toy.file("x.narrowPeak", make)), "x.narrowPeak", *parts)


@pytest.mark.parametrize("option", ["peaks", "blacklist", "fragments"])
def test_truncated_gzip(toy, option) -> None:
    text = "".join(f"chr1\t{i}\t{i + 50}\tp{i * 7919 % 1000}\n" for i in range(0, 30_000, 3))
    path = cut_gzip(toy.file("whole.bed", text), "x.bed.gz")
    tracks = {"track": None} if option == "fragments" else {}
    assert_refused(build(toy, **tracks, **{option: path}), "x.bed.gz", "truncated or damaged gzip", "download it again")


@pytest.mark.parametrize("option", ["peaks", "blacklist", "fragments"])
@pytest.mark.parametrize("source", ["a.bw", "genome.fa"])
def test_mislabelled_as_bed(toy, option, source) -> None:
    path = renamed(toy.folder / source, "x.bed.gz")
    tracks = {"track": None} if option == "fragments" else {}
    assert_refused(build(toy, **tracks, **{option: path}), "x.bed.gz")


@pytest.mark.parametrize("option", ["peaks", "blacklist", "fragments", "split"])
def test_a_folder_in_place_of_a_file(toy, option) -> None:
    tracks = {"track": None} if option == "fragments" else {}
    assert_refused(build(toy, **tracks, **{option: folder_of(toy, "x.bed")}), "x.bed", "exist")


@parametrized(SPLITS)
def test_splits(toy, make: str, parts) -> None:
    assert_refused(build(toy, split=toy.file("x.json", make)), "x.json", *parts)


@pytest.mark.parametrize("bin_size", [0, -4, 3, 6, 8192])
def test_bin_size(toy, bin_size) -> None:
    assert_refused(build(toy, bin_size=bin_size), "--bin-size must be a power of two", str(bin_size))


def test_duplicate_track_names(toy) -> None:
    path = toy.folder / "a.bw"
    words = ["--fasta", toy.inputs.fasta, "--track", path, "--track", path, "-o", toy.folder / "out"]
    assert_refused(chromhub("data", "build", *words), "two tracks are called 'a'", "--track name=path")


@pytest.mark.parametrize("name", ["genome.fa", "peaks.narrowPeak", "split.json"])
def test_a_file_that_cannot_be_opened(toy, name, monkeypatch) -> None:
    """As test_permissions.py, also where there are no permission bits."""
    opened = Path.open

    def refuse(self, *args, **kwargs):
        if self.name == name:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    assert_refused(build(toy), f"{name} may not be read (permission denied)", "ask its owner")


def test_an_output_that_exists(toy) -> None:
    kept = folder_of(toy, "kept-out")
    (kept / "thesis.txt").write_text("mine")
    assert_refused(build(toy, output=kept), "kept-out", "already exists", "--overwrite")
    result = chromhub(
        "data", "build", "--overwrite", "--fasta", toy.inputs.fasta, "--track", toy.folder / "a.bw", "-o", kept
    )
    assert_refused(result, "kept-out", "is not a chromhub store")
    assert_refused(build(toy, output=toy.inputs.fasta), "genome.fa", "already exists")
    assert_refused(build(toy, output=toy.inputs.fasta / "x"), "genome.fa/", "which is read: choose a place outside it")
    assert [path.name for path in kept.iterdir()] == ["thesis.txt"]
    assert toy.inputs.fasta.read_text().startswith(">chr1")


def test_a_failed_rebuild_keeps_the_old_store(toy) -> None:
    old = toy.build("kept-store").fingerprint
    words = ["--fasta", toy.inputs.fasta, "--track", bigwig(toy, SIZES, [-1]), "--split", toy.folder / "split.json"]
    assert_refused(chromhub("data", "build", *words, "-o", toy.folder / "kept-store", "--overwrite"), "made.bw")
    assert GenomeStore.open(toy.folder / "kept-store").fingerprint == old


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("chr1\t9\t5\n", ["x.bed, line 1", "0 <= start < end"]),
        ("chr1\t39990\t40001\n", ["chr1:39990-40001", "40000 bp"]),
        ("scaffold_1\t5\t9\n", ["scaffold_1"]),
        ("", ["no region was given"]),
    ],
)
def test_regions_to_predict(toy, tiny_model, text, parts) -> None:
    tiny_model.save_pretrained(toy.folder / "run")
    words = ["--fasta", toy.inputs.fasta, "--regions", toy.file("x.bed", text), "-o", toy.folder / "out.bw"]
    assert_refused(chromhub("predict", toy.folder / "run", *words, "--device", "cpu"), *parts)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_only_looks_broken_works(toy, newline) -> None:
    """CRLF, unsorted and overlapping intervals, comments, spaces, blank lines, missing values, an absent chromosome."""
    reference = build(toy, output=toy.folder / "kept-1")
    assert reference.exit_code == 0, reference.stderr
    lines = (toy.folder / "peaks.narrowPeak").read_text().splitlines()[::-1]
    peaks = toy.folder / "x.narrowPeak"
    peaks.write_bytes(newline.join(["# a comment", "track name=x", lines[0], "", *lines[1:], ""]).encode())
    masked = toy.folder / "x.bed"
    masked.write_bytes(newline.join(["chr1 10500 11000 b", "chr1 10000 10600 a", "chrUn 5 9", ""]).encode())
    fasta = toy.folder / "x.fa"
    fasta.write_bytes(
        toy.inputs.fasta.read_bytes().replace(b"\n", newline.encode()).lower().replace(b">chr", b"> chr"[:1] + b"chr")
    )
    split = toy.folder / "x.json"
    split.write_bytes((toy.folder / "split.json").read_bytes().replace(b"\n", newline.encode()))
    result = build(toy, output=toy.folder / "kept-2", peaks=peaks, blacklist=masked, fasta=fasta, split=split)
    assert result.exit_code == 0, result.stderr
    one, other = (GenomeStore.open(toy.folder / name) for name in ("kept-1", "kept-2"))
    assert one.chrom_digests == other.chrom_digests
    assert one.peaks.equals(other.peaks)
    assert (other.blacklist["end"] - other.blacklist["start"]).sum() > 0
    report = json.loads((toy.folder / "kept-2" / "report.json").read_text())
    assert any(entry["dropped"] == {"chromosome not in the genome": 1} for entry in report)


def test_missing_values_are_zero(toy) -> None:
    path = bigwig(toy, {"chr1": 40_000}, [1, np.nan, 3])  # and chr2 is absent
    result = build(toy, track=path, output=toy.folder / "kept")
    assert result.exit_code == 0, result.stderr
    store = GenomeStore.open(toy.folder / "kept")
    assert store.signal("chr1")[:8].tolist() == [1, 1, 1, 0, 0, 3, 3, 3]
    assert not store.signal("chr2").any()
