"""The head first, then everything."""

import pytest
import torch
from chromhub.finetune.arguments import training_arguments
from chromhub.finetune.recipe import Recipe
from chromhub.finetune.two_stage import HeadFirst, head_steps, staged_factor
from transformers import TrainerControl, TrainerState

RECIPE = Recipe(
    data="d", base="b", mode="two-stage", learning_rate=1e-4, head_stage={"epochs": 2, "learning_rate": 1e-3}
)


def test_the_first_stage_has_a_rate_of_its_own():
    assert head_steps(RECIPE, 10) == 20
    assert head_steps(Recipe(data="d", base="b", mode="full"), 10) == 0
    factor = staged_factor(RECIPE, lambda step: 0.5 + step, steps_per_epoch=10, warmup=0.0)
    assert factor(0) == pytest.approx(10)  # 1e-3 is ten times 1e-4
    assert factor(10) == pytest.approx(5)  # half of a cosine over 20 steps
    assert factor(20) == 0.5
    assert factor(21) == 1.5


def test_steps_of_both_stages_and_too_few(tmp_path):
    arguments = training_arguments(RECIPE, tmp_path, steps_per_epoch=10, device=torch.device("cpu"))
    assert arguments.max_steps == 20 + 10 * 10
    short = RECIPE.model_copy(update={"max_steps": 20})
    with pytest.raises(ValueError, match="second stage, which starts after 20 steps, got 20; raise it"):
        training_arguments(short, tmp_path, steps_per_epoch=10, device=torch.device("cpu"))


@pytest.mark.parametrize("alone", [True, False])
def test_the_trunk_waits(tiny_model, alone):
    first = HeadFirst(tiny_model, num_steps=3, alone=alone)
    for step, waits in ((0, True), (2, True), (3, False), (1, True)):
        first.on_step_begin(None, TrainerState(global_step=step), TrainerControl())
        assert tiny_model.stem.conv.weight.requires_grad == (not waits or not alone)
        assert tiny_model.head.weight.requires_grad
        for parameter in tiny_model.parameters():
            parameter.grad = torch.ones_like(parameter)
        first.drop_gradients(step)
        assert (tiny_model.core.features.norm.bias.grad is None) == waits
        assert tiny_model.head.bias.grad is not None
