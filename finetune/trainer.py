"""The trainer: transformers' Trainer with the paper's optimiser and schedule, and sums that hold over processes."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput, rotate_checkpoints

from ..datasets_scripts.dataset import WindowDataset
from ..datasets_scripts.loader import WindowBatches, WindowLoader, num_counted
from ..datasets_scripts.shard_windows import ShardWindows
from ..datasets_scripts.streaming import StreamingWindows, StreamLoader
from ..datasets_scripts.window_labels import LabelledWindows
from ..inference.metrics import PearsonState
from .adapters import freeze_statistics
from .average import WeightAverage
from .batch_statistics import re_estimate
from .checkpoints import seal
from .optimizer import build_optimizer
from .recipe import Recipe
from .schedule import build_schedule
from .two_stage import HeadFirst, head_steps, staged_factor


class SetEpoch(TrainerCallback):
    """Tell batches and dataset the epoch before it starts, which the Trainer leaves to accelerate's own loaders."""

    def __init__(self, batches: WindowBatches, dataset: Any, *, steps_per_epoch: int) -> None:
        self.batches = batches
        self.dataset = dataset
        self.steps_per_epoch = steps_per_epoch

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the epoch; `state.epoch` counts passes over the windows, a fraction within one."""
        epoch = int(state.epoch or 0)
        self.batches.set_epoch(epoch)
        self.dataset.set_epoch(epoch)
        if isinstance(self.dataset, StreamingWindows):  # the Trainer is about to drop them one by one
            num_steps = state.global_step % self.steps_per_epoch
            self.dataset.leave_unread(num_steps * args.gradient_accumulation_steps)


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


class AverageWeights(TrainerCallback):
    """Update the average of the weights after each step."""

    def __init__(self, average: WeightAverage, model: nn.Module) -> None:
        self.average, self.model = average, model

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take the step in."""
        self.average.update(self.model, step=state.global_step)


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
        train_dataset: WindowDataset | ShardWindows | LabelledWindows | StreamingWindows,
        eval_dataset: WindowDataset | ShardWindows | LabelledWindows,
        callbacks: list[TrainerCallback],
    ) -> None:
        self.recipe = recipe
        self.steps_per_epoch = steps_per_epoch
        self.batches = WindowBatches(
            len(train_dataset),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            rank=args.process_index,
            num_ranks=args.world_size,
            accumulate=recipe.accumulate,
        )
        own: list[TrainerCallback] = [SetEpoch(self.batches, train_dataset, steps_per_epoch=steps_per_epoch)]
        if recipe.save_steps:
            own.append(SaveEvery(recipe.save_steps))
        self.head_first: HeadFirst | None = None
        if first := head_steps(recipe, steps_per_epoch):
            self.head_first = HeadFirst(model, num_steps=first, alone=args.world_size == 1)
            own.append(self.head_first)
        super().__init__(
            model=model,  # pyright: ignore[reportArgumentType] - a PeftModel is welcome too
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            callbacks=[*own, LogWithEvaluation(), *callbacks],
        )
        self.remove_callback(PrinterCallback)  # it prints to standard output, which is for results
        self.average: WeightAverage | None = None
        if recipe.ema is not None:
            self.average = WeightAverage(model, recipe.ema)  # after the model has moved to its device
            self.add_callback(AverageWeights(self.average, model))

    def load_finished(self, checkpoint: str | Path) -> None:
        """Take state and best weights from a run that ended when `checkpoint` was written.

        Going on from there would train one evaluation too many after a stop by patience.
        """
        self.state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
        best = self.state.best_model_checkpoint
        self._load_from_checkpoint(best if best and Path(best).is_dir() else str(checkpoint))

    def finish(self) -> dict[str, float]:
        """Give the model the weights that are published: the best ones, or their average, with statistics to match.

        Returns:
            Metrics of a last evaluation where statistics were measured anew; else {}.
        """
        model = cast(nn.Module, self.model)
        if self.average is not None:
            self.average.copy_to(model)
            self.average = None  # of weights that no longer change
        if self.recipe.batch_norm != "re-estimated":
            return {}
        cast(Any, self.train_dataset).set_epoch(0)
        self.batches.set_epoch(0)
        batches = self.get_train_dataloader()
        re_estimate(model, batches, batch_size=self.recipe.batch_size // self.recipe.accumulate)
        for name, buffer in model.named_buffers():
            if self.args.world_size > 1 and name.endswith(("running_mean", "running_var")):
                buffer.copy_(cast(Tensor, self.accelerator.reduce(buffer, "mean")))
        return self.evaluation_loop(self.get_eval_dataloader(), "re-estimated").metrics or {}

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.average is not None and self.args.should_save:
            self.average.save(output_dir or str(self.args.output_dir))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint, seal it, and only then delete older ones: at any moment one is whole."""
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()  # each rank writes its own random state
        if self.args.should_save:
            folder = str(self.args.output_dir)
            seal(Path(folder) / f"checkpoint-{self.state.global_step}")
            rotate_checkpoints(
                output_dir=folder,
                save_total_limit=limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.average is not None:
            self.average.load(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        super()._load_best_model()
        if self.average is not None:
            self.average.load(str(self.state.best_model_checkpoint))

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the loss of a part of a step, whose gradients have been added."""
        loss = super().training_step(*args, **kwargs)
        if self.head_first is not None:
            self.head_first.drop_gradients(self.state.global_step)
        return loss

    def _prepare_input(self, data: Any) -> Any:
        """Copy pinned batches to the GPU while it computes; the Trainer's own copy waits for the step before."""
        if isinstance(data, Tensor) and self.args.device.type == "cuda" and data.is_pinned():
            return data.to(self.args.device, non_blocking=True)
        return super()._prepare_input(data)

    def get_train_dataloader(self) -> DataLoader:
        """Return this process's share of every step."""
        if isinstance(self.train_dataset, StreamingWindows):  # deals its windows to the ranks by itself
            num_workers, pin = self.args.dataloader_num_workers, self.args.dataloader_pin_memory
            return StreamLoader(self.train_dataset, num_workers=num_workers, pin_memory=pin)
        return self._loader(self.train_dataset, self.batches)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        """Return this process's share of the validation windows, each in one process only."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        batches = WindowBatches(
            len(cast(WindowDataset, dataset)),
            batch_size=self.args.per_device_eval_batch_size * self.args.world_size,
            rank=self.args.process_index,
            num_ranks=self.args.world_size,
        )
        return self._loader(dataset, batches)

    def _loader(self, dataset: Any, batches: WindowBatches) -> DataLoader:
        # Not through accelerate: it evens the ranks out by showing some windows twice.
        num_workers = self.args.dataloader_num_workers
        return WindowLoader(dataset, batches, num_workers=num_workers, device=self.args.device)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], None]:
        """Return the parts of one step, each with its weight where parts may count unequal numbers of bins.

        The Trainer takes the mean of the parts' mean losses, over ranks and accumulated parts; weighted so it is the
        mean over all bins that count in the step, as of one process with one batch.
        """
        parts = list(islice(epoch_iterator, num_batches))
        if self.args.world_size * num_batches > 1:
            counts = torch.tensor([num_counted(part) for part in parts], device=device)
            total = cast(Tensor, self.accelerator.reduce(counts.sum())).clamp(min=1)
            for part, count in zip(parts, counts, strict=True):
                part["weight"] = count * (len(parts) * self.args.world_size) / total
        return parts, None

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the recipe's optimiser with the paper's parameter groups."""
        if self.optimizer is None:
            self.optimizer = build_optimizer(
                cast(nn.Module, self.model if model is None else model),
                learning_rate=self.args.learning_rate,
                betas=self.recipe.betas,
                weight_decay=self.recipe.weight_decay,
                layer_decay=self.recipe.layer_decay,
                kind=self.recipe.optimizer or "adamw",
            )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        """Return the recipe's schedule."""
        if self.lr_scheduler is None:
            first, warmup = head_steps(self.recipe, self.steps_per_epoch), self.recipe.warmup
            factor = build_schedule(
                self.recipe.schedule or "cosine",
                steps_per_epoch=self.steps_per_epoch,
                num_steps=num_training_steps - first,
                warmup=warmup,
                restart_decay=self.recipe.restart_decay,
            )
            if first:
                factor = staged_factor(self.recipe, factor, steps_per_epoch=self.steps_per_epoch, warmup=warmup)
            self.lr_scheduler = LambdaLR(self.optimizer if optimizer is None else optimizer, factor)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the model's loss, batch normalisation frozen if the recipe says so or the head trains alone."""
        head_alone = self.head_first is not None and self.head_first.is_first(self.state.global_step)
        if self.recipe.batch_norm == "frozen" or head_alone:
            freeze_statistics(model)  # here, since the Trainer calls model.train() before every step
        weight = inputs.pop("weight", None)
        loss, output = super().compute_loss(model, inputs, return_outputs=True)
        loss = self.add_to_loss(loss, output, inputs)
        return loss if weight is None else loss * weight.to(loss.dtype)

    def add_to_loss(self, loss: Tensor, output: Any, inputs: dict[str, Any]) -> Tensor:
        """Return the loss that is trained on: the model's own, to which a kind of trainer may add."""
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate the weights, or their average where the recipe has one."""
        if self.average is None:
            return super().evaluate(*args, **kwargs)
        with self.average.applied(cast(nn.Module, self.model)):
            return super().evaluate(*args, **kwargs)

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Return loss and Pearson of the central bins that count; processes exchange sums, not predictions."""
        model = self._wrap_model(cast(nn.Module, self.model), training=False).eval()
        loss, num_bins, pearson = 0.0, 0, PearsonState()
        for batch in dataloader:
            mean, predictions, labels = self.prediction_step(model, batch, False)
            loss += float(mean) * predictions.numel()
            num_bins += predictions.numel()
            pearson.update(predictions.cpu().numpy(), labels.cpu().numpy())
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        shares = [(loss, num_bins, pearson)]
        if self.args.world_size > 1:
            shares = gather_object(shares)  # of every rank, in their order
        pooled = PearsonState()
        for _, _, share in shares:
            pooled.merge(share)
        num_bins = sum(count for _, count, _ in shares)
        metrics = {
            f"{metric_key_prefix}_loss": sum(share for share, _, _ in shares) / max(1, num_bins),
            f"{metric_key_prefix}_pearson": pooled.compute(),
        }
        num_windows = len(cast(Any, dataloader.dataset))
        return EvalLoopOutput(cast(Any, None), None, metrics, num_windows)  # no predictions are kept

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, predictions and labels of the central bins that count, the latter two as log1p.

        These are (B, T, bins), or (n,) where a mask leaves bins out.
        """
        plain = cast(Any, self.accelerator.unwrap_model(cast(Any, model)))
        inputs = self._prepare_inputs(inputs)
        labels, mask = inputs["labels"], inputs.pop("mask", None)
        num_bins, crop = labels.shape[-1], plain.config.crop_bins
        centre = torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
        centre[..., crop : num_bins - crop] = True
        counted = centre if mask is None else centre & mask.bool()
        with torch.no_grad(), self.compute_loss_context_manager():
            output = model(**inputs, mask=counted)
        predictions = output["predictions"].float()
        if plain.config.target_transform != "log1p":
            predictions = torch.log1p(plain.to_signal(predictions))
        chosen = (..., slice(crop, num_bins - crop)) if mask is None else counted
        return output["loss"].detach().float(), predictions[chosen], torch.log1p(labels[chosen])
