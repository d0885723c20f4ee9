"""Muon on hidden matrices: which those are, what a step does, and that a state dictionary is all of it."""

import copy

import pytest
import torch
from chromhub.finetune.adapters import attach
from chromhub.finetune.muon import MuonAdamW, hidden_matrices
from chromhub.finetune.optimizer import build_optimizer
from chromhub.finetune.recipe import LoraRecipe
from chromhub.modeling import AtacConfig, AtacForTrackPrediction
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

OPTIONS = {"learning_rate": 0.1, "betas": (0.9, 0.95), "weight_decay": 0.1}


def step_with(optimizer, parameters, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()


def test_hidden_matrices_are_not_input_head_depthwise_or_biases(tiny_model):
    found = hidden_matrices(tiny_model)
    assert {"stem.pointwise_in.weight", "core.blocks.0.dilated.conv.weight", "core.features.conv.weight"} <= found
    assert not {"stem.conv.weight", "head.weight"} & found  # what reads bases, what makes the outputs
    assert all(name.endswith("weight") and "norm" not in name for name in found)
    model = AtacForTrackPrediction(AtacConfig.from_preset("convnext-cnn-tiny"))
    depthwise = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv1d) and module.groups > 1
    }
    assert depthwise
    assert not depthwise & hidden_matrices(model)
    lstm = hidden_matrices(AtacForTrackPrediction(AtacConfig.from_preset("lstm-tiny")))
    assert lstm
    assert not any("weight_" in name for name in lstm)


def test_groups_keep_their_rates_and_the_head_comes_first(tiny_model):
    optimizer = build_optimizer(tiny_model, **OPTIONS, layer_decay=0.5, kind="muon")
    groups = optimizer.param_groups
    assert (groups[0]["lr"], groups[0]["muon"]) == (0.1, False)  # the head
    assert {id(p) for p in groups[0]["params"]} == {id(tiny_model.head.weight)}
    assert {group["lr"] for group in groups if group["muon"]} > {0.05, 0.025}
    counted = sum(len(group["params"]) for group in groups)
    assert counted == len(list(tiny_model.parameters()))
    assert sum(len(group["params"]) for group in groups if group["muon"]) == len(hidden_matrices(tiny_model))


def test_a_convolution_moves_as_its_matrix():
    conv, bias = nn.Parameter(torch.randn(4, 3, 2)), nn.Parameter(torch.randn(3))
    matrix, other = nn.Parameter(conv.detach().clone().flatten(1)), nn.Parameter(bias.detach().clone())
    groups = [
        {"params": [conv], "weight_decay": 0.1, "lr": 0.2, "muon": True},
        {"params": [bias], "weight_decay": 0.0, "muon": False},
    ]
    both = MuonAdamW(groups, learning_rate=0.1, betas=(0.9, 0.95))
    muon = torch.optim.Muon([matrix], lr=0.2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW([other], lr=0.1, weight_decay=0.0, betas=(0.9, 0.95))
    for seed in range(3):
        step_with(both, [conv, bias], seed)
        matrix.grad, other.grad = conv.grad.flatten(1), bias.grad
        muon.step()
        adamw.step()
    assert torch.equal(conv.detach().flatten(1), matrix)
    assert torch.equal(bias, other)


def test_a_step_has_the_size_of_adamw():
    # An orthogonal 4 x 4 matrix as gradient: entries +-1/2, all singular values 1. Newton and Schulz's five rounds
    # bring them to s between 0.5 and 1.5, so the step is lr x 0.2 sqrt(4) x s x (+-1/2): each entry 0.2 lr s.
    hadamard = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    weight, rest = nn.Parameter(torch.zeros(4, 4)), nn.Parameter(torch.zeros(1))
    groups = [
        {"params": [weight], "weight_decay": 0.0, "muon": True},
        {"params": [rest], "weight_decay": 0.0, "muon": False},
    ]
    optimizer = MuonAdamW(groups, learning_rate=0.1, betas=(0.9, 0.95))
    weight.grad = hadamard
    optimizer.step()
    assert torch.equal(weight.sign(), -hadamard.sign())
    assert torch.all((weight.abs() > 0.1 * 0.2 * 0.5) & (weight.abs() < 0.1 * 0.2 * 1.5))
    assert rest.item() == 0  # no gradient, no step


def test_a_loaded_state_goes_on_bit_for_bit(tiny_model, tmp_path):
    parameters = list(tiny_model.parameters())

    def build(model):
        optimizer = build_optimizer(model, **OPTIONS, kind="muon")
        return optimizer, LambdaLR(optimizer, lambda step: 1 / (1 + step))

    optimizer, schedule = build(tiny_model)
    for seed in range(2):
        step_with(optimizer, parameters, seed)
        schedule.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    twin = copy.deepcopy(tiny_model)
    again, schedule_again = build(twin)
    again.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    schedule_again.load_state_dict(schedule.state_dict())
    assert [group["lr"] for group in again.param_groups] == [group["lr"] for group in optimizer.param_groups]
    for seed in range(2, 4):
        for one, schedule_of, of in ((optimizer, schedule, parameters), (again, schedule_again, twin.parameters())):
            step_with(one, list(of), seed)
            schedule_of.step()
    for (name, ours), theirs in zip(tiny_model.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def test_an_adapter_has_no_hidden_matrix(tiny_model):
    model = attach(tiny_model, "lora", lora=LoraRecipe())
    with pytest.raises(ValueError, match="optimizer muon needs a matrix of a hidden layer to train, got none"):
        build_optimizer(model, **OPTIONS, kind="muon")
