import math

import pytest
import torch
from chromhub.modeling.losses import poisson_nll, profile_count_loss


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


def test_shape_and_total_by_hand():
    signal = torch.tensor([[[1.0, 3.0]]])
    targets = torch.tensor([[[2.0, 1.0]]])
    # shares 1/4 and 3/4: -(2 log 1/4 + 1 log 3/4) = 2 log 4 + log 4/3; totals log1p 3 = log 4 and log1p 4 = log 5
    shape = 2 * math.log(4) + math.log(4 / 3)
    total = (math.log(4) - math.log(5)) ** 2
    assert profile_count_loss(signal, targets, count_weight=0.5).item() == pytest.approx((shape + 0.5 * total) / 2)


def test_a_window_without_counts_has_its_total_alone():
    # log1p 0 = 0, log1p (1 + 1) = log 3; two bins
    loss = profile_count_loss(torch.ones(1, 1, 2), torch.zeros(1, 1, 2), count_weight=2.0)
    assert loss.item() == pytest.approx(2 * math.log(3) ** 2 / 2)


def test_masked_and_missing_bins_are_outside_the_window():
    signal = torch.tensor([[[1.0, 3.0, 9.0, 9.0]]], requires_grad=True)
    targets = torch.tensor([[[2.0, 1.0, float("nan"), 7.0]]])
    loss = profile_count_loss(signal, targets, torch.tensor([[1, 1, 1, 0]]))
    assert loss.item() == pytest.approx(profile_count_loss(signal[..., :2], targets[..., :2]).item())
    loss.backward()
    assert signal.grad[0, 0, 2:].tolist() == [0, 0]
    assert torch.isfinite(signal.grad).all()
    assert profile_count_loss(signal, targets, torch.zeros(1, 4)).item() == 0


def test_parts_weighted_by_their_bins_are_the_whole():
    signal, targets = torch.rand(3, 2, 4), torch.rand(3, 2, 4)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    first, second = (profile_count_loss(signal[part], targets[part], mask[part]) for part in (slice(1), slice(1, 3)))
    # 2 tracks: 8 bins of 18, and 10
    assert profile_count_loss(signal, targets, mask).item() == pytest.approx((8 * first + 10 * second).item() / 18)
