"""A store that is built in pieces is the store that is built in one go."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chromhub.datasets_scripts import build as build_module
from chromhub.datasets_scripts import track_jobs
from chromhub.datasets_scripts.atomic import partial_of
from chromhub.datasets_scripts.build import add_tracks, build_store
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.store_inputs import TrackSource
from chromhub.datasets_scripts.track_details import TrackDetails

from .conftest import SIZES, toy_signal, write_fasta
from .test_build import content


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """The pieces that are made, in their order."""
    names: list[str] = []
    real_track, real_codes = track_jobs._write_track, build_module.write_codes

    def track(job, progress=None):
        names.append(job.track.name)
        return real_track(job, progress)

    def codes(*arguments):
        names.append("codes")
        return real_codes(*arguments)

    monkeypatch.setattr(track_jobs, "_write_track", track)
    monkeypatch.setattr(build_module, "write_codes", codes)
    return names


def interrupt_at(monkeypatch, name: str) -> None:
    """Half-write a track's file, then press Ctrl-C."""
    real = track_jobs._write_track

    def track(job, progress=None):
        if job.track.name == name:
            (job.folder / "tracks" / f"{name}.npy").write_bytes(b"half")
            raise KeyboardInterrupt
        return real(job, progress)

    monkeypatch.setattr(track_jobs, "_write_track", track)


def inodes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*.npy")}


def test_an_interrupted_build_goes_on(toy, made, monkeypatch) -> None:
    whole = content(toy.build("whole").path)
    made.clear()
    with monkeypatch.context() as context:
        interrupt_at(context, "b")
        with pytest.raises(KeyboardInterrupt):
            toy.build()
    assert not (toy.folder / "store").exists()
    assert made == ["codes", "a"]
    made.clear()
    store = toy.build()
    assert made == ["b"]
    assert content(store.path) == whole
    assert not partial_of(store.path).exists()


def test_a_changed_input_or_option_is_made_anew(toy, made, monkeypatch) -> None:
    with monkeypatch.context() as context:
        interrupt_at(context, "b")
        with pytest.raises(KeyboardInterrupt):
            toy.build()
    made.clear()
    (toy.folder / "a.bw").unlink()
    toy.bigwig("a.bw", SIZES, lambda chrom: toy_signal(chrom, "b"))
    store = toy.build(summary="sum", tracks=(toy.inputs.tracks[0],))
    assert made == ["a"]
    assert (store.track_names, store.summary) == (["a"], "sum")
    assert sorted(path.name for path in (store.path / "tracks").iterdir()) == ["a.npy"]  # not the half-written b
    assert content(store.path) == content(toy.build("again", summary="sum", tracks=(toy.inputs.tracks[0],)).path)


def test_one_build_of_a_folder_at_a_time(toy, monkeypatch) -> None:
    def second(*_):
        monkeypatch.undo()
        toy.build()

    monkeypatch.setattr(track_jobs, "_write_track", second)
    with pytest.raises(FileExistsError, match=r"another process is making .*store right now"):
        toy.build()


def test_update_makes_only_what_changed(toy, made) -> None:
    path = toy.build().path
    before = inodes(path)
    made.clear()
    build_store(toy.inputs, path, update=True)
    assert (made, inodes(path)) == ([], before)
    (toy.folder / "b.bw").unlink()
    toy.bigwig("b.bw", SIZES, lambda chrom: toy_signal(chrom, "a"))
    toy.file("blacklist.bed", "chr1\t10000\t11001\n")
    store = build_store(toy.inputs, path, update=True)
    assert made == ["b"]
    assert inodes(path) == before | {"tracks/b.npy": inodes(path)["tracks/b.npy"]}
    assert store.blacklist["end"].tolist() == [11_001]
    assert np.array_equal(store.signal("chr1", "b"), store.signal("chr1", "a"))
    assert content(path) == content(toy.build("afresh").path)


def test_update_sees_another_genome_and_fewer_tracks(toy, made) -> None:
    path = toy.build().path
    made.clear()
    write_fasta(toy.inputs.fasta, {chrom: "A" * size for chrom, size in SIZES.items()})
    store = build_store(replace(toy.inputs, tracks=toy.inputs.tracks[1:]), path, update=True)
    assert made == ["codes"]  # sizes are the same, so the track is
    assert not store.codes("chr1").any()
    assert sorted(path.name for path in (path / "tracks").iterdir()) == ["b.npy"]


def test_an_update_leaves_the_old_store_to_its_readers(toy) -> None:
    old = toy.build()
    before = old.signal("chr1", "b").copy()
    (toy.folder / "b.bw").unlink()
    toy.bigwig("b.bw", SIZES, lambda chrom: 2 * toy_signal(chrom, "b"))
    build_store(toy.inputs, old.path, update=True)
    assert np.array_equal(old.signal("chr1", "b"), before)
    assert np.array_equal(GenomeStore.open(old.path).signal("chr1", "b"), 2 * before)


def test_add_tracks(toy, made) -> None:
    first, second = toy.inputs.tracks
    path = toy.build(tracks=(first,)).path
    fingerprint, before = GenomeStore.open(path).fingerprint, inodes(path)
    made.clear()
    store = add_tracks(path, [second], details={"b": TrackDetails({"cell_type": "B cell"})})
    assert made == ["b"]
    assert store.track_names == ["a", "b"]
    assert store.fingerprint != fingerprint
    assert {name: inodes(path)[name] for name in before} == before
    assert [entry["input"] for entry in store.report()][-2:] == ["track a", "track b"]
    assert store.track_metadata("b") == {"cell_type": "B cell"}
    with pytest.raises(ValueError, match="has a track 'a' already"):
        add_tracks(path, [first])
    whole = toy.build("whole")
    assert {k: v for k, v in content(path).items() if k.endswith("npy")} == {
        k: v for k, v in content(whole.path).items() if k.endswith("npy")
    }
    build_store(toy.inputs, path, update=True, details={"b": TrackDetails({"cell_type": "B cell"})})
    assert made == ["b", "codes", "a", "b"]  # of `whole`; the update made nothing


def test_add_tracks_to_a_store_without_pieces(toy) -> None:
    path = toy.build(tracks=toy.inputs.tracks[:1]).path
    (path / "pieces.json").unlink()
    assert add_tracks(path, toy.inputs.tracks[1:]).track_names == ["a", "b"]


def test_a_track_that_cannot_be_added_changes_nothing(toy) -> None:
    path = toy.build(tracks=toy.inputs.tracks[:1]).path
    before = content(path)
    wrong = toy.bigwig("c.bw", {"chr1": 39_999}, lambda _: np.ones(39_999, np.float32))
    with pytest.raises(ValueError, match="different assemblies"):
        add_tracks(path, [TrackSource("c", wrong)])
    with pytest.raises(FileNotFoundError, match=r"none\.bw does not exist"):
        add_tracks(path, [TrackSource("c", toy.folder / "none.bw")])
    assert content(path) == before
    assert not partial_of(path).exists()


def test_jobs_must_be_positive(toy) -> None:
    with pytest.raises(ValueError, match="--jobs must be at least 1, got 0"):
        build_store(toy.inputs, toy.folder / "x", jobs=0)


@pytest.mark.slow
@pytest.mark.enable_socket  # the server that starts processes is reached by a Unix socket
def test_processes_make_the_same_store(toy) -> None:
    assert content(build_store(toy.inputs, toy.folder / "two", jobs=2).path) == content(toy.build().path)
    (toy.folder / "b.bw").unlink()
    toy.bigwig("b.bw", SIZES, lambda chrom: -toy_signal(chrom, "a"))
    with pytest.raises(ValueError, match="signal must not be negative"):
        build_store(toy.inputs, toy.folder / "three", jobs=2)


@pytest.mark.slow
def test_a_killed_build_goes_on(toy) -> None:
    """SIGKILL while the second of four tracks is being made; what came before is not made again."""
    tracks = [f"--track={name}={toy.folder / 'a.bw'}" for name in "wxyz"]
    words = ["data", "build", "--fasta", toy.inputs.fasta, *tracks, "--split", toy.inputs.split]
    slow = (
        "import sys, time; from chromhub.datasets_scripts import track_jobs as t; real = t._write_track\n"
        "def slow(job, progress=None):\n    if job.track.name == 'x': time.sleep(60)\n    return real(job, progress)\n"
        "t._write_track = slow; from chromhub.cli import main; main()"
    )
    output = toy.folder / "killed"
    command = [sys.executable, "-c", slow, *map(str, words), "-o", str(output)]
    manifest = partial_of(output) / "pieces.json"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        for _ in range(600):
            if manifest.is_file() and "track w" in manifest.read_text():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    assert not output.exists()
    first = (partial_of(output) / "tracks" / "w.npy").stat()
    done = subprocess.run(
        [sys.executable, "-m", "chromhub", *map(str, words), "-o", str(output), "--json"],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONWARNINGS": "default"},
    )
    assert json.loads(done.stdout)["fingerprint"] == GenomeStore.open(output).fingerprint
    second = (output / "tracks" / "w.npy").stat()
    assert (second.st_ino, second.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
