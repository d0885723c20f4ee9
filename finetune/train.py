"""Train or fine-tune a model as a recipe says; the module that `accelerate launch` and `torchrun` start.

    torchrun --nproc_per_node 4 -m chromhub.finetune.train recipe.yaml -o RUN

Everything lies in RUN/checkpoints until the model is final.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from transformers import set_seed

from ..datasets_scripts.described import Described
from ..datasets_scripts.digests import write_digests
from ..datasets_scripts.landscape import LandscapeData
from ..datasets_scripts.plain_files import read_json
from ..inference.adapter_base import weights_digest
from ..inference.cpu import bf16_warning, device_name, pick_device, prepare_cpu
from ..inference.figures import loss_name, training_curve
from ..inference.gpu import check_processes, float32_products, out_of_memory, precision_name, use_bf16
from ..inference.names import resolve
from ..inference.provenance import find_provenance, find_untold, refuse_leak
from ..modeling import DnaFeatureExtractor
from .adapters import attach, save_adapter
from .arguments import training_arguments
from .checkpoints import is_finished, read_state, remove_broken
from .class_trainer import ClassTrainer
from .data_source import choose_windows, open_data, training_dataset, unmoved_training_windows, window_dataset
from .diverged import check_converged
from .kmer_fit import neutral_part
from .landscape_data import choose_rows, landscape_datasets
from .landscape_trainer import LandscapeTrainer
from .motif_stem import start_from_motifs
from .patience import Patience
from .progress import METRIC_NAMES, ShowProgress, history_rows, quiet_transformers
from .recipe import TASK_METRICS, Recipe, load_recipe
from .record import run_provenance, write_provenance
from .run_folder import CHECKPOINTS, check_run, clear_run, held_run, publish_run
from .starting_classifier import set_label_rule, starting_classifier
from .starting_landscape import starting_landscape
from .starting_model import set_count_weight, starting_model
from .trainer import ChromTrainer
from .two_stage import head_steps


def train(
    recipe: Recipe,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow_leak: bool = False,
    device: str | None = None,
    progress: bool = True,
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train a model and write its run folder.

    Killed or interrupted, it leaves checkpoints in `output`/checkpoints and no model; with `resume` it goes on from
    the last whole one and, on a CPU, ends with the same weights bit for bit.

    Args:
        recipe: every choice of the run.
        output: the run's folder.
        resume: go on with the run that lies in `output`; the recipe must be the same.
        overwrite: delete an earlier run in `output` once everything else has been checked.
        allow_leak: start from a base that saw this run's validation or test intervals.
        device: "cpu", "cuda" or "mps"; None picks the best. Under torchrun each process has its own GPU.
        progress: show a bar and a line an evaluation.
        say: told the device, the windows and the outcome, line by line; None writes to standard error.

    Returns:
        JSON-ready summary: run, mode, device, windows, steps, best_step, eval_pearson (or
        eval_auroc and eval_auprc), eval_loss, wall_seconds and windows_per_second of this session, resumed_from.

    Raises:
        FileNotFoundError: no such data, base, or run to resume.
        FileExistsError: `output` is in use.
        ValueError: base, data and recipe do not fit together, a leak, or a GPU's memory does not hold a batch.
    """
    run = Path(output)
    base = resolve(recipe.base) if recipe.base is not None else None
    if base is not None and base.folder is not None and base.folder.resolve() == run.resolve():
        raise ValueError(f"the run cannot lie where its base lies, got {run}; choose another folder")
    leads = _leads()
    options = {"resume": resume, "overwrite": overwrite, "inputs": (recipe.data, recipe.base)}
    check_run(run, **options, is_held=not leads)
    where = pick_device(device)
    if where.type == "cuda" and where.index:
        raise ValueError(
            f"--device {where}: training takes the first GPU it sees; use CUDA_VISIBLE_DEVICES={where.index}"
        )
    is_landscape = recipe.task == "landscape"
    store: Any = LandscapeData.open(recipe.data) if is_landscape else open_data(recipe.data, recipe.tracks)
    with held_run(run) if leads else nullcontext():
        checkpoint = check_run(run, **options, is_held=True)  # again, now that nobody else may change it
        return _train(
            recipe,
            run,
            store,
            checkpoint,
            resume=resume,
            overwrite=overwrite,
            allow_leak=allow_leak,
            where=where,
            progress=progress,
            say=say or _tell,
        )


def _train(
    recipe: Recipe,
    run: Path,
    store: Any,
    checkpoint: Path | None,
    *,
    resume: bool,
    overwrite: bool,
    allow_leak: bool,
    where: torch.device,
    progress: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Train in a folder whose lock is held; as `train`, with opened data and the checkpoint to go on from."""
    folder = run / CHECKPOINTS
    bf16 = use_bf16(where, recipe.bf16)
    recipe = recipe.model_copy(update={"bf16": bf16})
    metric = recipe.metric or "pearson"
    if where.type == "cuda":
        check_processes()
    is_landscape = recipe.task == "landscape"
    base_digest = weights_digest(recipe.base) if recipe.base else None
    if resume:
        _check_same(recipe, store, folder, base_digest)
    parent = find_provenance(recipe.base) if recipe.base else None
    if parent is not None and not allow_leak:
        for part in ("valid", "test"):
            refuse_leak(parent, store, part)
            if untold := find_untold(parent, store, part):
                say(
                    f"whether the base has seen {untold[0]} of the {part} part cannot be told: the data has other "
                    "bases under the same name and length; name its assembly with --genome"
                )

    set_seed(recipe.seed)
    is_classifier = recipe.task == "classification"
    start = starting_classifier if is_classifier else starting_landscape if is_landscape else starting_model
    model: Any = start(recipe, store)
    if recipe.stem_motifs is not None:
        start_from_motifs(getattr(model, "stem", model), recipe.stem_motifs)
    config: Any = model.config
    if (
        recipe.gradient_checkpointing
    ):  # on the model, since the Trainer's argument has another name in each transformers
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    chosen = choose_rows(recipe, store) if is_landscape else choose_windows(recipe, store, config)
    train_windows, valid_windows, report = chosen
    unmoved: Any = unmoved_training_windows(recipe, store, train_windows, config=config) if is_classifier else None
    if is_classifier:
        set_label_rule(config, recipe, unmoved)
    model = attach(model, recipe.mode or "scratch", lora=recipe.lora, batch_norm=recipe.batch_norm or "train")
    if recipe.kmers is not None:
        neutral_part(model)

    steps_per_epoch = math.ceil(len(train_windows) / recipe.batch_size)
    args = training_arguments(recipe, folder, steps_per_epoch=steps_per_epoch, device=where)
    main, broken = PartialState().is_main_process, {}
    PartialState().wait_for_everyone()  # every process has looked at the folder before one changes it
    if main:
        if overwrite:
            clear_run(run)
        folder.mkdir(parents=True, exist_ok=True)
        if resume:
            broken = remove_broken(folder)
        recipe.write(folder / "recipe.yaml")
        (folder / "data.json").write_text(
            json.dumps({"fingerprint": store.fingerprint, "base": base_digest}), encoding="utf-8"
        )
    PartialState().wait_for_everyone()

    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    if main:
        say(f"training on {device_name(args.device)}{precision_name(args.device, bf16=bf16)}")
        if bf16 and (warning := bf16_warning(args.device)):
            say(warning)
        say(
            f"{len(train_windows):,} training and {len(valid_windows):,} validation windows, {trainable:,} of "
            f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters train, "
            f"{steps_per_epoch:,} steps an epoch"
        )
        if isinstance(model, PeftModel):
            say(f"an adapter of rank {model.active_peft_config.r}")  # pyright: ignore[reportAttributeAccessIssue]
        if recipe.base and parent is None:
            say(f"{recipe.base} has no provenance.json: what it was trained on, and so any leak, is not known")
        for name, fault in broken.items():
            say(f"left out the damaged {name}: {fault}")
        if resume:
            say(f"resuming from {checkpoint.name}" if checkpoint else "resuming from the start: no whole checkpoint")

    shown = ShowProgress(show=progress and main, metric=metric)
    if is_landscape:
        contacts = config.structure is not None
        datasets: tuple[Any, Any] = landscape_datasets(recipe, store, train_windows, valid_windows, contacts=contacts)
    else:
        ranks = {"rank": args.process_index, "world_size": args.world_size}
        datasets = (
            training_dataset(recipe, store, train_windows, config=config, **ranks),
            window_dataset(recipe, store, valid_windows, config=config, train=False),
        )
    if recipe.task == "tracks":
        set_count_weight(config, recipe, datasets[0])
    trainer = (ClassTrainer if is_classifier else LandscapeTrainer if is_landscape else ChromTrainer)(
        model,
        args,
        recipe=recipe,
        steps_per_epoch=steps_per_epoch,
        train_dataset=datasets[0],
        eval_dataset=datasets[1],
        callbacks=[Patience(recipe.patience, after=head_steps(recipe, steps_per_epoch)), shown],
    )
    started = time.monotonic()
    before = read_state(checkpoint) if checkpoint else {"global_step": 0, "epoch": 0}
    remedy = f"it does not hold a batch of {recipe.batch_size} in {recipe.accumulate} parts; " + _smaller(recipe)
    with quiet_transformers(), shown, out_of_memory(remedy), float32_products(args.device, rounded=bf16):
        if checkpoint is not None and is_finished(checkpoint):
            trainer.load_finished(checkpoint)
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        re_estimated = trainer.finish()
        if recipe.kmers is not None and isinstance(trainer, ClassTrainer):
            if main:
                say("fitting the k-mer part")
            re_estimated = trainer.fit_kmers(unmoved)
    seconds = time.monotonic() - started
    check_converged(trainer.accelerator.unwrap_model(trainer.model), trainer.state.log_history)

    state = trainer.state
    rows = history_rows(state.log_history, TASK_METRICS[recipe.task])
    summary = {
        "run": str(run),
        "mode": recipe.mode,
        "device": device_name(args.device),
        "parameters_trained": trainable,
        "windows": {"train": len(train_windows), "valid": len(valid_windows)},
        "steps": state.global_step,
        "epochs": round(state.epoch or 0, 4),
        **_best(rows, state.best_global_step),
        **re_estimated,
        "wall_seconds": round(seconds, 2),
        "windows_per_second": round(((state.epoch or 0) - before["epoch"]) * len(train_windows) / seconds, 2),
        "resumed_from": before["global_step"] or None,
    }
    if main:
        provenance = run_provenance(
            recipe,
            store,
            parent=parent,
            train_windows=train_windows,
            valid_windows=valid_windows,
            context=0 if is_classifier else config.crop_bins * config.bin_size,
            base_digest=base_digest,
        )
        staged = folder / "final"
        with quiet_transformers():
            _write_model(trainer, recipe, config, staged)
        recipe.write(staged / "recipe.yaml")
        write_provenance(provenance, staged, training={"windows_report": report, **summary})
        (staged / "history.json").write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        training_curve(rows, staged / "training_curve.png", metric=metric, loss_name=loss_name(config, metric))
        write_digests(staged, [path for path in staged.iterdir() if path.suffix in (".json", ".yaml", ".safetensors")])
        publish_run(staged, run)
        best = summary[f"eval_{metric}"]
        found = "not defined" if best is None else f"{best:.4f}"
        say(f"best validation {METRIC_NAMES[metric]} {found} at step {summary['best_step']}; model in {run}")
    PartialState().wait_for_everyone()
    return summary


def _leads() -> bool:
    """Tell whether this process is the first of those launched together, as accelerate will say later."""
    ranks = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
    return next((os.environ[name] for name in ranks if name in os.environ), "0") == "0"


def _check_same(recipe: Recipe, store: Described, folder: Path, base_digest: str | None) -> None:
    """Refuse to resume with another recipe, other data or a base that has changed."""
    before, now = load_recipe(folder / "recipe.yaml").model_dump(), recipe.model_dump()
    for key, value in now.items():
        if value != before[key] and key != "num_workers":
            raise ValueError(
                f"the run to resume has {key} {before[key]!r}, got {value!r}; resume without it, or use --overwrite"
            )
    begun = read_json(folder / "data.json", remedy="train anew with --overwrite")
    fingerprint = begun.get("fingerprint")
    if begun.get("base") and base_digest and begun["base"] != base_digest:
        raise ValueError(
            f"the base {recipe.base!r} has changed since the run began (weights {begun['base']} then, {base_digest} "
            "now); put it back as it was, or train anew with --overwrite"
        )
    if fingerprint != store.fingerprint:
        raise ValueError(
            f"the data {recipe.data!r} has changed since the run began (fingerprint {fingerprint} then, "
            f"{store.fingerprint} now); train anew with --overwrite"
        )


def _best(rows: list[dict[str, Any]], best_step: int | None) -> dict[str, Any]:
    """Return the evaluation of the best step, or the last where no metric was a number."""
    evaluated = [row for row in rows if row["eval_loss"] is not None]
    row = next((row for row in evaluated if row["step"] == best_step), evaluated[-1] if evaluated else {})
    measured = [key for key in (rows[0] if rows else {}) if key.startswith("eval_")]
    return {"best_step": row.get("step"), **{key: row.get(key) for key in measured}}


def _smaller(recipe: Recipe) -> str:
    """Say how a step of `recipe` needs less memory."""
    size, parts = recipe.batch_size, recipe.accumulate
    more = next((n for n in range(2 * parts, size + 1) if size % n == 0), None)
    lower = f"lower batch_size (now {size})"
    return lower if more is None else f"raise accumulate to {more} (--set accumulate={more}: the same step), or {lower}"


def _write_model(trainer: ChromTrainer, recipe: Recipe, config: Any, folder: Path) -> None:
    """Write the trained weights, with configuration and code for a whole model."""
    folder.mkdir(exist_ok=True)
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    if isinstance(model, PeftModel):
        assert recipe.base is not None  # mode lora has one
        save_adapter(model, folder, base=recipe.base)
    else:
        model.save_pretrained(folder)
        if recipe.task != "landscape":  # which reads no sequence
            DnaFeatureExtractor(input_length=config.input_length).save_pretrained(folder)


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> None:
    """Train from the command line of `accelerate launch` and `torchrun`."""
    parser = argparse.ArgumentParser(prog="python -m chromhub.finetune.train", description=train.__doc__)
    parser.add_argument("recipe", help="YAML file")
    parser.add_argument("-o", "--output", required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--allow-leak", action="store_true")
    parser.add_argument("--device")
    parser.add_argument("--paper", action="store_true", help="Grover et al.'s settings where the recipe says none")
    flags = vars(parser.parse_args())
    prepare_cpu()
    try:
        train(load_recipe(flags.pop("recipe"), paper=flags.pop("paper")), flags.pop("output"), **flags)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
