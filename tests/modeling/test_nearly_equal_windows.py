import pytest
import torch
from chromhub.modeling import AtacConfig, AtacForTrackPrediction
from chromhub.modeling.fast_path import plain_modules
from chromhub.modeling.nearly_equal_windows import predict_groups

PRESETS = ("convnext-dcnn-tiny", "dcnn-tiny", "convnext-transformer-tiny", "convnext-lstm-tiny")


def random_model(preset):
    torch.manual_seed(2)
    model = AtacForTrackPrediction(AtacConfig.from_preset(preset)).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith(("grn.gamma", "grn.beta", "running_mean")):
            tensor.normal_(std=0.3)
        elif name.endswith(("running_var", "norm.weight")):
            tensor.uniform_(0.5, 1.5)
    return model


def alleles():
    """Return two groups of three windows: a base changed in the middle and at each end, an insertion, no change."""
    codes = torch.randint(0, 4, (2, 1, 2048), dtype=torch.uint8).repeat(1, 3, 1)
    codes[0, 1, 1023] = (codes[0, 0, 1023] + 1) % 4
    codes[0, 2, [0, 2047]] = 4
    codes[1, 1, 1030:] = codes[1, 0, 1027:-3].clone()
    return codes.flatten(0, 1)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("crop", [0, 190])
def test_equals_the_plain_model(preset, crop):
    model, codes = random_model(preset), alleles()
    with plain_modules(), torch.no_grad():
        expected = model(codes).predictions[..., crop : 512 - crop]
    found = predict_groups(model, codes, group=3, crop=crop)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_groups_do_not_depend_on_each_other(preset):
    model, codes = random_model(preset), alleles()
    alone = torch.cat([predict_groups(model, part, group=3, crop=100) for part in codes.split(3)])
    torch.testing.assert_close(predict_groups(model, codes, group=3, crop=100), alone, rtol=0, atol=1e-6)


def test_the_same_window_twice_is_the_same_to_the_last_bit():
    model, codes = random_model("convnext-dcnn-tiny"), alleles()[:1]
    first, again = predict_groups(model, codes.repeat(2, 1), group=2, crop=200)
    assert torch.equal(first, again)


def test_equals_the_plain_model_in_bfloat16_roughly():
    model, codes = random_model("convnext-dcnn-tiny"), alleles()
    exact = predict_groups(model, codes, group=3, crop=0)
    with torch.autocast("cpu", torch.bfloat16):
        half = predict_groups(model, codes, group=3, crop=0)
    assert not torch.equal(half, exact)
    assert torch.corrcoef(torch.stack([half.flatten(), exact.flatten()]))[0, 1] > 0.99
