import json
from pathlib import Path

import pytest
from chromhub.cli import app
from chromhub.datasets_scripts.atomic import partial_of
from chromhub.datasets_scripts.store import GenomeStore
from typer.testing import CliRunner

from tests.datasets_scripts.conftest import Toy


def chromhub(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def words(toy: Toy, output: str = "out") -> list[object]:
    folder = toy.folder
    return [
        *(
            "data",
            "build",
            "--fasta",
            folder / "genome.fa",
            "--track",
            folder / "a.bw",
            "--track",
            f"second={folder / 'b.bw'}",
        ),
        *("--peaks", folder / "peaks.narrowPeak", "--blacklist", folder / "blacklist.bed"),
        *("--unmappable", folder / "unmappable.bed", "--split", folder / "split.json", "-o", folder / output),
    ]


def test_build_prints_a_report(toy) -> None:
    result = chromhub(
        *words(toy), "--mask-region", "chr2:5-10", "--genome", "toy", "--bin-size", 8, "--summary", "mean"
    )
    assert result.exit_code == 0, result.stderr
    for text in ("track second", "b.bw", "4 peaks", "mask regions", "of which N 100"):
        assert text in result.stdout
    store = GenomeStore.open(toy.folder / "out")
    assert store.track_names == ["a", "second"]
    assert (store.genome, store.bin_size, store.summary, len(store.blacklist)) == ("toy", 8, "mean", 2)


def test_build_json(toy) -> None:
    result = chromhub(*words(toy), "--json")
    report = json.loads(result.stdout)
    assert report["fingerprint"] == GenomeStore.open(toy.folder / "out").fingerprint
    assert [entry["input"] for entry in report["inputs"]][:3] == ["fasta", "split", "peaks"]


def test_build_from_fragments(toy) -> None:
    path = toy.file("cells.bed", "chr1\t100\t200\n")
    base = ["data", "build", "--fasta", toy.inputs.fasta, "--split", toy.inputs.split, "--fragments", path]
    result = chromhub(*base, "--tn5-shift", "4,-5", "--chroms", "chr1", "-o", toy.folder / "out")
    assert result.exit_code == 0, result.stderr
    store = GenomeStore.open(toy.folder / "out")
    assert (store.track_names, store.signal("chr1").nonzero()[0].tolist()) == (["cells"], [26, 48])
    result = chromhub(*base, "--tn5-shift", "4", "-o", toy.folder / "other")
    assert (result.exit_code, "--tn5-shift must be two integers" in result.stderr) == (2, True)


CELLS = "chr1\t100\t200\tAA-1\t1\nchr1\t100\t300\tCC-1\t1\n"


def test_build_from_cells(toy) -> None:
    path, table = toy.file("f.fragments.tsv", CELLS), toy.file("cells.csv", "barcode,type\nAA-1,T\nCC-1,B\n")
    base = ["data", "build", "--fasta", toy.inputs.fasta, "--split", toy.inputs.split, "--barcodes", table]
    result = chromhub(*base, "--track", path, "--normalise", "cpm", "--exclude", "chr2", "-o", toy.folder / "out")
    assert result.exit_code == 0, result.stderr
    store = GenomeStore.open(toy.folder / "out")
    assert (store.track_names, float(store.signal("chr1", "B").sum())) == (["B", "T"], 1e6)
    result = chromhub(*base, "--fragments", f"pbmc={path}", "--json", "-o", toy.folder / "named")
    assert result.exit_code == 0, result.stderr
    assert GenomeStore.open(toy.folder / "named").track_names == ["pbmc.B", "pbmc.T"]


def test_build_from_a_file_whose_kind_is_told(toy) -> None:
    base = ["data", "build", "--fasta", toy.inputs.fasta, "--split", toy.inputs.split, "-o", toy.folder / "out"]
    toy.file("open.bed", "chr1\t100\t200\n")
    result = chromhub(*base, "--track", toy.folder / "open.bed", "--kind", "open=peaks")
    assert result.exit_code == 0, result.stderr
    assert GenomeStore.open(toy.folder / "out").signal("chr1").nonzero()[0].tolist() == list(range(25, 50))


def test_existing_output(toy) -> None:
    assert chromhub(*words(toy)).exit_code == 0
    result = chromhub(*words(toy))
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "already exists: choose another name or give --overwrite" in result.stderr
    assert chromhub(*words(toy), "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (("--track", "{folder}/none.bw"), "none.bw does not exist"),
        (("--track", "{folder}/genome.fa"), "genome.fa is not recognised: say what it is by --kind NAME=KIND"),
        (("--track", "{folder}/blacklist.bed", "--kind", "blacklist=bam", "--summary", "max"), " BAM"),
        (("--kind", "x=peaks"), "--kind must be NAME=KIND, NAME one of a, second, KIND one of bigwig"),
        (("--barcodes", "{folder}/split.json"), "where there is not one fragments file but 0"),
        (("--barcodes", "x={folder}/split.json"), "--barcodes must name a fragments track"),
        (("--normalise", "rpm"), "--normalise must be none, cpm or a depth"),
        (("--duplicates", "all"), "--duplicates must be one of marked, keep, collapse"),
        (("--bin-size", "3"), "--bin-size must be a power of two"),
        (("--summary", "median"), "--summary must be one of max, mean, sum"),
        (("--chroms", "chr7"), "--chroms names [chr7]"),
        (("--mask-region", "chr1:9-5"), "a region must end after its start"),
        (("--split", "asap-7"), "one of asap-0"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(toy, extra, sentence) -> None:
    result = chromhub(*words(toy), *(word.format(folder=toy.folder) for word in extra))
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not [path for path in toy.folder.iterdir() if path.is_dir() and path != partial_of(toy.folder / "out")]


def test_ctrl_c(toy, monkeypatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("chromhub.datasets_scripts.track_jobs._write_track", interrupt)
    result = chromhub(*words(toy))
    assert result.exit_code == 130
    assert "nothing was left half-written" in result.stderr
    assert not [path for path in toy.folder.iterdir() if path.is_dir()]


@pytest.fixture
def store(toy) -> Path:
    return toy.build().path


def test_inspect(store) -> None:
    result = chromhub("data", "inspect", store)
    assert result.exit_code == 0, result.stderr
    for text in ("78001", "chr2:19000-38001", "19,001"):
        assert text in result.stdout


def test_inspect_a_region(store) -> None:
    result = chromhub("data", "inspect", store, "--region", "chr1:1,000-1,016", "--json")
    region = json.loads(result.stdout)["region"]
    # bases 1000 to 1015: position modulo 97 is 30 to 45, the largest of each bin 33, 37, 41, 45
    assert region["tracks"]["a"] == {"sum": 156, "max": 45, "mean": 39}
    assert len(region["sequence"]) == 16
    result = chromhub("data", "inspect", store, "--region", "chr1:1,000-1,016")
    assert region["sequence"] in result.stdout
    result = chromhub("data", "inspect", store, "--region", "chr1:0-40001")
    assert (result.exit_code, "a region must lie in chr1:0-40000" in result.stderr) == (2, True)


def test_inspect_draws_the_busiest_place_off_the_blacklist(toy) -> None:
    toy.build(mask_regions=("chr1",), tracks=toy.inputs.tracks[:1])
    result = chromhub("data", "inspect", toy.folder / "store", "--figure", toy.folder / "a.png", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["region"]["chrom"] == "chr2"
    assert (toy.folder / "a.png").stat().st_size > 2000
    result = chromhub("data", "inspect", toy.folder / "store", "--figure", toy.folder / "a.png")
    assert (result.exit_code, "--overwrite" in result.stderr) == (2, True)


def test_inspect_something_else(tmp_path) -> None:
    result = chromhub("data", "inspect", tmp_path)
    assert (result.exit_code, "is not a chromhub store" in result.stderr) == (2, True)
