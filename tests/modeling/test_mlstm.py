import pytest
import torch
from chromhub.modeling.mlstm import chunkwise_mlstm, parallel_mlstm, recurrent_mlstm
from torch import Tensor

FORMS = [recurrent_mlstm, parallel_mlstm, chunkwise_mlstm]


def memory_inputs(positions: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    query, key, value = torch.randn(3, 2, 3, positions, 8, dtype=dtype)
    # both the |n q| and the exp(-m) branch of the normaliser are met, and gates from shut to open
    gates = 3 * torch.randn(2, 2, 3, positions, dtype=dtype)
    inputs = {"query": query, "key": key, "value": value, "input_gate": gates[0], "forget_gate": gates[1] + 2}
    return {name: tensor.requires_grad_() for name, tensor in inputs.items()}


@pytest.mark.parametrize("form", FORMS)
def test_two_positions_by_hand(form):
    # One channel, k scaled by 1. Gates: i = e^0, then e^1; f = sigmoid(0) = 1/2.
    # C_1 = 2 * 3 = 6, n_1 = 2; h_1 = 6 * 5 / max(|2 * 5|, 1) = 3
    # C_2 = 6 / 2 + e * 0.1 * 7, n_2 = 2 / 2 + e * 0.1; q_2 = 0.5: |n q| = 0.636 < 1, so h_2 = C_2 / 2
    numbers = {"query": [5.0, 0.5], "key": [2.0, 0.1], "value": [3.0, 7.0]}
    tensors = {name: torch.tensor(pair, dtype=torch.float64).view(1, 1, 2, 1) for name, pair in numbers.items()}
    gates = torch.tensor([0.0, 1.0], dtype=torch.float64).view(1, 1, 2)
    outputs = form(**tensors, input_gate=gates, forget_gate=torch.zeros_like(gates))
    expected = torch.tensor([3.0, (3 + torch.e * 0.7) / 2], dtype=torch.float64)
    assert torch.allclose(outputs.flatten(), expected, rtol=1e-5)  # the normaliser's epsilon is 1e-6


@pytest.mark.parametrize("positions", [1, 7, 64, 65, 200])
def test_all_forms_agree(positions):
    inputs = memory_inputs(positions)
    weights = torch.randn(2, 3, positions, 8, dtype=torch.float64)
    results = []
    for form in FORMS:
        outputs = form(**inputs)
        results.append((outputs, *torch.autograd.grad((outputs * weights).sum(), list(inputs.values()))))
    for other in results[1:]:
        for expected, got in zip(results[0], other, strict=True):
            assert (expected - got).abs().max() <= 1e-10 * expected.abs().max().clamp_min(1)


def test_chunk_size_changes_nothing():
    inputs = memory_inputs(50)
    expected = parallel_mlstm(**inputs)
    for chunk_size in (1, 8, 50):
        assert (chunkwise_mlstm(**inputs, chunk_size=chunk_size) - expected).abs().max() < 1e-10


def test_large_gates_do_not_overflow_in_float32():
    for form in FORMS:
        inputs = memory_inputs(300, torch.float32)
        with torch.no_grad():
            inputs["input_gate"] *= 200  # e^600 is no float
            inputs["forget_gate"] -= 100
        outputs = form(**inputs)
        assert torch.isfinite(outputs).all()
        for gradient in torch.autograd.grad(outputs.sum(), list(inputs.values())):
            assert torch.isfinite(gradient).all()


def test_thousands_of_positions_in_float32():
    inputs = {name: tensor.detach() for name, tensor in memory_inputs(4000).items()}
    double = chunkwise_mlstm(**inputs)
    single = chunkwise_mlstm(**{name: tensor.float() for name, tensor in inputs.items()})
    relative = (single - double).abs() / double.abs().clamp_min(1)
    assert relative.quantile(0.999) < 1e-3
