"""What a person watching a run sees, on standard error, and the run's history as rows."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils import logging

HISTORY_KEYS = ("loss", "learning_rate", "eval_loss")
METRIC_NAMES = {"pearson": "Pearson", "auroc": "AUROC", "auprc": "AUPRC"}


def history_rows(log_history: list[dict[str, Any]], metrics: Sequence[str] = ("pearson",)) -> list[dict[str, Any]]:
    """Join the Trainer's log into one row a step.

    Args:
        log_history: the Trainer's.
        metrics: what an evaluation measures beside the loss.

    Returns:
        Rows {step, epoch, loss, learning_rate, eval_loss, eval_pearson} (or the other
        metrics); None where nothing was measured, or where it is not a number. `loss` is the mean since the row before.
    """
    rows: dict[int, dict[str, Any]] = {}
    keys = [*HISTORY_KEYS, *(f"eval_{metric}" for metric in metrics)]
    for entry in log_history:
        if "loss" not in entry and "eval_loss" not in entry:
            continue  # the summary after the last step
        empty = {"step": entry["step"], "epoch": round(entry["epoch"], 4), **dict.fromkeys(keys)}
        row = rows.setdefault(entry["step"], empty)
        for key in keys:
            if key in entry and math.isfinite(entry[key]):
                row[key] = float(entry[key])
    return [rows[step] for step in sorted(rows)]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' bars and advice while its Trainer runs; `ShowProgress` speaks instead."""
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


class ShowProgress(TrainerCallback):
    """A bar of steps and one line an evaluation; and a stop where the loss is no number.

    Args:
        show: False shows nothing.
        metric: what an evaluation's line shows.
    """

    def __init__(self, *, show: bool, metric: str = "pearson") -> None:
        self.show = show
        self.metric = metric
        self.console = Console(stderr=True, highlight=False, emoji=False)
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps, loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            Remaining(),
            console=self.console,
            transient=True,
            disable=not show or not self.console.is_terminal,
        )
        self.task: TaskID | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the bar."""
        self.bar.start()
        self.task = self.bar.add_task("", total=state.max_steps, completed=state.global_step, loss="...")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar."""
        if self.task is not None:
            self.bar.update(self.task, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the loss.

        Raises:
            ValueError: the loss is not a number.
        """
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise ValueError(
                f"the training loss is {loss} at step {state.global_step}; lower --learning-rate or train without bf16"
            )
        if self.task is not None:
            self.bar.update(self.task, loss=f"{loss:.4f}")

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Print one line."""
        if not self.show or not metrics:
            return
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        found = metrics[f"eval_{self.metric}"]
        best = state.best_metric is None or found > state.best_metric
        self.console.print(
            f"step {state.global_step}/{state.max_steps}  epoch {state.epoch or 0:.2f}  "
            f"loss {losses[-1] if losses else math.nan:.4f}  validation loss {metrics['eval_loss']:.4f}  "
            f"{METRIC_NAMES[self.metric]} {found:.4f}{'  best' if best else ''}",
            soft_wrap=True,
        )

    def __enter__(self) -> "ShowProgress":
        """Return itself; the bar starts with the training."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Take the bar away, however training ended."""
        self.bar.stop()
