"""Layer-wise learning rates."""

import pytest
import torch
from chromhub.finetune.adapters import attach
from chromhub.finetune.layer_decay import layer_factors
from chromhub.finetune.optimizer import build_optimizer
from chromhub.finetune.recipe import LoraRecipe
from chromhub.modeling import PRESETS, AtacConfig, AtacForTrackPrediction


def test_rates_fall_towards_the_input(tiny_model):
    factors = layer_factors(tiny_model, decay=0.5)
    assert factors["head.weight"] == factors["head.bias"] == 1
    assert factors["core.features.conv.weight"] == 0.5
    assert factors["core.blocks.7.pointwise.norm.bias"] == 0.25
    assert factors["core.blocks.0.dilated.conv.weight"] == 0.5**9
    assert factors["stem.conv.weight"] == factors["stem.grn.gamma"] == 0.5**10


def test_an_adapters_rates_are_those_of_its_layers(tiny_model):
    plain = layer_factors(tiny_model, decay=0.5)
    factors = layer_factors(attach(tiny_model, "lora", lora=LoraRecipe()), decay=0.5)
    assert factors["base_model.model.head.modules_to_save.default.weight"] == 1
    name = "base_model.model.core.blocks.3.dilated.conv.lora_A.default.weight"
    assert factors[name] == plain["core.blocks.3.dilated.conv.weight"]


@pytest.mark.parametrize("preset", sorted(name for name in PRESETS if name.endswith("-tiny")))
def test_every_core_has_layers_in_order(preset):
    with torch.device("meta"):
        model = AtacForTrackPrediction(AtacConfig.from_preset(preset, mappability_weight=1.0))
    factors = layer_factors(model, decay=0.5)
    assert list(factors) == [name for name, _ in model.named_parameters()]
    assert {value for name, value in factors.items() if name.split(".")[0] == "head"} == {1}
    assert factors["mappability_head.linear.weight"] == 1
    body = [value for name, value in factors.items() if "head" not in name.split(".")[0]]
    assert body == sorted(body)  # declared in the order of the forward pass
    assert len(set(body)) >= 3


def test_the_optimizer_takes_them(tiny_model):
    optimizer = build_optimizer(tiny_model, learning_rate=0.1, betas=(0.9, 0.95), weight_decay=0.1, layer_decay=0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(tiny_model.parameters()))
    assert rates[id(tiny_model.head.weight)] == 0.1
    assert rates[id(tiny_model.core.features.conv.weight)] == 0.05
    assert optimizer.param_groups[0]["lr"] == 0.1
