"""Products and convolutions equal PyTorch's in every layout, by oneDNN and without it."""

import time

import pytest
import torch
from chromhub.modeling import products
from chromhub.modeling.products import WindowConv, column_norms, product, product_over_rows
from torch.nn import functional as F

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-5, torch.bfloat16: 0.05}
ACTIVATIONS = {"none": lambda values: values, "relu": torch.relu, "gelu": F.gelu}


@pytest.fixture(params=[True, False], ids=["oneDNN", "PyTorch"])
def either_way(request, monkeypatch):
    torch.manual_seed(0)
    if not request.param:
        monkeypatch.setattr(products, "_onednn_computes", lambda _: False)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_equals_mm(dtype, transposed):
    left, right, bias = torch.randn(7, 5).to(dtype), torch.randn(5, 6).to(dtype), torch.randn(6).to(dtype)
    expected = left.double() @ right.double()
    if transposed[0]:
        left = left.t().contiguous().t()
    if transposed[1]:
        right = right.t().contiguous().t()
    assert torch.allclose(product(left, right).double(), expected, atol=TOLERANCE[dtype])
    for name, activate in ACTIVATIONS.items():
        result = product(left, right, bias, activation=name)
        assert torch.allclose(result.double(), activate(expected + bias.double()), atol=TOLERANCE[dtype])
        assert torch.allclose(product(left, right, activation=name).double(), activate(expected), atol=TOLERANCE[dtype])


def test_rows_that_do_not_lie_together_are_not_multiplied_by_a_reference_implementation():
    """oneDNN would, in 400 times the time of PyTorch's product; two to five times are its own on small matrices."""
    queries, keys = torch.randn(512, 3, 32)[:, :2].unbind(1)

    def seconds(multiply):
        multiply(queries, keys.t())
        started = time.process_time()
        for _ in range(5):
            multiply(queries, keys.t())
        return time.process_time() - started

    assert min(seconds(product) / seconds(torch.mm) for _ in range(3)) < 40


def test_rows_and_pieces():
    matrix = torch.randn(40, 6)
    assert torch.allclose(product(matrix[::2][3:9], matrix[:6, 1:5]), matrix[::2][3:9] @ matrix[:6, 1:5], atol=1e-5)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("widths", [(5, 8), (8, 5)])
def test_products_over_rows(widths, dtype):
    left, right = (torch.randn(7, width).to(dtype) for width in widths)
    expected = left.double().t() @ right.double()
    assert torch.allclose(product_over_rows(left, right).double(), expected, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [3, 300])
def test_column_norms(rows, dtype):
    matrix = torch.randn(rows, 5).to(dtype)
    assert torch.allclose(column_norms(matrix), torch.linalg.vector_norm(matrix.float(), dim=0), rtol=1e-5)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("kernel_size", "dilation", "padding"), [(1, 1, 0), (3, 1, 1), (3, 4, 0), (2, 3, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_window_conv_equals_conv1d(kernel_size, dilation, padding, bias, dtype):
    weight, offset = torch.randn(6, 5, kernel_size).to(dtype), torch.randn(6).to(dtype) if bias else None
    conv = WindowConv(weight, offset, dilation=dilation, padding=padding)
    for length in (20, 31, 20, 12, 13, 14, 15):  # more than layouts are kept
        window = torch.randn(length, 5).to(dtype)
        expected = F.conv1d(
            window.double().t(),
            weight.double(),
            None if offset is None else offset.double(),
            dilation=dilation,
            padding=padding,
        ).t()
        assert len(expected) == length - conv.lost
        for name, activate in ACTIVATIONS.items():
            result = conv(window, activation=name)
            assert torch.allclose(result.double(), activate(expected), atol=2 * TOLERANCE[dtype])
        total = torch.ones(len(expected) + 2, 6, dtype=dtype)
        conv.add_to(total[1:-1], window)
        assert torch.allclose(total[1:-1].double(), 1 + expected, atol=2 * TOLERANCE[dtype])
        assert torch.equal(total[[0, -1]], torch.ones(2, 6, dtype=dtype))
