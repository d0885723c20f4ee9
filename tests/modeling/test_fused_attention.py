"""Attention with dropout equals PyTorch's with the same mask, outputs and gradients."""

import pytest
import torch
from chromhub.modeling import dropout, fused_attention
from chromhub.modeling.fast_path import plain_modules
from chromhub.modeling.fused_attention import attention


def tensors(dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(2, 3, 20, 8, dtype=dtype, requires_grad=True) for _ in range(3)]


def masked_attention(query, key, value, mask, kept):
    weights = torch.softmax(query @ key.transpose(2, 3) / 8**0.5, -1)
    return (weights * mask * dropout.LEVELS / kept) @ value


def test_equals_the_plain_formula_with_its_mask(monkeypatch):
    masks = []

    def draw(*arguments):
        masks.append(dropout.draw_mask(*arguments))
        return masks[-1]

    monkeypatch.setattr(fused_attention, "draw_mask", draw)
    inputs, weights = tensors(), torch.randn(2, 3, 20, 8)
    outputs = attention(*inputs, dropout=0.25)
    gradients = torch.autograd.grad((outputs * weights).sum(), inputs)
    mask = torch.stack(masks).view(2, 3, 20, 20)
    assert mask.float().mean().item() == pytest.approx(0.75, abs=0.05)  # 2,400 draws: a standard deviation of .009
    expected = masked_attention(*inputs, mask, 0.75 * dropout.LEVELS)
    assert torch.allclose(outputs, expected, atol=1e-6)
    for ours, theirs in zip(gradients, torch.autograd.grad((expected * weights).sum(), inputs), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_torch_seed_alone_decides():
    torch.manual_seed(1)
    first, second = (attention(*tensors(), dropout=0.5) for _ in range(2))
    assert torch.equal(first, second)  # `tensors` seeds


@pytest.mark.parametrize("case", ["no dropout", "double", "plain"])
def test_steps_aside(case, monkeypatch):
    monkeypatch.setattr(fused_attention, "_DroppedAttention", None)
    inputs = tensors(torch.float64 if case == "double" else torch.float32)
    if case == "plain":
        with plain_modules():
            attention(*inputs, dropout=0.5)
    else:
        attention(*inputs, dropout=0.5 if case == "double" else 0.0)
