import errno
from pathlib import Path

import pytest
from chromhub.datasets_scripts import renames
from chromhub.datasets_scripts.atomic import check_output, check_own_folder, finished_file, finished_folder


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
