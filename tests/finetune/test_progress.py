"""History as rows, and a stop at a loss that is no number."""

import math
from types import SimpleNamespace

import pytest
from chromhub.finetune.progress import ShowProgress, history_rows


def test_history_is_one_row_a_step():
    log = [
        {"step": 2, "epoch": 0.5, "loss": 1.5, "grad_norm": 3.0, "learning_rate": 1e-3},
        {"step": 4, "epoch": 1.0, "loss": 1.25, "learning_rate": 5e-4},
        {"step": 4, "epoch": 1.0, "eval_loss": 1.0, "eval_pearson": math.nan, "eval_runtime": 1.0},
        {"step": 4, "epoch": 1.0, "train_runtime": 9.0, "train_loss": 1.3},
    ]
    assert history_rows(log) == [
        {"step": 2, "epoch": 0.5, "loss": 1.5, "learning_rate": 1e-3, "eval_loss": None, "eval_pearson": None},
        {"step": 4, "epoch": 1.0, "loss": 1.25, "learning_rate": 5e-4, "eval_loss": 1.0, "eval_pearson": None},
    ]


def test_training_stops_where_the_loss_is_no_number():
    shown = ShowProgress(show=False)
    with pytest.raises(ValueError, match="the training loss is nan at step 7; lower --learning-rate"):
        shown.on_log(None, SimpleNamespace(global_step=7), None, logs={"loss": math.nan})


def test_one_line_an_evaluation(capsys):
    shown = ShowProgress(show=True)
    state = SimpleNamespace(
        global_step=4, max_steps=8, epoch=1.0, best_metric=0.5, log_history=[{"loss": 1.25, "step": 4}]
    )
    shown.on_evaluate(None, state, None, metrics={"eval_loss": 1.0, "eval_pearson": 0.75})
    shown.on_evaluate(None, state, None, metrics={"eval_loss": 1.0, "eval_pearson": 0.25})
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    assert first == "step 4/8  epoch 1.00  loss 1.2500  validation loss 1.0000  Pearson 0.7500  best"
    assert second.endswith("Pearson 0.2500")
