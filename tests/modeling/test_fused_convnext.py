"""The fast path equals the plain block, outputs and gradients, and steps aside where it would not."""

import pytest
import torch
from chromhub.modeling.convnext_block import ConvNextBlock
from chromhub.modeling.fused_convnext import fusible
from peft import LoraConfig, inject_adapter_in_model


@pytest.fixture
def block() -> ConvNextBlock:
    torch.manual_seed(0)
    block = ConvNextBlock(4, 16, kernel_size=15)
    torch.nn.init.normal_(block.grn.gamma, std=0.5)
    torch.nn.init.normal_(block.grn.beta, std=0.1)
    torch.nn.init.uniform_(block.norm.weight, 0.5, 1.5)
    return block


def one_hot_dna(batch: int = 3, length: int = 200) -> torch.Tensor:
    bases = torch.randint(0, 4, (batch, length))
    return torch.nn.functional.one_hot(bases, 4).transpose(1, 2).float()


def outputs_and_gradients(block, forward, inputs, weights):
    block.zero_grad()
    outputs = forward(inputs)
    (outputs.float() * weights).sum().backward()
    return outputs.detach().float(), {name: parameter.grad.clone() for name, parameter in block.named_parameters()}


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize(("bfloat16", "tolerance"), [(False, 2e-6), (True, 0.06)])
def test_equals_the_plain_block(block, bfloat16, tolerance):
    inputs, weights = one_hot_dna(), torch.randn(3, 16, 200)
    assert fusible(block, inputs)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
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
