"""Fixtures of the commands' tests."""

import pytest

from ..datasets_scripts.conftest import toy
from ..inference.toy_genome import toy_store

__all__ = ["toy"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return the toy genome's store, which no test changes."""
    return toy_store(tmp_path_factory.mktemp("data"))


@pytest.fixture
def run(tmp_path, tiny_model):
    """Return a folder with the tiny model alone."""
    tiny_model.save_pretrained(tmp_path / "run")
    return tmp_path / "run"
