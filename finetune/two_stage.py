"""Mode "two-stage": the head alone first, then every weight at a low rate.

As ChromTransfer is fine-tuned (Salvatore et al. 2023, transfer_learning_example.py): a fresh head would otherwise send
large gradients into a trunk that is already good. Both stages are one run, with one optimiser and one history, so that
it is resumed as any other.
"""

from collections.abc import Callable
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..modeling import head_modules
from .recipe import Recipe
from .schedule import cosine_factor


def head_steps(recipe: Recipe, steps_per_epoch: int) -> int:
    """Return the optimiser steps that train the head alone; 0 in every other mode."""
    return recipe.head_stage.epochs * steps_per_epoch if recipe.mode == "two-stage" else 0


def staged_factor(
    recipe: Recipe, second: Callable[[int], float], *, steps_per_epoch: int, warmup: float
) -> Callable[[int], float]:
    """Return the factor of `recipe.learning_rate` as a function of the run's step.

    Args:
        recipe: of mode "two-stage".
        second: factor of the second stage's step.
        steps_per_epoch: optimiser steps.
        warmup: of the first stage, in epochs.
    """
    first = head_steps(recipe, steps_per_epoch)
    assert recipe.learning_rate is not None  # the recipe fills it
    ratio = recipe.head_stage.learning_rate / recipe.learning_rate

    def factor(step: int) -> float:
        if step >= first:
            return second(step - first)
        return ratio * cosine_factor(step, steps_per_epoch=steps_per_epoch, num_steps=first, warmup=warmup)

    return factor


class HeadFirst(TrainerCallback):
    """Freeze the trunk for the first stage.

    Args:
        model: all of whose weights train in the second stage.
        num_steps: of the first stage.
        alone: one process trains. Several must exchange the same gradients in every step, so there the trunk's are
            computed and dropped.
    """

    def __init__(self, model: nn.Module, *, num_steps: int, alone: bool) -> None:
        heads = tuple(f"{name}." for name in head_modules(model))
        self.trunk = [parameter for name, parameter in model.named_parameters() if not name.startswith(heads)]
        self.num_steps, self.alone = num_steps, alone

    def is_first(self, step: int) -> bool:
        """Tell whether the step after `step` steps belongs to the first stage."""
        return step < self.num_steps

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set what trains; by the step, so that a resumed run finds its stage."""
        for parameter in self.trunk if self.alone else ():
            parameter.requires_grad_(not self.is_first(state.global_step))

    def drop_gradients(self, step: int) -> None:
        """Forget the trunk's gradients in the first stage; an optimiser passes over weights without one."""
        for parameter in self.trunk if self.is_first(step) else ():
            parameter.grad = None
