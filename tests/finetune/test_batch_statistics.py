"""Running statistics measured anew, by hand."""

import pytest
import torch
from chromhub.finetune.adapters import attach
from chromhub.finetune.batch_statistics import re_estimate
from chromhub.finetune.recipe import LoraRecipe
from torch import Tensor, nn


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.norm = nn.Dropout(0.5), nn.BatchNorm1d(1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.norm(self.dropout(inputs))


def test_statistics_are_the_mean_over_batches():
    model = Normed().train()
    model.norm.running_mean.fill_(9)
    batches = [{"inputs": torch.tensor([[0.0], [2.0]])}, {"inputs": torch.tensor([[4.0], [8.0]])}]
    assert re_estimate(model, batches, batch_size=2) == 1
    # means 1 and 6; unbiased variances 2 and 8; no dropout
    assert model.norm.running_mean.item() == pytest.approx(3.5)
    assert model.norm.running_var.item() == pytest.approx(5.0)
    assert (model.norm.momentum, model.training, model.norm.training) == (0.1, False, False)


def test_an_adapter_keeps_statistics_of_its_own(tiny_model):
    model = attach(tiny_model, "lora", lora=LoraRecipe(r=2), batch_norm="train")
    norms = dict(model.named_buffers())
    before = {name: buffer.clone() for name, buffer in norms.items()}
    codes = torch.randint(0, 4, (2, 2048), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    re_estimate(model, [{"inputs": codes}], batch_size=2)
    for name, buffer in norms.items():
        assert torch.equal(buffer, before[name]) == ("original_module" in name), name
