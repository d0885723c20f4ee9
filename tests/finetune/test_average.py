"""The moving average of the weights, by hand."""

import pytest
import torch
from chromhub.finetune.average import WeightAverage
from torch import nn


@pytest.fixture
def model():
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    model[0].bias.requires_grad_(False)
    return set_to(model, 1.0)


def set_to(model, value):
    with torch.no_grad():
        model[0].weight.fill_(value)
        model[1].running_mean.fill_(value)
    return model


def test_the_average_follows_slowly(model):
    average = WeightAverage(model, 0.5)
    assert average.names == {"0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
    average.update(set_to(model, 3.0), step=1)
    # step 1: decay (1 + 1) / (10 + 1) = 2 / 11, so 2 / 11 * 1 + 9 / 11 * 3 = 29 / 11
    assert average.average["0.weight"].item() == pytest.approx(29 / 11)
    average.update(set_to(model, 0.0), step=100)
    assert average.average["0.weight"].item() == pytest.approx(0.5 * 29 / 11)  # 101 / 110 is more than 0.5
    assert average.average["1.running_mean"].item() == pytest.approx(0.5 * 29 / 11)


def test_it_is_lent_and_taken_back(model, tmp_path):
    average = WeightAverage(model, 0.5)
    set_to(model, 7.0)
    with average.applied(model):
        assert model[0].weight.item() == model[1].running_mean.item() == 1.0
    assert model[0].weight.item() == model[1].running_mean.item() == 7.0
    average.save(tmp_path)
    other = WeightAverage(model, 0.5)
    other.load(tmp_path)
    other.copy_to(model)
    assert model[0].weight.item() == model[1].running_mean.item() == 1.0
    assert model[0].weight.requires_grad
