"""Training on a CUDA device: it learns what the CPU learns, survives a kill, and says what goes wrong in a sentence.

`pytest -m gpu` runs them on a card; `-m gpu --gpu-device cpu` tries the tests themselves.
"""

import json

import pytest
import torch
from chromhub.finetune.arguments import training_arguments
from chromhub.finetune.optimizer import build_optimizer
from chromhub.finetune.recipe import Recipe, load_recipe
from chromhub.finetune.train import train
from chromhub.finetune.trainer import ChromTrainer
from safetensors.torch import load_file

from ..modeling.random_models import random_model
from .small_store import small_store

SHORT = {"max_jitter": 256, "windows": {"stride": 2048}, "batch_size": 8, "eval_batch_size": 8}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "store"
    small_store(folder)
    return folder


def scratch(data, **fields):
    return Recipe(data=str(data), **{"preset": "convnext-dcnn-tiny", **SHORT, "epochs": 2, **fields})


class Stop(BaseException):
    """Stands for a kill."""


def last(folder):
    return json.loads((folder / "history.json").read_text())[-1]


def test_running_out_of_memory_names_batch_size_and_accumulate(data, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(ChromTrainer, "training_step", full)
    sentence = (
        r"^the GPU is out of memory: it does not hold a batch of 8 in 2 parts; raise accumulate to 4 "
        r"\(--set accumulate=4: the same step\), or lower batch_size \(now 8\)$"
    )
    with pytest.raises(ValueError, match=sentence):
        train(scratch(data, accumulate=2), tmp_path / "run", device="cpu", progress=False, say=lambda text: None)
    with pytest.raises(ValueError, match=r"a batch of 1 in 1 parts; lower batch_size \(now 1\)$"):
        train(scratch(data, batch_size=1), tmp_path / "one", device="cpu", progress=False, say=lambda text: None)


# CUDA branch: finetune/train.py train
# CUDA branch: finetune/train.py _train
def test_another_card_than_the_first_is_asked_for_by_the_environment(data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    with pytest.raises(ValueError, match=r"--device cuda:1: training takes the first GPU .*CUDA_VISIBLE_DEVICES=1"):
        train(scratch(data), tmp_path / "run", device="cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(
        ValueError, match="--device cuda:1: this machine has 1 CUDA devices; use --device cuda:0 or cpu"
    ):
        train(scratch(data), tmp_path / "run", device="cuda:1")
    assert not (tmp_path / "run").exists()


@pytest.mark.gpu
# CUDA branch: finetune/arguments.py training_arguments
# CUDA branch: finetune/optimizer.py build_optimizer
def test_pinned_batches_and_one_kernel_a_step(data, tmp_path, device):
    args = training_arguments(scratch(data), tmp_path, steps_per_epoch=4, device=device)
    on_card = device.type == "cuda"
    assert (args.dataloader_pin_memory, args.device.type) == (on_card, device.type)
    model = random_model("dcnn-tiny").to(device)
    optimizer = build_optimizer(model, learning_rate=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    assert bool(optimizer.defaults["fused"]) == on_card


@pytest.mark.gpu
# CUDA branch: finetune/trainer.py _prepare_input
def test_it_learns_what_the_cpu_learns(data, tmp_path, device):
    core = random_model("convnext-dcnn-tiny").config.to_dict()["core"] | {"dropout": 0.0}
    recipe = scratch(data, bf16=False, model={"core": core})
    for name, where in (("cpu", "cpu"), ("found", str(device))):
        train(recipe, tmp_path / name, device=where, progress=False, say=lambda text: None)
    ours, theirs = last(tmp_path / "found"), last(tmp_path / "cpu")
    assert ours["eval_loss"] == pytest.approx(theirs["eval_loss"], rel=1e-2)


@pytest.mark.gpu
def test_what_is_the_default_is_said_and_written_down(data, tmp_path, device):
    said: list[str] = []
    train(scratch(data, max_steps=2), tmp_path / "run", device=str(device), progress=False, say=said.append)
    on_card = device.type == "cuda"
    assert ("bf16 and TF32 (--no-bf16 for float32)" in said[0]) == on_card
    assert load_recipe(tmp_path / "run" / "recipe.yaml").bf16 == on_card
    train(
        scratch(data, max_steps=2, bf16=False), tmp_path / "exact", device=str(device), progress=False, say=said.append
    )
    assert load_recipe(tmp_path / "exact" / "recipe.yaml").bf16 is False


@pytest.mark.gpu
def test_a_killed_run_resumes_to_the_same_loss(data, tmp_path, device, monkeypatch):
    recipe = scratch(data, epochs=3, save_steps=3, ema=0.9)

    def run(folder, **options):
        return train(recipe, folder, device=str(device), progress=False, say=lambda text: None, **options)

    run(tmp_path / "whole")
    training_step = ChromTrainer.training_step

    def watched(self, *args, **kwargs):
        if self.state.global_step == 7:
            raise Stop
        return training_step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ChromTrainer, "training_step", watched)
        with pytest.raises(Stop):
            run(tmp_path / "cut")
    assert run(tmp_path / "cut", resume=True)["resumed_from"] == 6
    assert last(tmp_path / "cut")["eval_loss"] == pytest.approx(last(tmp_path / "whole")["eval_loss"], abs=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("fields", [{"optimizer": "muon"}, {"gradient_checkpointing": True}, {"accumulate": 2}])
def test_the_other_ways_to_train(data, tmp_path, device, fields):
    recipe = scratch(data, max_steps=3, **fields)
    summary = train(recipe, tmp_path / "run", device=str(device), progress=False, say=lambda text: None)
    assert summary["steps"] == 3
    assert all(torch.isfinite(tensor).all() for tensor in load_file(tmp_path / "run" / "model.safetensors").values())


@pytest.mark.gpu
@pytest.mark.slow
def test_compiled_training(data, tmp_path, device):
    recipe = scratch(data, max_steps=4, compile=True)
    summary = train(recipe, tmp_path / "run", device=str(device), progress=False, say=lambda text: None)
    assert summary["steps"] == 4
    assert not any("_orig_mod" in name for name in load_file(tmp_path / "run" / "model.safetensors"))


@pytest.mark.gpu
def test_an_adapter(data, tmp_path, device):
    def run(recipe, folder):
        return train(recipe, folder, device=str(device), progress=False, say=lambda text: None, allow_leak=True)

    run(scratch(data, max_steps=2), tmp_path / "base")
    recipe = Recipe(data=str(data), base=str(tmp_path / "base"), mode="lora", **SHORT, max_steps=2)
    assert run(recipe, tmp_path / "adapter")["steps"] == 2
