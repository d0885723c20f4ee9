"""Products equal PyTorch's in every layout."""

import pytest
import torch
from chromhub.modeling import products
from chromhub.modeling.products import product


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_equals_mm(dtype, transposed, onednn, monkeypatch):
    if not onednn:
        monkeypatch.setattr(products, "_onednn_multiplies", lambda: False)
    torch.manual_seed(0)
    left, right, bias = torch.randn(7, 5).to(dtype), torch.randn(5, 6).to(dtype), torch.randn(6).to(dtype)
    expected = left.double() @ right.double()
    if transposed[0]:
        left = left.t().contiguous().t()
    if transposed[1]:
        right = right.t().contiguous().t()
    tolerance = 0.05 if dtype == torch.bfloat16 else 1e-5
    assert torch.allclose(product(left, right).double(), expected, atol=tolerance)
    assert torch.allclose(product(left, right, bias).double(), expected + bias.double(), atol=tolerance)


def test_rows_and_pieces():
    matrix = torch.randn(40, 6)
    assert torch.allclose(product(matrix[::2][3:9], matrix[:6, 1:5]), matrix[::2][3:9] @ matrix[:6, 1:5], atol=1e-5)
