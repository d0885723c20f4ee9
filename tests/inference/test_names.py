"""One order of names for every command: a path, a shipped model, a run in runs/, a Hub id."""

from pathlib import Path

import pytest
from chromhub.inference.names import SHIPPED, is_hub_id, resolve, shipped_names

SHIPPED_NAME = "convnext-cnn-tiny-dhs-hg19"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_the_order(here, hub) -> None:
    assert SHIPPED_NAME in shipped_names()
    assert resolve(SHIPPED_NAME).folder == SHIPPED / SHIPPED_NAME
    model(here / "runs" / "yeast")
    assert resolve("yeast").folder == Path("runs/yeast")
    model(here / "yeast")
    assert resolve("yeast").folder == Path("yeast")
    model(here / SHIPPED_NAME)
    assert resolve(SHIPPED_NAME).folder == Path(SHIPPED_NAME)
    assert resolve("org/name").folder is None
    model(here / "org" / "name")
    assert resolve("org/name").folder == Path("org/name")
    assert not hub.log


@pytest.mark.parametrize("name", ["./none", "~/none", "/none/run", "a/b/c", "runs/yaest", "none/", ""])
def test_a_path_that_does_not_exist_is_an_error_at_once(here, hub, name) -> None:
    (here / "runs").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no model folder .*, the name of a shipped model, a run in"):
        resolve(name)
    with pytest.raises(FileNotFoundError, match="no model folder"):
        resolve(Path("org/none"))
    assert not hub.log


def test_a_name_that_is_nothing(here, hub) -> None:
    with pytest.raises(ValueError, match=rf"as '{SHIPPED_NAME[:-1]}'; did you mean '{SHIPPED_NAME}'\?"):
        resolve(SHIPPED_NAME[:-1])
    with pytest.raises(ValueError, match=r"no model is registered as 'enformer'; use one of cnn-dhs"):
        resolve("enformer")
    with pytest.raises(ValueError, match="'org/na me' is no name of a model"):
        resolve("org/na me")
    (here / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"'notes\.txt' is a file, not the folder of a model"):
        resolve("notes.txt")
    assert not hub.log


@pytest.mark.parametrize(
    ("name", "expected"),
    [("org/name", True), ("o-1/n_a.me", True), ("name", False), ("../name", False), ("/a/b", False), ("a/../b", False)],
)
def test_what_a_hub_id_looks_like(name, expected) -> None:
    assert is_hub_id(name) is expected
