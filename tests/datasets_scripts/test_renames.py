"""Renames that lose nothing."""

import pytest
from chromhub.datasets_scripts import renames
from chromhub.datasets_scripts.renames import move, put_new, swap


@pytest.fixture(params=["one system call", "two renames"], autouse=True)
def way(request, monkeypatch):
    if request.param == "two renames":
        monkeypatch.setattr(renames, "_system_call", lambda: None)
    elif renames._system_call() is None:
        pytest.skip("this system has no renameat2")


def folder_of(path, text):
    path.mkdir()
    (path / "file").write_text(text)
    return path


def test_a_new_name_must_be_free(tmp_path) -> None:
    new, old = folder_of(tmp_path / "new", "new"), tmp_path / "old"
    old.mkdir()  # rename(2) would replace an empty folder
    with pytest.raises(FileExistsError):
        put_new(new, old)
    assert list(old.iterdir()) == []
    put_new(new, tmp_path / "free")
    assert (tmp_path / "free" / "file").read_text() == "new"


def test_a_swap(tmp_path) -> None:
    new, path = folder_of(tmp_path / "new", "new"), folder_of(tmp_path / "path", "old")
    looked = []
    old = swap(new, path, tmp_path / "aside", lambda folder: looked.append((folder / "file").read_text()))
    assert (path / "file").read_text() == "new"
    assert (old / "file").read_text() == "old"
    assert looked == ["old"]


def test_a_swap_that_is_refused_puts_both_back(tmp_path) -> None:
    def refuse(folder):
        raise FileExistsError("not ours")

    new, path = folder_of(tmp_path / "new", "new"), folder_of(tmp_path / "path", "old")
    with pytest.raises(FileExistsError, match="not ours"):
        swap(new, path, tmp_path / "aside", refuse)
    assert (path / "file").read_text() == "old"
    assert (new / "file").read_text() == "new"
    assert not (tmp_path / "aside").exists()


def test_a_move_to_another_file_system_is_a_copy(tmp_path, monkeypatch) -> None:
    (tmp_path / "a").write_text("a")
    real = type(tmp_path).replace

    def replace(self, target):
        if self.name == "a":
            raise OSError(18, "Invalid cross-device link")
        return real(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", replace)
    move(tmp_path / "a", tmp_path / "b", tmp_path / ".b.partial")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]
    assert (tmp_path / "b").read_text() == "a"
