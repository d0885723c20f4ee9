"""When a run stops early."""

import pytest
from chromhub.finetune.patience import Patience
from transformers import TrainerControl, TrainerState, TrainingArguments

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "after", "stops"),
    [
        ([0.1, 0.2, 0.2], 0, False),  # one without a better
        ([0.2, 0.1, 0.2], 0, True),
        ([0.2, 0.1, 0.3, NAN], 0, False),
        ([NAN, NAN], 0, True),
        ([0.3, 0.1, 0.2], 20, False),  # the first two do not count
        ([0.3, 0.1, 0.2], 10, True),
    ],
)
def test_the_count_follows_from_the_history(tmp_path, values, after, stops):
    args = TrainingArguments(
        output_dir=str(tmp_path), metric_for_best_model="eval_pearson", greater_is_better=True, use_cpu=True
    )
    log = [{"step": 10 * (i + 1), "eval_pearson": value} for i, value in enumerate(values)]
    state, control = TrainerState(log_history=[{"step": 1, "loss": 3.0}, *log]), TrainerControl()
    Patience(2, after=after).on_evaluate(args, state, control)
    assert control.should_training_stop == stops
