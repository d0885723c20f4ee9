"""Which weights decay."""

from chromhub.finetune.adapters import attach
from chromhub.finetune.optimizer import build_optimizer, parameter_groups
from chromhub.finetune.recipe import LoraRecipe
from torch import nn


def names(model, group):
    found = {id(parameter) for parameter in group["params"]}
    return {name for name, parameter in model.named_parameters() if id(parameter) in found}


def test_weights_and_grn_decay_biases_and_norms_do_not(tiny_model):
    decays, rests = parameter_groups(tiny_model, weight_decay=0.1)
    assert (decays["weight_decay"], rests["weight_decay"]) == (0.1, 0)
    assert {"stem.conv.weight", "stem.pointwise_in.weight", "stem.grn.gamma", "stem.grn.beta", "head.weight"} <= names(
        tiny_model, decays
    )
    for name in names(tiny_model, rests):
        assert name.endswith("bias") or "norm" in name
    assert len(decays["params"]) + len(rests["params"]) == len(list(tiny_model.parameters()))


def test_lstm_weights_decay_and_its_biases_do_not():
    model = nn.LSTM(2, 3)
    decays, rests = parameter_groups(model, weight_decay=0.1)
    assert names(model, decays) == {"weight_ih_l0", "weight_hh_l0"}
    assert names(model, rests) == {"bias_ih_l0", "bias_hh_l0"}


def test_an_adapter_does_not_decay(tiny_model):
    model = attach(tiny_model, "lora", lora=LoraRecipe())
    optimizer = build_optimizer(model, learning_rate=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    decays, rests = optimizer.param_groups
    assert names(model, decays) == {"base_model.model.head.modules_to_save.default.weight"}
    assert any("lora_A" in name for name in names(model, rests))
    assert optimizer.defaults["betas"] == (0.9, 0.95)
