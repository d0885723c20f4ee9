"""`predict` equals `forward`, for every shape of the dilated models, and steps aside for the rest."""

import copy
import io

import pytest
import torch
from chromhub.modeling import AtacConfig, AtacForTrackPrediction
from chromhub.modeling.fast_evaluation import fast_prediction
from chromhub.modeling.fast_path import plain_modules
from chromhub.modeling.folded_weights import folded_weights
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

CONFIGS = {
    "as published": {},
    "conv stem": {"stem": {"type": "conv"}},
    "even kernels, relu": {"stem": {"type": "convnext", "kernel_size": 8, "activation": "relu"}},
    "even conv stem": {"stem": {"type": "conv", "kernel_size": 6}},
    "aligned grid": {"core": {"pool_left_padding": 0}},
    "pool 4, kernel 5": {"core": {"pool_size": 4, "pool_left_padding": 3, "kernel_size": 5}},
    "no pooling": {"core": {"pool_size": 1, "pool_left_padding": 0}},
    "one position a bin": {"core": {"pool_size": 8}},
    "no blocks": {"core": {"num_blocks": 0}},
    "wide dilations": {"core": {"dilation_growth": 4}},
    "tracks": {"num_tracks": 3},
}


def make_model(**overrides) -> AtacForTrackPrediction:
    """A small model with statistics and scales that are not the identity, in evaluation mode."""
    torch.manual_seed(0)
    stem = {"type": "convnext", "channels": 16, **overrides.pop("stem", {})}
    core = {"type": "dilated", "num_blocks": 4, "bottleneck_channels": 12, "feature_channels": 40}
    core |= overrides.pop("core", {})
    config = AtacConfig(input_length=480, target_length=160, bin_size=8, stem=stem, core=core, **overrides)
    model = AtacForTrackPrediction(config)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    for name, parameter in model.named_parameters():
        if "grn" in name:
            nn.init.normal_(parameter, std=0.5)
    return model.eval()


def codes(batch: int = 3, length: int = 480) -> torch.Tensor:
    return torch.randint(0, 5, (batch, length), dtype=torch.uint8)


@torch.no_grad()
def plain(model, inputs, *, target_only=False):
    with plain_modules():
        predictions = model(inputs).predictions
    crop = model.config.crop_bins if target_only else 0
    return predictions[..., crop : predictions.shape[-1] - crop]


@torch.no_grad()
def fast(model, inputs, *, target_only=False):
    return fast_prediction(model, inputs, target_only=target_only)


@pytest.mark.parametrize("config", [pytest.param(config, id=name) for name, config in CONFIGS.items()])
@pytest.mark.parametrize("target_only", [False, True])
def test_equals_forward(config, target_only):
    model, inputs = make_model(**config), codes()
    expected = plain(model, inputs, target_only=target_only)
    predictions = fast(model, inputs, target_only=target_only)
    assert predictions is not None
    assert predictions.shape == expected.shape
    assert torch.allclose(predictions, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("length", [8, 320, 328, 1024])
def test_any_length(length):
    model, inputs = make_model(), codes(2, length)
    assert torch.allclose(fast(model, inputs), plain(model, inputs), atol=2e-6, rtol=1e-5)


def test_one_hot_and_soft_bases():
    model, inputs = make_model(stem={"type": "conv"}), torch.rand(2, 4, 480)
    assert torch.allclose(fast(model, inputs), plain(model, inputs), atol=2e-6, rtol=1e-5)


def test_bfloat16_is_near():
    model, inputs = make_model(), codes(4)
    exact = plain(model, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        predictions, autocast = fast(model, inputs), plain(model, inputs).float()
    assert predictions.dtype == torch.float32
    assert (predictions - exact).norm() < 2 * (autocast - exact).norm()


def test_batch_size_is_irrelevant():
    model, inputs = make_model(), codes(4)
    assert torch.allclose(fast(model, inputs)[2:3], fast(model, inputs[2:3]), atol=1e-6)


def change_in_place(model):
    with torch.no_grad():
        model.head.weight.mul_(1.5)


def change_data(model):
    model.core.blocks[0].dilated.conv.weight.data.mul_(1.5)


def change_statistics(model):
    model.core.features.norm.running_mean += 0.1


def load(model):
    model.load_state_dict(make_model(num_tracks=1).state_dict() | {"head.bias": torch.tensor([3.0])})


def replace(model):
    model.head.weight = nn.Parameter(torch.ones_like(model.head.weight))


@pytest.mark.parametrize("change", [change_in_place, change_data, change_statistics, load, replace])
def test_notices_changed_weights(change):
    model, inputs = make_model(), codes(1)
    before = fast(model, inputs)
    assert folded_weights(model, torch.float32) is folded_weights(model, torch.float32)
    change(model)
    after = fast(model, inputs)
    assert not torch.equal(before, after)
    assert torch.allclose(after, plain(model, inputs), atol=2e-6, rtol=1e-5)


def test_copies_and_pickles_are_as_without():
    model, inputs = make_model(), codes(1)
    untouched = io.BytesIO()
    torch.save(model, untouched)
    expected = fast(model, inputs)
    pickled = io.BytesIO()
    torch.save(model, pickled)
    assert pickled.getbuffer().nbytes == untouched.getbuffer().nbytes
    other = copy.deepcopy(model)
    assert torch.equal(fast(other, inputs), expected)
    change_in_place(other)
    assert torch.equal(fast(model, inputs), expected)


def test_steps_aside():
    model, inputs = make_model(), codes(1)
    assert fast_prediction(model, inputs, target_only=False) is None  # gradients are on
    hook = model.stem.activation.register_forward_hook(lambda *_: None)
    assert fast(model, inputs) is None
    hook.remove()
    assert fast(model, inputs) is not None
    assert fast(model.train(), inputs) is None
    assert fast(model.eval().double(), inputs) is None
    assert fast(model.bfloat16(), inputs) is None
    model.float()
    with plain_modules():
        assert fast(model, inputs) is None
    adapted = inject_adapter_in_model(LoraConfig(r=2, target_modules=["pointwise_in"]), model)
    assert fast(adapted, inputs) is None
    assert fast(AtacForTrackPrediction(AtacConfig.from_preset("convnext-transformer-tiny")).eval(), inputs) is None
