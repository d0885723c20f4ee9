"""The fast path equals the plain block, outputs and gradients, and steps aside where it would not."""

import pytest
import torch
from chromhub.modeling.convnext_block import ConvNextBlock
from chromhub.modeling.fused_convnext import fusible
from peft import LoraConfig, inject_adapter_in_model

BLOCKS = [
    pytest.param(4, 16, 15, False, id="dense"),
    pytest.param(4, 16, 26, False, id="dense, even kernel"),
    pytest.param(16, 16, 7, True, id="depthwise"),
    pytest.param(16, 16, 8, True, id="depthwise, even kernel"),
    pytest.param(8, 16, 15, True, id="depthwise, twice the channels"),
]


def make_block(in_channels: int, channels: int, kernel_size: int, depthwise: bool) -> ConvNextBlock:
    torch.manual_seed(0)
    block = ConvNextBlock(in_channels, channels, kernel_size=kernel_size, depthwise=depthwise)
    torch.nn.init.normal_(block.grn.gamma, std=0.5)
    torch.nn.init.normal_(block.grn.beta, std=0.1)
    torch.nn.init.uniform_(block.norm.weight, 0.5, 1.5)
    return block


@pytest.fixture
def block() -> ConvNextBlock:
    return make_block(4, 16, 15, depthwise=False)


def one_hot_dna(batch: int = 3, length: int = 200) -> torch.Tensor:
    bases = torch.randint(0, 4, (batch, length))
    return torch.nn.functional.one_hot(bases, 4).transpose(1, 2).float()


def outputs_and_gradients(block, forward, inputs, weights):
    block.zero_grad()
    inputs = inputs.detach().requires_grad_(inputs.requires_grad)
    outputs = forward(inputs)
    (outputs.float() * weights).sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in block.named_parameters()}
    return outputs.detach().float(), gradients | ({"inputs": inputs.grad} if inputs.requires_grad else {})


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize(("bfloat16", "tolerance"), [(False, 2e-6), (True, 0.06)])
@pytest.mark.parametrize(("in_channels", "channels", "kernel_size", "depthwise"), BLOCKS)
def test_equals_the_plain_block(in_channels, channels, kernel_size, depthwise, bfloat16, tolerance):
    block = make_block(in_channels, channels, kernel_size, depthwise)
    inputs = torch.randn(3, in_channels, 200, requires_grad=True) if depthwise else one_hot_dna()
    weights = torch.randn(3, channels, 200)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        assert fusible(block, inputs)
        plain, plain_gradients = outputs_and_gradients(block, block.plain_forward, inputs, weights)
        fused, fused_gradients = outputs_and_gradients(block, block.forward, inputs, weights)
    assert relative(fused, plain) < tolerance / 2
    assert set(fused_gradients) == set(plain_gradients)
    for name, gradient in fused_gradients.items():
        assert relative(gradient, plain_gradients[name]) < tolerance, name


def test_a_silent_channel_has_a_finite_gradient(block):
    with torch.no_grad():
        block.pointwise_in.weight[0], block.pointwise_in.bias[0] = 0, 0  # GELU(0) = 0: a norm of 0
    _, gradients = outputs_and_gradients(block, block.forward, one_hot_dna(), torch.ones(3, 16, 200))
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


def test_steps_aside_for_attribution_hooks_adapters_and_double(block):
    inputs = one_hot_dna()
    assert not fusible(block, inputs.requires_grad_())
    inputs = one_hot_dna()
    hook = block.activation.register_forward_hook(lambda *_: None)
    assert not fusible(block, inputs)
    hook.remove()
    assert fusible(block, inputs)
    assert not fusible(block.double(), inputs)
    adapted = inject_adapter_in_model(LoraConfig(r=2, target_modules=["pointwise_in"]), block.float())
    assert not fusible(adapted, inputs)
