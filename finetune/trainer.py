"""The trainer: transformers' Trainer with the paper's optimiser and schedule, and a Pearson that streams."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import Sampler
from transformers import (
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from ..datasets_scripts.dataset import WindowDataset, collate
from ..inference.metrics import PearsonState
from .adapters import freeze_statistics
from .optimizer import build_optimizer
from .recipe import Recipe
from .schedule import build_schedule


class EpochSampler(Sampler[int]):
    """An order of the windows that depends on the seed and the epoch alone, so that a resumed run sees the same."""

    def __init__(self, num_windows: int, *, seed: int) -> None:
        self.num_windows = num_windows
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of windows."""
        return self.num_windows

    def __iter__(self) -> Iterator[int]:
        """Yield every window's index once."""
        yield from np.random.default_rng([self.seed, self.epoch]).permutation(self.num_windows).tolist()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""
        self.epoch = epoch


class SetEpoch(TrainerCallback):
    """Tell sampler and dataset the epoch before it starts.

    The Trainer asks accelerate to, but accelerate forgets the dataset when it resumes within an epoch or runs on
    several processes: it looks for `set_epoch` on what it wrapped, and stops at the sampler.
    """

    def __init__(self, sampler: EpochSampler, dataset: WindowDataset) -> None:
        self.sampler = sampler
        self.dataset = dataset

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the epoch; `state.epoch` counts passes over the windows, a fraction within one."""
        epoch = int(state.epoch or 0)
        self.sampler.set_epoch(epoch)
        self.dataset.set_epoch(epoch)


class SaveEvery(TrainerCallback):
    """Make a checkpoint, and a row of history, every so many steps beside those of the evaluations."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a checkpoint; the row keeps the mean losses of later rows the same after a resume."""
        if state.global_step % self.steps == 0:
            control.should_save = True
            control.should_log = True


class LogWithEvaluation(TrainerCallback):
    """Log the training loss wherever the model is evaluated or saved."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a row of history."""
        control.should_log = control.should_log or control.should_evaluate or control.should_save


class StreamingPearson:
    """Pearson's r over all central bins of an evaluation, in the log1p scale, batch by batch."""

    def __init__(self) -> None:
        self.state = PearsonState()

    def __call__(self, batch: EvalPrediction, compute_result: bool) -> dict[str, float]:
        """Add a batch of `log1p` predictions and labels (B, T, N); return the metric after the last."""
        self.state.update(_to_numpy(batch.predictions), _to_numpy(batch.label_ids))
        if not compute_result:
            return {}
        result = float(self.state.compute())
        self.state = PearsonState()
        return {"pearson": result}


class ChromTrainer(Trainer):
    """Train a track model as a recipe says.

    Labels are raw signal; the model brings its own loss and scale. Validation loss and Pearson count the central
    `config.target_length` of each window.

    Args:
        model: what `attach` returned.
        args: from `train.training_arguments`.
        recipe: the run's.
        steps_per_epoch: optimiser steps.
        train_dataset: training windows.
        eval_dataset: validation windows.
        callbacks: more of them.
    """

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        *,
        recipe: Recipe,
        steps_per_epoch: int,
        train_dataset: WindowDataset,
        eval_dataset: WindowDataset,
        callbacks: list[TrainerCallback],
    ) -> None:
        self.recipe = recipe
        self.steps_per_epoch = steps_per_epoch
        self.sampler = EpochSampler(len(train_dataset), seed=recipe.seed)
        own: list[TrainerCallback] = [SetEpoch(self.sampler, train_dataset)]
        if recipe.save_steps:
            own.append(SaveEvery(recipe.save_steps))
        super().__init__(
            model=model,  # pyright: ignore[reportArgumentType] - a PeftModel is welcome too
            args=args,
            data_collator=collate,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            compute_metrics=cast(Any, StreamingPearson()),
            callbacks=[*own, LogWithEvaluation(), *callbacks],
        )
        self.remove_callback(PrinterCallback)  # it prints to standard output, which is for results

    def load_finished(self, checkpoint: str | Path) -> None:
        """Take state and best weights from a run that ended when `checkpoint` was written.

        Going on from there would train one evaluation too many after a stop by patience.
        """
        self.state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
        best = self.state.best_model_checkpoint
        self._load_from_checkpoint(best if best and Path(best).is_dir() else str(checkpoint))

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return self.sampler

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return AdamW with the paper's parameter groups."""
        if self.optimizer is None:
            self.optimizer = build_optimizer(
                cast(nn.Module, self.model if model is None else model),
                learning_rate=self.args.learning_rate,
                betas=self.recipe.betas,
                weight_decay=self.recipe.weight_decay,
            )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        """Return the recipe's schedule."""
        if self.lr_scheduler is None:
            factor = build_schedule(
                self.recipe.schedule or "cosine",
                steps_per_epoch=self.steps_per_epoch,
                num_steps=num_training_steps,
                warmup=self.recipe.warmup,
                restart_decay=self.recipe.restart_decay,
            )
            self.lr_scheduler = LambdaLR(self.optimizer if optimizer is None else optimizer, factor)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the model's loss, with batch normalisation frozen under an adapter or a head alone."""
        if self.recipe.mode in ("lora", "head"):
            freeze_statistics(model)  # here, since the Trainer calls model.train() before every step
        return super().compute_loss(model, inputs, *args, **kwargs)

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, predictions and labels of the central bins, the latter two as log1p (B, T, bins)."""
        plain = cast(Any, self.accelerator.unwrap_model(cast(Any, model)))
        inputs = self._prepare_inputs(inputs)
        num_bins, crop = inputs["labels"].shape[-1], plain.config.crop_bins
        centre = torch.zeros(len(inputs["labels"]), num_bins, device=inputs["labels"].device)
        centre[:, crop : num_bins - crop] = 1
        with torch.no_grad(), self.compute_loss_context_manager():
            output = model(**inputs, mask=centre)
        predictions = output["predictions"][..., crop : num_bins - crop].float()
        labels = inputs["labels"][..., crop : num_bins - crop]
        if plain.config.target_transform != "log1p":
            predictions = torch.log1p(plain.to_signal(predictions))
        return output["loss"].detach().float(), predictions.contiguous(), torch.log1p(labels)


def _to_numpy(values: Any) -> np.ndarray:
    return values.cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
