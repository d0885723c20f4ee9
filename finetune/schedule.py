"""Learning rates over a run, as factors of the peak."""

import math
from collections.abc import Callable


def paper_factor(step: int, *, steps_per_epoch: int, warmup: float = 0.25, restart_decay: float = 0.9) -> float:
    """Return the factor at one step of the schedule of Grover et al. 2026 (atac-asap 0.2.2's closed form).

    Linear warm-up over the first quarter of epoch 0, cosine to 0 over its rest, then a cosine restart each epoch:
    epoch 1 peaks at 1, epoch e >= 2 at 0.9 ** (e - 1). As in the reference the first step's rate is 0, and the first
    step of each epoch >= 2 repeats the lowest rate of the epoch before.

    Args:
        step: optimiser steps taken so far.
        steps_per_epoch: optimiser steps in an epoch.
        warmup: warm-up in epochs, below 1.
        restart_decay: peak of a restart over the one before.
    """
    warmup_steps = int(steps_per_epoch * warmup)
    if step < warmup_steps:
        return step / warmup_steps
    if step < steps_per_epoch:
        return _cosine((step - warmup_steps) / (steps_per_epoch - warmup_steps))
    since = step - steps_per_epoch
    cycle, phase = (0, since) if since < steps_per_epoch else divmod(since - 1, steps_per_epoch)
    return restart_decay**cycle * _cosine(phase / steps_per_epoch)


def cosine_factor(step: int, *, steps_per_epoch: int, num_steps: int, warmup: float = 0.25) -> float:
    """Return the factor at one step of a linear warm-up and one cosine to 0 at the run's end.

    Args:
        step: optimiser steps taken so far.
        steps_per_epoch: optimiser steps in an epoch.
        num_steps: optimiser steps of the run.
        warmup: warm-up in epochs, cut to a quarter of a shorter run.
    """
    warmup_steps = min(int(steps_per_epoch * warmup), num_steps // 4)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return _cosine(min(1.0, (step - warmup_steps) / (num_steps - warmup_steps)))


def constant_factor(step: int, *, steps_per_epoch: int, num_steps: int, warmup: float) -> float:
    """Return the factor at one step of a linear warm-up and the peak for good (CLASTER's: 2,000 steps of some 600).

    Args:
        step: optimiser steps taken so far.
        steps_per_epoch: optimiser steps in an epoch.
        num_steps: optimiser steps of the run.
        warmup: warm-up in epochs, cut to a quarter of a shorter run.
    """
    warmup_steps = min(int(steps_per_epoch * warmup), num_steps // 4)
    return min(1.0, (step + 1) / (warmup_steps + 1))


def build_schedule(
    name: str, *, steps_per_epoch: int, num_steps: int, warmup: float, restart_decay: float
) -> Callable[[int], float]:
    """Return the factor as a function of the step, for `torch.optim.lr_scheduler.LambdaLR`."""

    def paper(step: int) -> float:
        return paper_factor(step, steps_per_epoch=steps_per_epoch, warmup=warmup, restart_decay=restart_decay)

    def cosine(step: int) -> float:
        return cosine_factor(step, steps_per_epoch=steps_per_epoch, num_steps=num_steps, warmup=warmup)

    def constant(step: int) -> float:
        return constant_factor(step, steps_per_epoch=steps_per_epoch, num_steps=num_steps, warmup=warmup)

    return {"paper": paper, "cosine": cosine, "constant": constant}[name]


def _cosine(phase: float) -> float:
    return (1 + math.cos(math.pi * phase)) / 2
