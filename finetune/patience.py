"""Early stopping that a resumed run does as one that was never cut."""

import math
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Patience(TrainerCallback):
    """Stop after so many evaluations without a better one.

    transformers' `EarlyStoppingCallback` counts in the process, and a resumed run starts from 0. Here the count follows
    from the history, which is part of a checkpoint.

    Args:
        patience: evaluations.
        after: optimiser steps before which none counts as one without a better.
    """

    def __init__(self, patience: int, *, after: int = 0) -> None:
        self.patience, self.after = patience, after

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop, if it is time."""
        key, sign = str(args.metric_for_best_model), 1 if args.greater_is_better else -1
        best, waited = -math.inf, 0
        for entry in state.log_history:
            if (value := entry.get(key)) is None:
                continue
            if sign * value > best:  # never, if it is not a number
                best, waited = sign * value, 0
            elif entry["step"] > self.after:
                waited += 1
        if waited >= self.patience:
            control.should_training_stop = True
