"""Names that a list of files may hold."""

import json

import pytest
from chromhub.datasets_scripts.listed_files import check_listed, is_inside
from chromhub.datasets_scripts.pieces import MANIFEST, Pieces, read_pieces

OUTSIDE = ["/etc/passwd", "../x", "a/../../x", "..", "", ".", "a\\..\\x", "C:x", "C:/x", "a\0b", None, 3, ["a"]]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_outside_is_refused(name) -> None:
    with pytest.raises(ValueError, match=r"list\.json names .*, which is no file inside its folder"):
        check_listed(name, listed_in="list.json")


def test_names_inside(tmp_path) -> None:
    pieces = {"track a": {"key": "k", "files": ["tracks/..a.npy"], "value": {}}}
    (tmp_path / MANIFEST).write_text(json.dumps(pieces))
    assert read_pieces(tmp_path) == pieces


def test_links_that_lead_out_are_outside(tmp_path) -> None:
    (tmp_path / "folder" / "tracks").mkdir(parents=True)
    (tmp_path / "folder" / "out").symlink_to(tmp_path)
    assert is_inside(tmp_path / "folder", tmp_path / "folder" / "tracks" / "a.npy")
    assert is_inside(tmp_path / "folder", tmp_path / "folder" / "out")  # the link itself
    assert not is_inside(tmp_path / "folder", tmp_path / "folder" / "out" / "a.npy")


@pytest.mark.parametrize("name", [name for name in OUTSIDE if isinstance(name, str)])
def test_a_list_of_pieces_deletes_nothing_outside(tmp_path, name) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    pieces = {"track a": {"key": "k", "files": [name], "value": {}}}
    (folder / MANIFEST).write_text(json.dumps(pieces))
    with pytest.raises(ValueError, match=r"pieces\.json names"):
        Pieces(folder)


def test_a_list_of_pieces_deletes_nothing_by_way_of_a_link(tmp_path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.npy").write_text("mine")
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "tracks").symlink_to(tmp_path / "thesis")
    (folder / MANIFEST).write_text(json.dumps({"track a": {"key": "k", "files": ["tracks/a.npy"], "value": {}}}))
    assert Pieces(folder).take("track a", "another key") is None
    assert (tmp_path / "thesis" / "a.npy").read_text() == "mine"


@pytest.mark.parametrize(
    "text", ["null", "[]", "3", '{"a": 1}', '{"a": {"key": 1, "files": [], "value": {}}}', "[" * 9999]
)
def test_a_damaged_list_is_none(tmp_path, text) -> None:
    (tmp_path / MANIFEST).write_text(text)
    assert read_pieces(tmp_path) == {}
