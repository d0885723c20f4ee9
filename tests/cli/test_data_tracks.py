import json

import pytest
from chromhub.datasets_scripts.atomic import partial_of
from chromhub.datasets_scripts.store import GenomeStore

from tests.cli.test_data import chromhub, words


@pytest.fixture
def sheet(toy):
    return toy.file("samples.tsv", "name\tcell_type\tlicence\tpath\nx\tT\tCC0\ta.bw\ny\tB\tCC0\tb.bw\n")


def test_build_from_a_sheet(toy, sheet) -> None:
    base = ["data", "build", "--fasta", toy.inputs.fasta, "--split", toy.inputs.split, "-o", toy.folder / "out"]
    result = chromhub(*base, "--sheet", sheet, "--track", f"z={toy.folder / 'a.bw'}", "--mask-gaps", "20000")
    assert result.exit_code == 0, result.stderr
    store = GenomeStore.open(toy.folder / "out")
    assert store.track_names == ["z", "x", "y"]
    assert store.track_metadata("y") == {"cell_type": "B", "licence": "CC0"}
    assert chromhub(*base, "--sheet", sheet).exit_code == 2
    assert chromhub(*base, "--sheet", sheet, "--update").exit_code == 0
    assert GenomeStore.open(toy.folder / "out").track_names == ["x", "y"]
    sheet.write_text("name\tpath\nx\tnone.bw\n")
    result = chromhub(*base, "--sheet", sheet, "--update")
    assert (result.exit_code, "samples.tsv, line 2, column path:" in result.stderr) == (2, True)


def test_add_track_and_consensus(toy, sheet) -> None:
    path = toy.build().path
    result = chromhub("data", "add-track", path, "--sheet", sheet, "--json")
    assert result.exit_code == 0, result.stderr
    assert [entry["name"] for entry in json.loads(result.stdout)["added"]] == ["x", "y"]
    result = chromhub("data", "consensus", path, "--how", "max", "--tracks", "x, y", "--name", "both")
    assert result.exit_code == 0, result.stderr
    assert "both" in result.stdout
    store = GenomeStore.open(path)
    assert store.track_names == ["a", "b", "x", "y", "both"]
    assert not partial_of(path).exists()
    result = chromhub("data", "add-track", path, "--track", toy.folder / "a.bw")
    assert (result.exit_code, "has a track 'a' already" in result.stderr) == (2, True)
    result = chromhub("data", "add-track", path)
    assert (result.exit_code, "at least one track" in result.stderr) == (2, True)
    result = chromhub("data", "consensus", path, "--how", "open")
    assert (result.exit_code, "--threshold must be given" in result.stderr) == (2, True)


def test_an_interrupted_build_goes_on(toy, monkeypatch) -> None:
    from chromhub.datasets_scripts import track_jobs

    real = track_jobs._write_track

    def second(job, progress=None):
        if job.track.name == "second":
            raise KeyboardInterrupt
        return real(job, progress)

    with monkeypatch.context() as context:
        context.setattr(track_jobs, "_write_track", second)
        assert chromhub(*words(toy)).exit_code == 130
    assert not (toy.folder / "out").exists()
    assert (partial_of(toy.folder / "out") / "tracks" / "a.npy").is_file()
    assert chromhub(*words(toy)).exit_code == 0
    assert GenomeStore.open(toy.folder / "out").track_names == ["a", "second"]
