from pathlib import Path

import pytest
import torch
from chromhub.datasets_scripts.dataset import WindowPlan
from chromhub.datasets_scripts.export import ExportPlan, export_shards
from chromhub.datasets_scripts.streaming import _Reader
from chromhub.finetune.progress import ShowProgress
from chromhub.finetune.recipe import Recipe
from chromhub.finetune.train import train
from chromhub.inference.provenance import Provenance
from chromhub.modeling import AtacConfig
from safetensors.torch import load_file

from tests.finetune.small_store import small_store

CONFIG = AtacConfig.from_preset("convnext-dcnn-tiny")


@pytest.fixture
def data(tmp_path) -> Path:
    store = small_store(tmp_path / "store", sizes={"one": 40_000, "two": 8_000, "three": 8_000})
    lengths = {"input_length": CONFIG.input_length, "target_length": CONFIG.target_length}
    plan = ExportPlan(training=WindowPlan(stride=1024), margin=64, shard_size=60_000, **lengths)
    export_shards(store, tmp_path / "shards", plan)
    return tmp_path


def recipe(data: Path, **changes) -> Recipe:
    values = {"preset": "convnext-dcnn-tiny", "max_jitter": 64, "batch_size": 8, "epochs": 2, "eval_steps": 3}
    return Recipe(data=str(data), **{**values, "save_steps": 1, **changes})


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def quietly(recipe: Recipe, run: Path, **options):
    return train(recipe, run, device="cpu", progress=False, say=lambda _: None, **options)


def test_exported_windows_train_to_the_weights_of_the_store(data) -> None:
    quietly(recipe(data / "store"), data / "one")
    quietly(recipe(data / "shards"), data / "other")
    assert same(data / "one", data / "other")
    one, other = Provenance.load(data / "one"), Provenance.load(data / "other")
    assert one.trained_on == other.trained_on
    assert one.selected_on == other.selected_on


def test_a_killed_streaming_run_ends_with_the_same_weights(data, monkeypatch) -> None:
    streaming = recipe(data / "shards", streaming=True)
    summary = quietly(streaming, data / "whole")
    assert summary["windows"]["train"] == 37  # (40,000 - 2,176) // 1,024 + 1
    assert summary["steps"] == 10  # 2 epochs of ceil(37 / 8)

    def kill(self, args, state, control, **kwargs):
        if state.global_step == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ShowProgress, "on_step_end", kill)
        with pytest.raises(KeyboardInterrupt):
            quietly(streaming, data / "killed")
    read = _Reader.read
    batches = []
    monkeypatch.setattr(_Reader, "read", lambda self, batch: batches.append(batch) or read(self, batch))
    resumed = quietly(streaming, data / "killed", resume=True)
    assert resumed["resumed_from"] == 6
    assert batches == [1, 2, 3, 4]  # step 6 took batch 0 of the second epoch, which is not read again
    assert same(data / "whole", data / "killed")
