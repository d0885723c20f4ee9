"""Adapters: nothing at the start, the same merged as not, and only what should train does."""

import pytest
import torch
from chromhub.finetune.adapters import attach, freeze_statistics, save_adapter
from chromhub.finetune.recipe import LoraRecipe
from chromhub.inference.load import load_model
from torch import nn


@pytest.fixture
def codes():
    return torch.randint(0, 5, (2, 2048), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def predict(model, codes):
    with torch.no_grad():
        return model.eval()(inputs=codes).predictions


def shake(model):
    """Give the adapter and the head something to say."""
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator) * (0.02 if "lora_" in name else 0.1))


def test_lora_starts_as_nothing(tiny_model, codes):
    before = predict(tiny_model, codes)
    assert (predict(attach(tiny_model, "lora", lora=LoraRecipe()), codes) - before).abs().max() < 1e-6


def test_merged_equals_unmerged(tiny_model, codes):
    base = predict(tiny_model, codes)
    model = attach(tiny_model, "lora", lora=LoraRecipe(r=4))
    shake(model)
    unmerged = predict(model, codes)
    assert (unmerged - base).abs().max() > 0.1
    assert (predict(model.merge_and_unload(), codes) - unmerged).abs().max() < 1e-6


def test_a_saved_adapter_loads_onto_its_base(tiny_model, codes, tmp_path, monkeypatch):
    tiny_model.save_pretrained(tmp_path / "base")
    model = attach(load_model(tmp_path / "base"), "lora", lora=LoraRecipe(r=4))
    shake(model)
    monkeypatch.chdir(tmp_path)
    save_adapter(model, "adapter", base="base")
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    monkeypatch.chdir("/")
    assert (predict(load_model(tmp_path / "adapter"), codes) - predict(model, codes)).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("mode", "trains"),
    [("scratch", lambda name: True), ("full", lambda name: True), ("head", lambda name: name.startswith("head."))],
)
def test_what_trains(tiny_model, mode, trains):
    model = attach(tiny_model, mode, lora=LoraRecipe())
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == trains(name), name


def test_lora_trains_adapter_and_head_alone(tiny_model):
    model = attach(tiny_model, "lora", lora=LoraRecipe())
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == ("lora_" in name or "modules_to_save" in name), name


def test_frozen_statistics_do_not_move(tiny_model, codes):
    tiny_model.train()
    freeze_statistics(tiny_model)
    before = {name: buffer.clone() for name, buffer in tiny_model.named_buffers()}
    tiny_model(codes)
    assert all(torch.equal(buffer, before[name]) for name, buffer in tiny_model.named_buffers())
    assert any(module.training for module in tiny_model.modules() if isinstance(module, nn.Dropout))
