"""A recipe as transformers' TrainingArguments."""

from pathlib import Path

import torch
from accelerate import PartialState
from transformers import TrainingArguments

from .recipe import Recipe
from .two_stage import head_steps


def training_arguments(
    recipe: Recipe, folder: str | Path, *, steps_per_epoch: int, device: torch.device
) -> TrainingArguments:
    """Return the Trainer's arguments for `recipe`.

    Args:
        recipe: the run's.
        folder: where checkpoints go.
        steps_per_epoch: optimiser steps.
        device: CPU or not; the Trainer picks which GPU.

    Raises:
        ValueError: the batch does not divide over the processes, or no step is left for the second stage.
    """
    processes = PartialState(cpu=device.type == "cpu").num_processes
    parts = processes * recipe.accumulate
    if recipe.batch_size % parts:
        raise ValueError(
            f"`batch_size` must divide over {processes} processes and {recipe.accumulate} accumulated parts, "
            f"got {recipe.batch_size}"
        )
    first = head_steps(recipe, steps_per_epoch)
    num_steps = first + (recipe.epochs or 1) * steps_per_epoch
    num_steps = min(num_steps, recipe.max_steps or num_steps)
    if first and num_steps <= first:
        raise ValueError(
            f"`max_steps` must leave some for the second stage, which starts after {first} steps, got {num_steps}; "
            "raise it, or lower `head_stage.max_steps`"
        )
    eval_steps = min(recipe.eval_steps or steps_per_epoch, num_steps)
    args = TrainingArguments(
        output_dir=str(Path(folder).resolve()),
        max_steps=num_steps,
        per_device_train_batch_size=recipe.batch_size // parts,
        per_device_eval_batch_size=recipe.eval_batch_size,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.learning_rate or 0.0,
        max_grad_norm=recipe.max_grad_norm,
        seed=recipe.seed,
        bf16=bool(recipe.bf16),
        tf32=False if device.type == "cuda" and not recipe.bf16 else None,  # with compile the Trainer would turn it on
        torch_compile=recipe.compile,
        use_cpu=device.type == "cpu",
        dataloader_num_workers=recipe.num_workers,
        dataloader_pin_memory=device.type == "cuda",
        remove_unused_columns=False,
        label_names=["labels"],
        eval_strategy="steps",
        eval_steps=eval_steps,
        save_strategy="steps",
        save_steps=eval_steps,  # further ones: `SaveEvery`
        save_total_limit=2,  # the best and the newest
        logging_strategy="steps",
        logging_steps=max(1, eval_steps // 10),
        logging_nan_inf_filter=False,  # `ShowProgress` stops there instead
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{recipe.metric}",
        greater_is_better=True,
        report_to="none",
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
    )
    args._n_gpu = min(args.n_gpu, 1)  # several GPUs without torchrun would become nn.DataParallel
    return args
