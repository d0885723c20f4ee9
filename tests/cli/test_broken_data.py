"""Stores and exports that were damaged after they were made: exit code 2, one sentence, no run left behind."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from chromhub.datasets_scripts.dataset import WindowPlan
from chromhub.datasets_scripts.export import ExportPlan, export_shards

from tests.cli.test_broken_inputs import assert_refused, chromhub, cut


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda store: shutil.rmtree(store), ["kept-store", "is not a chromhub store", "chromhub data build"]),
        (
            lambda store: (store / "store.json").write_text('{"format": "zarr"}'),
            ["store.json", "build the store again"],
        ),
        (
            lambda store: cut(store / "store.json", 0.5),
            ["store.json is damaged: it is not JSON", "build the store again"],
        ),
        (lambda store: (store / "store.json").write_text(""), ["store.json is damaged", "build the store again"]),
        (lambda store: (store / "codes.npy").unlink(), ["kept-store/codes.npy is missing", "build the store again"]),
        (lambda store: (store / "tracks" / "b.npy").unlink(), ["b.npy is missing", "build the store again"]),
        (lambda store: cut(store / "codes.npy", 0.6), ["codes.npy is truncated or damaged", "build the store again"]),
        (lambda store: cut(store / "codes.npy", 0.0), ["codes.npy is truncated or damaged", "build the store again"]),
        (lambda store: cut(store / "tracks" / "b.npy", 0.6), ["b.npy is truncated or dam", "build the store again"]),
        (lambda store: np.save(store / "tracks" / "a.npy", np.zeros(9)), ["a.npy must hold", "build the store again"]),
        (lambda store: cut(store / "unmappable.tsv", 0.5), ["unmappable.tsv", "build the store again"]),
        (lambda store: (store / "gaps.tsv").unlink(), ["gaps.tsv is missing", "build the store again"]),
        (lambda store: (store / "split.json").write_text("no"), ["split.json", "is not JSON"]),
    ],
)
@pytest.mark.parametrize("verb", ["inspect", "train"])
def test_a_store_of_another_kind_or_damaged(toy, spoil, parts, verb) -> None:
    store = toy.build("kept-store").path
    spoil(store)
    if verb == "inspect":
        result = chromhub("data", "inspect", store)
    else:
        output = toy.folder / "out"
        result = chromhub("train", "--data", store, "--preset", "dcnn-tiny", "--device", "cpu", "-o", output)
    assert_refused(result, *parts)
    assert not (toy.folder / "out").exists()


def shard(folder: Path) -> Path:
    """Return the second shard of the training part."""
    return sorted((folder / "data").glob("train-*"))[1]


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda folder: cut(folder / "shards.json", 0.5), ["shards.json is damaged"]),
        (lambda folder: (folder / "shards.json").write_text("[]"), ["shards.json is damaged"]),
        (lambda folder: cut(folder / "windows.parquet", 0.5), ["windows.parquet is truncated or damaged"]),
        (lambda folder: (folder / "windows.parquet").unlink(), ["windows.parquet is missing"]),
        (lambda folder: cut(shard(folder), 0.5), ["data/train-00001-of-", "is no whole Parquet file"]),
        (lambda folder: cut(shard(folder), 0.0), ["data/train-00001-of-", "is no whole Parquet file"]),
        (lambda folder: shard(folder).unlink(), ["data/train-00001-of-", "is missing"]),
        (
            lambda folder: shutil.copy(folder / "windows.parquet", shard(folder)),
            ["train-00001", "is not the shard that"],
        ),
    ],
)
@pytest.mark.parametrize("streaming", ["false", "true"])
def test_a_damaged_export(toy, spoil, parts, streaming) -> None:
    plan = ExportPlan(training=WindowPlan(stride=1024), margin=64, shard_size=60_000)
    folder = Path(export_shards(toy.build(), toy.folder / "shards", plan).name)
    spoil(folder)
    recipe = toy.file("r.yaml", f"data: {folder}\npreset: dcnn-tiny\nmax_jitter: 64\nstreaming: {streaming}\n")
    result = chromhub("train", "--recipe", recipe, "--device", "cpu", "-o", toy.folder / "out")
    assert_refused(result, *parts, "export it again")
    assert not (toy.folder / "out").exists()
