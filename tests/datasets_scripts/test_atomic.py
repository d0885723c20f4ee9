import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from chromhub.datasets_scripts import atomic, renames
from chromhub.datasets_scripts.atomic import (
    check_output,
    check_own_folder,
    finished_file,
    finished_folder,
    heal,
    naming_full_disk,
    resumable_folder,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(partial: Path, error: BaseException) -> None:
    (partial / "half" if partial.is_dir() else partial).write_text("half")
    raise error


def test_file_appears_when_the_block_ends(tmp_path) -> None:
    with finished_file(tmp_path / "new" / "a.txt") as partial:
        partial.write_text("whole")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert names(tmp_path / "new") == ["a.txt"]
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"


def test_folder_appears_when_the_block_ends(tmp_path) -> None:
    with finished_folder(tmp_path / "run") as partial:
        (partial / "a.txt").write_text("whole")
        assert names(tmp_path) == sorted([partial.name, ".run.lock"])
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize("finished", [finished_file, finished_folder])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), ValueError()])
def test_an_error_leaves_nothing(tmp_path, finished, error) -> None:
    with pytest.raises(type(error)), finished(tmp_path / "out") as partial:
        write_half(partial, error)
    assert names(tmp_path) == []


@pytest.mark.parametrize("finished", [finished_file, finished_folder])
def test_a_full_disk_is_named(tmp_path, finished) -> None:
    sentence = r"No space left on device while writing .*/out: free"
    with pytest.raises(OSError, match=sentence) as raised, finished(tmp_path / "out") as partial:
        write_half(partial, OSError(errno.ENOSPC, "No space left on device"))
    assert raised.value.errno == errno.ENOSPC


def test_an_error_leaves_the_old_folder(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(KeyboardInterrupt), finished_folder(tmp_path / "out", overwrite=True) as partial:
        write_half(partial, KeyboardInterrupt())
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old"]


def test_overwrite_replaces_the_whole_folder(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with finished_folder(tmp_path / "out", overwrite=True) as partial:
        (partial / "new").touch()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["new"]


def test_a_failed_rename_puts_the_old_folder_back(tmp_path, monkeypatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    replace = Path.replace

    def fail_for_partial(self: Path, target: Path) -> Path:
        if "partial" in self.name:
            raise OSError(errno.EIO, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(renames, "_system_call", lambda: None)
    monkeypatch.setattr(Path, "replace", fail_for_partial)
    with pytest.raises(OSError, match="Input/output"), finished_folder(tmp_path / "out", overwrite=True):
        pass
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old"]


def test_existing_output_is_refused(tmp_path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileExistsError, match=r"already exists: .* --overwrite"):
        check_output(tmp_path / "file")
    with pytest.raises(FileExistsError, match="is a folder"), finished_file(tmp_path / "folder", overwrite=True):
        pass
    with pytest.raises(FileExistsError, match="is a file"), finished_folder(tmp_path / "file", overwrite=True):
        pass
    assert check_output(tmp_path / "file", overwrite=True) == tmp_path / "file"


def test_only_a_folder_of_own_files_may_be_replaced(tmp_path) -> None:
    out = tmp_path / "out"
    assert check_own_folder(out, False, ["a.tsv"]) == out
    out.mkdir()
    for name in ("a.tsv", "decay_0.png", "decay_1.png"):
        (out / name).touch()
    assert check_own_folder(out, True, ["a.tsv", "decay_*.png"]) == out
    with pytest.raises(FileExistsError, match="already exists"):
        check_own_folder(out, False, ["a.tsv", "decay_*.png"])
    message = r"holds files that are no table \(decay_0.png, decay_1.png\), which --overwrite would delete"
    with pytest.raises(FileExistsError, match=message):
        check_own_folder(out, True, ["a.tsv"], others="files that are no table")


# The module in a process of its own, without the libraries that `import chromhub` loads.
CHILD = f"""
import os, signal, sys, types
from pathlib import Path
package = types.ModuleType("rooms")
package.__path__ = [{str(Path(atomic.__file__).parent)!r}]
sys.modules["rooms"] = package
os.getpid = lambda: 7  # as in each of two containers
from rooms import atomic, renames
def die(*_, **__):
    signal.raise_signal(signal.SIGKILL)
"""


def child(code: str, *words: object, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", CHILD + code, *map(str, words)], **options)


def made(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "a").write_text(text)
    return path


@pytest.mark.parametrize("swaps", [True, False])
@pytest.mark.parametrize("finished", ["finished_folder", "resumable_folder"])
def test_killed_during_the_replacement(tmp_path, swaps, finished) -> None:
    """SIGKILL where the old folder has left its name (or, swapped at once, has not been deleted yet)."""
    if swaps and renames._system_call() is None:
        pytest.skip("this system swaps no names")
    out = made(tmp_path / "out", "old")
    code = """
if sys.argv[2] == "True":
    atomic.shutil.rmtree = die
else:
    real = Path.replace
    renames._system_call = lambda: None
    Path.replace = lambda self, target: die() if "partial" in self.name else real(self, target)
more = {"worth_keeping": lambda: True} if sys.argv[3] == "resumable_folder" else {}
with getattr(atomic, sys.argv[3])(sys.argv[1], True, **more) as folder:
    (folder / "a").write_text("new")
"""
    with child(code, out, swaps, finished) as process:
        assert process.wait() == -signal.SIGKILL
    assert out.exists() == swaps
    heal(out)
    assert (out / "a").read_text() == ("new" if swaps else "old")
    with finished_folder(out, overwrite=True) as folder:  # clears away what was left
        (folder / "a").write_text("newer")
    assert names(tmp_path) == ["out"]
    assert (out / "a").read_text() == "newer"


def test_two_processes_of_one_number_make_no_halves(tmp_path) -> None:
    out = tmp_path / "out"
    code = """
with atomic.finished_folder(sys.argv[1]) as folder:
    (folder / "a").write_text("first")
    print(flush=True)
    input()
"""
    with child(code, out, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        first.stdout.readline()
        with child(code, out, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as second:
            assert f"FileExistsError: another process is making {out} right now" in second.communicate()[1]
        assert not out.exists()
        first.communicate("\n")
    assert first.returncode == 0
    assert names(tmp_path) == ["out"]
    assert (out / "a").read_text() == "first"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_somebody_makes_meanwhile_stays(tmp_path, overwrite) -> None:
    out = tmp_path / "out"
    sentence = r"somebody made .*/out meanwhile, which stays; what was made here lies in (.*/out\.finished-\w{8})"

    def make() -> None:
        with finished_folder(out, overwrite) as folder:
            (folder / "a").write_text("ours")
            made(out, "theirs")

    with pytest.raises(FileExistsError, match=sentence):
        make()
    there, kept = sorted(tmp_path.iterdir(), key=lambda path: path.name)
    assert (there / "a").read_text() == "theirs"
    assert (kept / "a").read_text() == "ours"


def test_a_file_that_somebody_makes_meanwhile_stays(tmp_path) -> None:
    def make() -> None:
        with finished_file(tmp_path / "out") as partial:
            partial.write_text("ours")
            (tmp_path / "out").write_text("theirs")

    with pytest.raises(FileExistsError, match="somebody made"):
        make()
    assert (tmp_path / "out").read_text() == "theirs"


@pytest.mark.parametrize("swaps", [True, False])
def test_a_file_that_somebody_adds_meanwhile_stays(tmp_path, monkeypatch, swaps) -> None:
    if not swaps:
        monkeypatch.setattr(renames, "_system_call", lambda: None)
    out = made(tmp_path / "out", "old")
    with pytest.raises(FileExistsError, match=r"thesis was put into .*/out meanwhile"), finished_folder(out, True):
        (out / "thesis").touch()
    assert names(out) == ["a", "thesis"]


def test_an_output_is_written_through_a_link(tmp_path) -> None:
    made(tmp_path / "there", "old")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "file").symlink_to(tmp_path / "nowhere" / "file")
    with finished_folder(tmp_path / "link", overwrite=True) as folder:
        (folder / "a").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "a").read_text() == "new"
    with finished_file(tmp_path / "file", overwrite=True) as partial:
        assert partial.parent == tmp_path / "nowhere"  # on the same file system as the file
        partial.write_text("new")
    assert (tmp_path / "nowhere" / "file").read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "pathconf"), reason="Windows tells no longest name")
def test_names_as_long_as_may_be_and_longer(tmp_path) -> None:
    longest = "n" * os.pathconf(tmp_path, "PC_NAME_MAX")
    with finished_folder(tmp_path / longest) as folder:
        (folder / "a").touch()
    with finished_folder(tmp_path / longest, overwrite=True) as folder:
        (folder / "b").touch()
    with resumable_folder(tmp_path / longest, overwrite=True, worth_keeping=lambda: False) as folder:
        (folder / "c").touch()
    assert names(tmp_path) == [longest]
    assert names(tmp_path / longest) == ["c"]
    with pytest.raises(ValueError, match=r"the name nnnn.* has \d+ bytes, and the file system takes \d+: choose a"):
        check_output(tmp_path / f"{longest}n")
    with pytest.raises(ValueError, match="choose a shorter one"):
        check_output(tmp_path / f"{longest}n" / "out")


def test_a_place_that_cannot_be_is_refused_at_the_door(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        check_output(tmp_path / "file" / "out")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(OSError, match="symbolic links"):
        check_output(tmp_path / "circle" / "out")
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(PermissionError, match="Permission denied"):
        check_output(tmp_path / "out")


def test_a_folder_is_never_made_of_what_is_read(tmp_path) -> None:
    run = made(tmp_path / "run", "weights")
    with pytest.raises(FileExistsError, match="is what is read"):
        check_own_folder(run, True, ["a"], inputs=[run])
    with pytest.raises(FileExistsError, match=r"lies in .*/run, which is read"):
        check_own_folder(run / "evaluation", False, ["a"], inputs=[run])
    assert check_own_folder(run / "evaluation", False, ["a"], inputs=[run], may_lie_in=True) == run / "evaluation"
    with pytest.raises(FileExistsError, match=r"holds .*/run, which is read"):
        check_own_folder(tmp_path, True, ["run/a"], inputs=[run], may_lie_in=True)


def test_a_planted_partial_folder_is_not_written_through(tmp_path) -> None:
    made(tmp_path / "theirs", "theirs")
    (tmp_path / ".out.partial").symlink_to(tmp_path / "theirs")
    with (
        pytest.raises(FileExistsError, match=r"\.out\.partial is a link"),
        resumable_folder(tmp_path / "out", worth_keeping=lambda: False),
    ):
        pass
    assert names(tmp_path / "theirs") == ["a"]


def test_a_library_that_does_not_say_why_on_a_full_disk(tmp_path, monkeypatch) -> None:
    with pytest.raises(RuntimeError, match="file write failed"), naming_full_disk(tmp_path / "run"):
        raise RuntimeError("file write failed")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with (
        pytest.raises(OSError, match=r"No space left on device while writing .*/run"),
        naming_full_disk(tmp_path / "run"),
    ):
        raise RuntimeError("file write failed")
    with pytest.raises(ValueError, match="a wrong number"), naming_full_disk(tmp_path / "run"):
        raise ValueError("a wrong number")
