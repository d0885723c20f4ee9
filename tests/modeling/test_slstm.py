import importlib.util
import sys

import torch
from chromhub.modeling import slstm as slstm_module
from chromhub.modeling.slstm import slstm
from torch import Tensor
from torch.nn import functional as F


def textbook(gates: Tensor, recurrent: Tensor) -> Tensor:
    """The paper's definition without a stabiliser, by autograd."""
    h = c = n = gates.new_zeros(gates.shape[0], gates.shape[2], gates.shape[3] // 4)
    outputs = []
    for position in range(gates.shape[1]):
        i, f, z, o = (gates[:, position] + h @ recurrent.transpose(1, 2)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.exp(i) * torch.tanh(z)
        n = torch.sigmoid(f) * n + torch.exp(i)
        h = torch.sigmoid(o) * c / n
        outputs.append(h)
    return torch.stack(outputs, 1)


def scan_inputs(positions: int = 9, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    gates = 2 * torch.randn(3, positions, 2, 16, dtype=dtype)
    return gates.requires_grad_(), torch.randn(3, 16, 4, dtype=dtype).requires_grad_()


def test_one_position_by_hand():
    # c / n = tanh(z) after one position, whatever the input gate: h = sigmoid(o) tanh(z) = 0.5 * tanh(1)
    gates = torch.tensor([3.0, -2.0, 1.0, 0.0]).view(1, 1, 1, 4)
    assert torch.allclose(slstm(gates, torch.ones(1, 4, 1)).squeeze(), 0.5 * torch.tanh(torch.tensor(1.0)))


def test_equals_the_textbook_and_its_gradients():
    inputs = scan_inputs()
    weights = torch.randn(3, 9, 2, 4, dtype=torch.float64)
    expected, got = textbook(*inputs), slstm(*inputs)
    assert (expected - got).abs().max() < 1e-12
    ours = torch.autograd.grad((got * weights).sum(), inputs)
    for plain, fast in zip(torch.autograd.grad((expected * weights).sum(), inputs), ours, strict=True):
        assert (plain - fast).abs().max() < 1e-10
    assert torch.autograd.gradcheck(slstm, scan_inputs(4))


def test_large_gates_do_not_overflow():
    gates, recurrent = scan_inputs(200, torch.float32)
    outputs = slstm(300 * gates, recurrent)
    assert torch.isfinite(outputs).all()
    assert all(torch.isfinite(each).all() for each in torch.autograd.grad(outputs.sum(), (gates, recurrent)))


def test_half_precision_runs_in_float32():
    gates, recurrent = scan_inputs(50, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        half = slstm(gates.bfloat16(), recurrent)
        half.sum().backward()
    assert half.dtype == torch.float32
    assert recurrent.grad is not None
    assert torch.equal(half, slstm(gates.bfloat16().float(), recurrent))


def test_compiles_as_one_operator_however_long():
    compiled = torch.compile(slstm, fullgraph=True, backend="aot_eager")
    gates, recurrent = scan_inputs(2000, torch.float32)
    got, expected = compiled(gates, recurrent), slstm(gates, recurrent)
    assert torch.equal(got, expected)
    ours = torch.autograd.grad(got.square().sum(), (gates, recurrent))
    for plain, fast in zip(torch.autograd.grad(expected.square().sum(), (gates, recurrent)), ours, strict=True):
        assert torch.allclose(plain, fast)


def test_a_second_copy_of_the_file_works_beside_the_first():
    """A checkpoint with its own code brings one; its folder's name is no limit."""
    inputs = scan_inputs()
    expected = slstm(*inputs)
    for name in ("transformers_modules.mödel-1.slstm", "transformers_modules.mödel-1.slstm", "slstm"):
        spec = importlib.util.spec_from_file_location(name, slstm_module.__file__)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            copied = module.slstm(*inputs)
            copied.sum().backward()
        finally:
            del sys.modules[name]
        assert torch.equal(copied, expected)
    expected.sum().backward()
    assert torch.equal(F.relu(slstm(*inputs)), F.relu(expected))
