import math

import pytest
import torch
from chromhub.modeling.losses import poisson_nll


def test_by_hand():
    rates = torch.tensor([[[1.0, 2.0]]])
    targets = torch.tensor([[[1.0, 3.0]]])
    # ((1 - 1 * log 1) + (2 - 3 * log 2)) / 2
    assert poisson_nll(rates, targets).item() == pytest.approx((1 + 2 - 3 * math.log(2)) / 2)


def test_masked_and_missing_bins_do_not_count():
    rates = torch.tensor([[[1.0, 2.0, 5.0]]], requires_grad=True)
    targets = torch.tensor([[[1.0, float("nan"), 3.0]]])
    loss = poisson_nll(rates, targets, torch.tensor([[1, 1, 0]]))
    assert loss.item() == pytest.approx(1)
    loss.backward()
    assert rates.grad.tolist() == [[[0.0, 0.0, 0.0]]]  # d/dp (p - log p) = 0 at p = 1; the others are out
    assert poisson_nll(rates, targets, torch.zeros(1, 3)).item() == 0


def test_mask_per_track():
    rates, targets = torch.ones(1, 2, 2), torch.zeros(1, 2, 2)
    mask = torch.tensor([[[1, 1], [0, 0]]])
    assert poisson_nll(rates, targets, mask).item() == pytest.approx(1)
