"""A convolution as a product equals `nn.Conv1d`, outputs and gradients."""

import pytest
import torch
from chromhub.modeling.fast_path import plain_modules
from chromhub.modeling.stems import ConvReluUnit
from chromhub.modeling.unfolded_conv import unfolded_conv
from torch import nn
from torch.nn import functional as F

CASES = [
    pytest.param(3, 1, 1, 0, id="kernel 3"),
    pytest.param(3, 5, 5, 0, id="dilated"),
    pytest.param(6, 1, 2, 1, id="even kernel"),
    pytest.param(6, 1, 0, 0, id="valid"),
    pytest.param(5, 30, 60, 0, id="dilated beyond the window"),
]


def gradients(outputs, weights, tensors):
    return [outputs.detach(), *torch.autograd.grad((outputs * weights).sum(), tensors)]


@pytest.mark.parametrize("channels", [4, 16])
@pytest.mark.parametrize(("gelu", "relu"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kernel_size", "dilation", "padding", "right_padding"), CASES)
def test_equals_conv1d(kernel_size, dilation, padding, right_padding, bias, gelu, relu, channels):
    torch.manual_seed(0)
    conv = nn.Conv1d(channels, 7, kernel_size, padding=padding, dilation=dilation, bias=bias)
    hidden = torch.randn(2, 40, channels, requires_grad=True)
    ours = unfolded_conv(
        conv, hidden, dtype=torch.float32, gelu_first=gelu, relu_after=relu, right_padding=right_padding
    )
    before = F.pad(F.gelu(hidden) if gelu else hidden, (0, 0, 0, right_padding))
    theirs = conv(before.transpose(1, 2)).transpose(1, 2)
    theirs = theirs.relu() if relu else theirs
    assert ours.shape == theirs.shape
    weights, tensors = torch.randn_like(ours), [hidden, *conv.parameters()]
    for mine, its in zip(gradients(ours, weights, tensors), gradients(theirs, weights, tensors), strict=True):
        assert torch.allclose(mine, its, atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_stems_of_bases_use_it(padding):
    unit, inputs = ConvReluUnit(4, 8, kernel_size=6, padding=padding), torch.rand(2, 4, 30)
    with plain_modules():
        expected = unit(inputs)
    outputs = unit(inputs)
    assert torch.allclose(outputs, expected, atol=1e-6)
    assert outputs.transpose(1, 2).is_contiguous()
    assert not expected.transpose(1, 2).is_contiguous()
