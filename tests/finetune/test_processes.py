"""Two processes train as one with their batches together."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
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


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without torch.distributed")
def test_two_processes_equal_one_with_twice_the_batch(tmp_path) -> None:
    # 29 windows in steps of 8, the last of 5, so of 3 and 2; 11 validation windows in steps of 8, so of 2 and 1.
    small_store(tmp_path / "data")
    core = AtacConfig.from_preset("convnext-transformer-tiny").to_dict()["core"] | {"dropout": 0.0}
    recipe = Recipe(
        data=str(tmp_path / "data"),
        preset="convnext-transformer-tiny",  # without batch normalisation, whose statistics are each process's own
        model={"core": core},
        max_jitter=256,
        windows={"stride": 2048},  # pyright: ignore[reportArgumentType]
        batch_size=8,
        eval_batch_size=4,
        epochs=2,
        save_steps=3,
        num_workers=2,
    )
    recipe.write(tmp_path / "recipe.yaml")
    words = (tmp_path / "recipe.yaml", "-o", tmp_path / "two", "--device", "cpu")
    killed = torchrun(*words, watch=tmp_path / "first", die_at=7)
    assert killed.returncode != 0
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["checkpoints"]
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

    train(recipe.model_copy(update={"num_workers": 0}), tmp_path / "one", device="cpu", progress=False, say=print)
    ours, theirs = (json.loads((tmp_path / run / "history.json").read_text()) for run in ("two", "one"))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for our_row, their_row in zip(ours, theirs, strict=True):
        assert our_row == pytest.approx(their_row, rel=1e-5, abs=1e-6)
    weights = load_file(tmp_path / "one" / "model.safetensors")
    for name, tensor in load_file(tmp_path / "two" / "model.safetensors").items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-3, atol=1e-4)
