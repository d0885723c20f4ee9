"""The dilated core's fast path equals the plain modules: outputs, gradients and running statistics."""

import copy
from contextlib import nullcontext

import pytest
import torch
from chromhub.modeling import AtacConfig, AtacForTrackPrediction
from chromhub.modeling.dropout import FastDropout
from chromhub.modeling.fast_path import plain_modules
from chromhub.modeling.fast_pool import max_pool
from chromhub.modeling.fused_dilated import fast_pointwise_applies, fast_unit_applies
from peft import LoraConfig, inject_adapter_in_model
from torch import nn


def tiny_model(stem: str = "convnext", **core) -> AtacForTrackPrediction:
    """A model whose normalisations and residual blocks are not the identity, without dropout."""
    torch.manual_seed(0)
    core = {"type": "dilated", "num_blocks": 4, "bottleneck_channels": 12, "feature_channels": 48, **core}
    core = {"dropout": 0.0, "feature_dropout": 0.0, **core}
    config = AtacConfig(num_tracks=2, bin_size=8, stem={"type": stem, "channels": 16}, core=core)
    model = AtacForTrackPrediction(config)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    return model.train()


def step(model, *, plain=False, bfloat16=False):
    """Return predictions, gradients and buffers of one training step."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randint(0, 5, (3, 160), generator=generator)
    labels = torch.rand(3, 2, 20, generator=generator) * 5
    model.zero_grad()
    with plain_modules() if plain else nullcontext():
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            output = model(inputs, labels=labels)
        output.loss.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    buffers = {name: buffer.clone().double() for name, buffer in model.named_buffers()}
    return output.predictions.detach().float(), gradients, buffers


def relative(ours, theirs):
    return ((ours - theirs).norm() / theirs.norm().clamp_min(1e-12)).item()


CORES = [
    pytest.param("convnext", {}, id="as published"),
    pytest.param("conv", {}, id="conv stem"),
    pytest.param("conv", {"pool_size": 1, "pool_left_padding": 0}, id="no pooling"),
    pytest.param("convnext", {"pool_size": 4, "pool_left_padding": 3, "kernel_size": 5}, id="pool 4, kernel 5"),
    pytest.param("conv", {"pool_size": 8, "pool_left_padding": 0}, id="one position a bin"),
]


@pytest.mark.parametrize(("stem", "core"), CORES)
def test_a_training_step_equals_the_plain_one(stem, core):
    model = tiny_model(stem, **core)
    plain, plain_gradients, plain_buffers = step(copy.deepcopy(model), plain=True)
    fast, gradients, buffers = step(model)
    assert relative(fast, plain) < 2e-6
    for name, gradient in gradients.items():
        assert relative(gradient, plain_gradients[name]) < 1e-4, name
    for name, buffer in buffers.items():
        assert torch.allclose(buffer, plain_buffers[name], rtol=1e-5, atol=1e-6), name


def test_bfloat16_is_as_near_to_float32_as_the_plain_modules():
    model = tiny_model()
    exact, exact_gradients, _ = step(copy.deepcopy(model), plain=True)
    plain, plain_gradients, _ = step(copy.deepcopy(model), plain=True, bfloat16=True)
    fast, gradients, _ = step(model, bfloat16=True)
    assert relative(fast, exact) < 1.5 * relative(plain, exact)

    def error(one):
        return sum(relative(gradient, exact_gradients[name]) for name, gradient in one.items()) / len(one)

    assert error(gradients) < 1.2 * error(plain_gradients)


def test_evaluation_with_gradient_equals_the_plain_one():
    model = tiny_model()
    step(model)
    model.eval()
    plain, plain_gradients, _ = step(copy.deepcopy(model), plain=True)
    fast, gradients, _ = step(model)
    assert relative(fast, plain) < 2e-6
    assert all(relative(gradient, plain_gradients[name]) < 1e-4 for name, gradient in gradients.items())


def test_gradient_checkpointing_changes_nothing():
    model = tiny_model(dropout=0.3)
    other = copy.deepcopy(model)
    getattr(other, "activation_checkpointing_enable", other.gradient_checkpointing_enable)()
    torch.manual_seed(2)
    one, gradients, buffers = step(model)
    torch.manual_seed(2)
    two, other_gradients, other_buffers = step(other)
    assert torch.equal(one, two)
    assert all(relative(other_gradients[name], gradient) < 1e-5 for name, gradient in gradients.items())
    assert all(torch.equal(other_buffers[name], buffer) for name, buffer in buffers.items())


def test_dropout_keeps_its_share_and_scale():
    core = tiny_model(feature_dropout=0.25).core
    nn.init.zeros_(core.features.norm.weight)
    nn.init.ones_(core.features.norm.bias)
    features = core(torch.randn(4, 16, 800)).detach()  # 4 positions a bin, each 0 or 4/3 with probability 3/4
    kept = features * 3
    assert torch.allclose(kept, kept.round(), atol=1e-3)
    # 4 * 48 * 400 draws: the mean has a standard deviation of sqrt(1/3 / 76800) = .002
    assert features.mean().item() == pytest.approx(1, abs=0.01)


def test_a_channel_of_tiny_variance_is_normalised_as_well():
    model = tiny_model()
    with torch.no_grad():
        weight = model.core.features.conv.weight
        weight[0] = 1e-3 * (weight[1] - weight[2])
        model.core.blocks[0].pointwise.conv.weight[0] = 0  # a variance of 0
    plain, plain_gradients, _ = step(copy.deepcopy(model), plain=True)
    fast, gradients, _ = step(model)
    assert relative(fast, plain) < 2e-6
    assert all(relative(gradient, plain_gradients[name]) < 1e-4 for name, gradient in gradients.items())


def test_steps_aside():
    unit, dropout, hidden = tiny_model().core.blocks[0].pointwise, FastDropout(0.1), torch.randn(2, 12, 20)
    assert fast_pointwise_applies(unit, dropout, hidden)
    hook = unit.activation.register_forward_hook(lambda *_: None)
    assert not fast_unit_applies(unit, hidden)
    hook.remove()
    hook = unit.conv.register_full_backward_hook(lambda *_: None)
    assert not fast_unit_applies(unit, hidden)
    hook.remove()
    assert fast_unit_applies(unit, hidden)
    assert not fast_unit_applies(unit, hidden.double())
    assert not fast_unit_applies(unit, hidden.to("meta"))
    with plain_modules():
        assert not fast_unit_applies(unit, hidden)
    unit.norm.eval()
    assert not fast_pointwise_applies(unit, dropout, hidden)
    assert not fast_unit_applies(inject_adapter_in_model(LoraConfig(r=2, target_modules=["conv"]), unit), hidden)


@pytest.mark.parametrize(("size", "left_padding"), [(2, 0), (2, 1), (4, 0), (4, 3), (3, 1)])
def test_max_pool_gives_ties_to_the_first(size, left_padding):
    pool = nn.MaxPool1d(size)
    values = torch.randint(-2, 2, (3, 5, 23)).float()  # full of ties, with the zero on the left too
    results = []
    for innermost in (True, False):
        hidden = values.transpose(1, 2).contiguous().transpose(1, 2) if innermost else values.clone()
        hidden.requires_grad_()
        pooled = max_pool(pool, hidden, left_padding)
        (pooled * torch.arange(1.0, pooled.numel() + 1).view_as(pooled)).sum().backward()
        results.append((pooled.detach(), hidden.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
