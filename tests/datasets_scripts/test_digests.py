import json

import pytest
from chromhub.datasets_scripts.digests import DIGESTS, check_digests, find_changed, write_digests


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    write_digests(tmp_path, [tmp_path / "a", tmp_path / "b"])
    return tmp_path


def test_a_whole_folder(folder) -> None:
    assert find_changed(folder) is None
    (folder / "c").write_bytes(b"not named")
    check_digests(folder)
    entry = json.loads((folder / DIGESTS).read_text())["a"]
    # printf one | sha256sum
    assert entry == {"bytes": 3, "sha256": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"}


@pytest.mark.parametrize(
    ("content", "changed"),
    [(b"on", "a has 2 bytes, and had 3"), (b"onf", "a has another content"), (None, "a is missing")],
)
def test_what_changed_is_named(folder, content, changed) -> None:
    (folder / "a").unlink() if content is None else (folder / "a").write_bytes(content)
    with pytest.raises(ValueError, match=f"is not what was written there: {changed}"):
        check_digests(folder)
    (folder / DIGESTS).unlink()
    check_digests(folder)


@pytest.mark.parametrize(
    "entry", [{"../a": {"bytes": 1, "sha256": ""}}, {"a": None}, {"a": {"bytes": "1", "sha256": ""}}]
)
def test_a_damaged_list(folder, entry) -> None:
    (folder / DIGESTS).write_text(json.dumps(entry))
    with pytest.raises(ValueError, match=r"digests\.json is damaged at"):
        find_changed(folder)
