"""Two processes train as one with their batches together."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from chromhub.datasets_scripts.dataset import WindowPlan
from chromhub.datasets_scripts.export import ExportPlan, export_shards
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.finetune.data_source import choose_windows, open_data, window_dataset
from chromhub.finetune.recipe import Recipe
from chromhub.finetune.train import train
from chromhub.modeling import AtacConfig
from safetensors.torch import load_file

from .small_store import small_store


def torchrun(*words: object, watch: Path, die_at: int | None = None) -> subprocess.CompletedProcess[str]:
    """Start two processes on this machine."""
    watch.mkdir()
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "WATCH": str(watch)}
    if die_at is not None:
        environment["DIE_AT"] = str(die_at)
    script = Path(__file__).with_name("watched_train.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script, *words]
    return subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True, timeout=200)


def read(watch: Path, name: str) -> list[tuple[str, int]]:
    """Return the (rank, window) pairs that were read."""
    rows = (line.split() for line in (watch / name).read_text().splitlines())
    return [(rank, int(index)) for rank, index in rows]


def trained_on(watch: Path, recipe: Recipe, epoch: int) -> list[tuple[int, int]]:
    """Return the (step, window) pairs that were trained on in an epoch, known by their bases as jittered and turned."""
    data, config = open_data(recipe.data), AtacConfig.from_preset("convnext-transformer-tiny")
    windows, _, _ = choose_windows(recipe, data, config)
    dataset = window_dataset(recipe, data, windows, config=config, train=True)
    dataset.set_epoch(epoch)
    codes = dataset.batch(range(len(dataset)))["inputs"]
    known = {hashlib.sha256(window.tobytes()).hexdigest(): i for i, window in enumerate(codes)}
    assert len(known) == 29
    file = watch / f"trained-{epoch}"
    rows = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [(int(step), known[name]) for _, step, name in rows]


def recipe_for(data: Path, **fields) -> Recipe:
    """Return a run whose steps do not depend on how their batch is cut: no dropout, no batch normalisation.

    29 windows in steps of 8, the last of 5; 11 validation windows.
    """
    core = AtacConfig.from_preset("convnext-transformer-tiny").to_dict()["core"] | {"dropout": 0.0}
    common = {"max_jitter": 256, "windows": {"stride": 2048}, "batch_size": 8, "eval_batch_size": 4, "epochs": 2}
    return Recipe(data=str(data), preset="convnext-transformer-tiny", model={"core": core}, **(common | fields))


def assert_same_runs(one: Path, other: Path) -> None:
    """Two runs may differ by rounding."""
    ours, theirs = (json.loads((run / "history.json").read_text()) for run in (one, other))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for our_row, their_row in zip(ours, theirs, strict=True):
        for name in ("loss", "learning_rate", "eval_loss", "eval_pearson"):
            ours_is, theirs_is = our_row[name], their_row[name]
            assert ours_is == theirs_is or ours_is == pytest.approx(theirs_is, rel=1e-5, abs=1e-6), (our_row, their_row)
    weights = load_file(one / "model.safetensors")
    for name, tensor in load_file(other / "model.safetensors").items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-3, atol=1e-4)


def quietly(recipe: Recipe, folder: Path) -> None:
    train(recipe, folder, device="cpu", progress=False, say=lambda text: None)


def test_accumulated_parts_are_one_batch_whatever_a_mask_leaves_out(tmp_path, monkeypatch) -> None:
    def gather_mask(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Bins count or not by their place on the genome, so parts of a step count unequal numbers."""
        bins = starts[:, None] + np.arange(0, length, self.bin_size)
        return (bins // 3000 % 3 > 0)[:, None].astype(np.uint8)

    monkeypatch.setattr(GenomeStore, "has_masks", True, raising=False)
    monkeypatch.setattr(GenomeStore, "gather_mask", gather_mask, raising=False)
    small_store(tmp_path / "data")
    quietly(recipe_for(tmp_path / "data", epochs=1), tmp_path / "whole")
    quietly(recipe_for(tmp_path / "data", epochs=1, accumulate=4), tmp_path / "parts")
    assert_same_runs(tmp_path / "whole", tmp_path / "parts")
    monkeypatch.undo()
    quietly(recipe_for(tmp_path / "data", epochs=1), tmp_path / "all")
    masked, whole = (json.loads((tmp_path / run / "history.json").read_text())[-1] for run in ("whole", "all"))
    assert masked["eval_loss"] != whole["eval_loss"]


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without torch.distributed")
@pytest.mark.parametrize("data", ["shards", "stream"])
def test_two_ranks_of_two_workers_train_on_each_window_once_though_killed(tmp_path, data) -> None:
    plan = ExportPlan(training=WindowPlan(stride=2048), margin=256, shard_size=60_000)
    export_shards(small_store(tmp_path / "data"), tmp_path / "shards", plan)
    recipe = recipe_for(tmp_path / "shards", save_steps=3, num_workers=2, streaming=data == "stream")
    recipe.write(tmp_path / "recipe.yaml")
    words = (tmp_path / "recipe.yaml", "-o", tmp_path / "two", "--device", "cpu")
    assert torchrun(*words, watch=tmp_path / "first", die_at=7).returncode != 0
    resumed = torchrun(*words, "--resume", watch=tmp_path / "second")
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming from checkpoint-6" in resumed.stderr

    whole = trained_on(tmp_path / "first", recipe, 0)
    assert sorted(window for _, window in whole) == list(range(29))
    before, after = (trained_on(tmp_path / run, recipe, 1) for run in ("first", "second"))
    assert {step for step, _ in before} == {4, 5, 6}  # and step 6 came after the last checkpoint
    kept = [(step, window) for step, window in before if step < 6] + after
    assert sorted(window for _, window in kept) == list(range(29))
    assert sorted(pair for pair in before if pair[0] == 6) == sorted(pair for pair in after if pair[0] == 6)
    assert trained_on(tmp_path / "second", recipe, 0) == []
    assert [window for _, window in whole] != [window for _, window in kept]  # each epoch has an order of its own


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without torch.distributed")
def test_two_processes_equal_one_with_twice_the_batch(tmp_path) -> None:
    small_store(tmp_path / "data")
    recipe = recipe_for(tmp_path / "data", save_steps=3, num_workers=2)
    recipe.write(tmp_path / "recipe.yaml")
    words = (tmp_path / "recipe.yaml", "-o", tmp_path / "two", "--device", "cpu")
    killed = torchrun(*words, watch=tmp_path / "first", die_at=7)
    assert killed.returncode != 0
    assert [path.name for path in (tmp_path / "two").iterdir() if path.name != ".run.lock"] == ["checkpoints"]
    resumed = torchrun(*words, "--resume", watch=tmp_path / "second")
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming from checkpoint-6" in resumed.stderr

    seen = read(tmp_path / "first", "train-0")
    assert sorted(index for _, index in seen) == list(range(29))
    assert Counter(rank for rank, _ in seen) == {"0": 4 + 4 + 4 + 3, "1": 4 + 4 + 4 + 2}
    seen = read(tmp_path / "first", "valid-0")  # after step 4
    assert sorted(index for _, index in seen) == list(range(11))
    after = [index for _, index in read(tmp_path / "second", "train-1")]
    assert len(after) == len(set(after)) == 29 - 2 * 8  # steps 7 and 8: steps 5 and 6 are not read again
    assert sorted(window for _, window in trained_on(tmp_path / "first", recipe, 0)) == list(range(29))
    kept = [window for step, window in trained_on(tmp_path / "first", recipe, 1) if step < 6]
    kept += [window for _, window in trained_on(tmp_path / "second", recipe, 1)]
    assert sorted(kept) == list(range(29))

    quietly(recipe.model_copy(update={"num_workers": 0}), tmp_path / "one")
    assert_same_runs(tmp_path / "two", tmp_path / "one")
