"""Files that one may not read and folders that one may not write to: what, where, and what to do about it.

Permission bits do not bind root, so a root's tests act as another user meanwhile.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import chromhub.finetune.train
import chromhub.inference.predict
import pytest
from chromhub.cli.console import sentence
from chromhub.datasets_scripts.dataset import WindowPlan
from chromhub.datasets_scripts.export import ExportPlan, export_shards
from chromhub.modeling import AtacForTrackPrediction

from tests.cli.test_broken_inputs import assert_refused, build, chromhub
from tests.datasets_scripts.conftest import Toy

NOBODY = 65_534
pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no permission bits")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder that others may enter, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="chromhub-permissions-")).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Bind the block by permission bits."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def owned(path: Path, mode: int) -> Path:
    """Give a file or folder to the user that `unprivileged` acts as, with some rights."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("name", ["genome.fa", "a.bw", "peaks.narrowPeak", "blacklist.bed", "split.json"])
def test_an_input(toy, name) -> None:
    (toy.folder / name).chmod(0)
    folder = toy.folder / "mine"
    folder.mkdir()
    owned(folder, 0o755)
    with unprivileged():
        result = build(toy, output=folder / "out")
    assert_refused(result, f"{toy.folder / name} may not be read (permission denied)", "ask its owner", "give a copy")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["store.json", "codes.npy", "tracks/b.npy", "split.json", "peaks.tsv", "gaps.tsv"])
def test_a_file_of_a_store(toy, name) -> None:
    path = toy.build().path
    (path / name).chmod(0)
    with unprivileged():
        assert_refused(chromhub("data", "inspect", path), f"{path / name} may not be read (permission denied)")


def test_a_folder_that_one_may_not_enter(toy) -> None:
    path = toy.build().path
    path.chmod(0)
    with unprivileged():
        result = chromhub("data", "inspect", path)
    path.chmod(0o755)
    assert_refused(result, f"{path}", "permission denied", f"ask for the right to the folder {path}")


def commands(toy: Toy, output: Path) -> dict[str, Callable]:
    words = {
        "inspect": ["data", "inspect", toy.folder / "store", "--figure", output / "x.png"],
        "export": ["data", "export", toy.folder / "store", "-o", output / "x"],
        "train": ["train", "--data", toy.folder / "store", "--preset", "dcnn-tiny", "--device", "cpu"],
        "predict": ["predict", toy.folder / "run", "--fasta", toy.inputs.fasta, "--device", "cpu"],
    }
    words["train"] += ["-o", output / "x"]
    words["predict"] += ["--regions", toy.folder / "regions.bed", "-o", output / "x.bw"]
    return {"build": lambda: build(toy, output=output / "x")} | {
        name: lambda line=line: chromhub(*line) for name, line in words.items()
    }


def save(model: AtacForTrackPrediction, folder: Path) -> None:
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # of 600


@pytest.mark.parametrize("command", ["build", "inspect", "export", "train", "predict"])
@pytest.mark.parametrize("deep", [False, True])
def test_a_folder_that_one_may_not_write_to(toy, tiny_model, command, deep) -> None:
    toy.build()
    toy.file("regions.bed", "chr1\t0\t2048\n")
    save(tiny_model, toy.folder / "run")
    folder = toy.folder / "theirs"
    folder.mkdir(mode=0o555)
    output = folder / "deeper" if deep else folder
    with unprivileged():
        result = commands(toy, output)[command]()
    assert result.exit_code == 2
    last = result.stderr.strip().splitlines()[-1]  # `train` has named its device by then
    made = folder / ("deeper" if deep else {"inspect": "x.png", "predict": "x.bw"}.get(command, "x"))
    assert last.startswith(f"error: {made} may not be reached or written (permission denied): ask for the right")
    assert last.endswith(f"to the folder {folder}, or choose another")
    assert "partial" not in last
    assert list(folder.iterdir()) == []


def test_an_export_one_may_not_read(toy) -> None:
    plan = ExportPlan(training=WindowPlan(stride=400), input_length=512, target_length=256, margin=64)
    shards = export_shards(toy.build(), toy.folder / "shards", plan)
    path = Path(shards.name) / "shards.json"
    path.chmod(0)
    words = ["--data", shards.name, "--preset", "dcnn-tiny", "--device", "cpu", "-o", toy.folder / "out"]
    with unprivileged():
        result = chromhub("train", *words)
    assert_refused(result, f"{path} may not be read (permission denied)")


def test_weights_one_may_not_read(toy, tiny_model) -> None:
    save(tiny_model, toy.folder / "run")
    path = toy.folder / "run" / "model.safetensors"
    path.chmod(0)
    with unprivileged():
        result = commands(toy, toy.folder)["predict"]()
    assert_refused(result, f"{path} may not be read (permission denied)", "give a copy of yours")


def test_a_read_only_file_system_and_a_library_without_the_name(tmp_path) -> None:
    path = tmp_path / ".out.partial-77" / "codes.npy"
    error = OSError(errno.EROFS, "Read-only file system", str(path))
    assert sentence(error) == (
        f"{tmp_path / 'out'} may not be reached or written (read-only file system): ask for the right to the folder "
        f"{tmp_path}, or choose another"
    )
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / ".x.partial"), None, str(tmp_path / "x"))
    assert sentence(error).startswith(f"{tmp_path / 'x'} may not be reached or written (permission denied)")
    error = PermissionError(errno.EACCES, "could not open alignment file `a.bam`: Permission denied")
    assert sentence(error).endswith("`a.bam`: Permission denied: ask its owner for the right, or give another")
    assert sentence(OSError(errno.ENOSPC, "No space left on device")) == "[Errno 28] No space left on device"
    error = OSError(errno.EMFILE, "Too many open files", "t999.npy")
    assert sentence(error) == "[Errno 24] Too many open files: 't999.npy': allow more of them, as by `ulimit -n 8192`"
    assert sentence(ValueError("two\n  lines")) == "two lines"
