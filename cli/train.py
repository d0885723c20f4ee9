"""`chromhub train` and `chromhub finetune`: from a data folder to a run folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..datasets_scripts.plain_files import parse_yaml
from .console import Bf16, command, out, print_json, say

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="YAML file with any of the options.")]
Data = Annotated[str | None, typer.Option("--data", help="Folder that `chromhub data build` made.")]
Epochs = Annotated[int | None, typer.Option(help="At most so many passes over the windows.")]
MaxSteps = Annotated[int | None, typer.Option(help="At most so many optimiser steps.")]
BatchSize = Annotated[int | None, typer.Option(help="Windows per optimiser step.  [default: 64]")]
LearningRate = Annotated[
    float | None, typer.Option(help="Peak learning rate.  [default: 1e-3; full 1e-4; two-stage 2e-5]")
]
Schedule = Annotated[str | None, typer.Option(help="paper or cosine.  [default: train paper, finetune cosine]")]
Kind = Annotated[str | None, typer.Option("--windows", help="tile, peaks or peaks+background.  [default: tile]")]
Stride = Annotated[int | None, typer.Option(help="bp from tile to tile.  [default: 1024]")]
MaxWindows = Annotated[int | None, typer.Option(help="Train on so many windows, drawn by the seed.")]
Fraction = Annotated[float | None, typer.Option(help="Train on this share of the windows, drawn by the seed.")]
MaxJitter = Annotated[int | None, typer.Option(help="bp that a window may move.  [default: 1024]")]
Patience = Annotated[
    int | None, typer.Option(help="Stop after so many evaluations without a better one.  [default: 5]")
]
EvalSteps = Annotated[int | None, typer.Option(help="Steps between evaluations.  [default: an epoch]")]
SaveSteps = Annotated[int | None, typer.Option(help="Steps between further checkpoints.")]
Paper = Annotated[bool, typer.Option("--paper", help="Grover et al.'s settings where nothing else is said.")]
Seed = Annotated[int | None, typer.Option(help="Of weights, order, dropout, augmentation.  [default: 0]")]
Workers = Annotated[int | None, typer.Option(help="Processes that read windows.  [default: 0]")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any field of a recipe, e.g. windows.max_unmappable=0.5; repeatable."
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in the folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete the run in the folder first.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


@command()
def train(
    output: Output,
    data: Data = None,
    preset: Annotated[str | None, typer.Option(help="Architecture, e.g. convnext-dcnn or convnext-dcnn-tiny.")] = None,
    recipe: RecipeFile = None,
    paper: Paper = False,
    epochs: Epochs = None,
    max_steps: MaxSteps = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    schedule: Schedule = None,
    windows: Kind = None,
    stride: Stride = None,
    max_windows: MaxWindows = None,
    fraction: Fraction = None,
    max_jitter: MaxJitter = None,
    patience: Patience = None,
    eval_steps: EvalSteps = None,
    save_steps: SaveSteps = None,
    seed: Seed = None,
    bf16: Bf16 = None,
    num_workers: Workers = None,
    settings: Settings = None,
    device: Device = None,
    threads: Threads = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a model from scratch on a data folder.

    Further fields of a recipe by --set, e.g. ema=0.999, optimizer=muon, loss=profile_count, substitutions=0.04.
    """
    flags = recipe_flags(
        settings,
        data=data,
        preset=preset,
        epochs=epochs,
        max_steps=max_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        windows={"kind": windows, "stride": stride, "max_windows": max_windows, "fraction": fraction},
        max_jitter=max_jitter,
        patience=patience,
        eval_steps=eval_steps,
        save_steps=save_steps,
        seed=seed,
        bf16=bf16,
        num_workers=num_workers,
    )
    options = {"resume": resume, "overwrite": overwrite, "device": device}
    _run("train", output, recipe, flags, options, paper=paper, threads=threads, quiet=quiet, as_json=as_json)


@command()
def finetune(
    output: Output,
    base: Annotated[str | None, typer.Option(help="Run folder or Hub id of the model to start from.")] = None,
    data: Data = None,
    mode: Annotated[
        str | None, typer.Option(help="lora, head, full or two-stage.  [default: what did best on as many windows]")
    ] = None,
    recipe: RecipeFile = None,
    paper: Paper = False,
    new_head: Annotated[bool, typer.Option("--new-head", help="Start the head afresh, e.g. for other tracks.")] = False,
    lora_r: Annotated[
        int | None, typer.Option(help="Rank of the adapter.  [default: 8, 4 or 2, for < 5 % of the base]")
    ] = None,
    epochs: Epochs = None,
    max_steps: MaxSteps = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    schedule: Schedule = None,
    windows: Kind = None,
    stride: Stride = None,
    max_windows: MaxWindows = None,
    fraction: Fraction = None,
    max_jitter: MaxJitter = None,
    patience: Patience = None,
    eval_steps: EvalSteps = None,
    save_steps: SaveSteps = None,
    seed: Seed = None,
    bf16: Bf16 = None,
    num_workers: Workers = None,
    settings: Settings = None,
    device: Device = None,
    threads: Threads = None,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Accept a base that saw the validation or test intervals.")
    ] = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a trained model on a data folder: an adapter, its head, or every weight.

    Further fields of a recipe by --set, e.g. ema=0.999, layer_decay=0.8, batch_norm=re-estimated, head_stage.epochs=2.
    """
    flags = recipe_flags(
        settings,
        base=base,
        data=data,
        mode=mode or ("lora" if lora_r is not None and recipe is None and not resume else None),
        new_head=new_head or None,
        lora={"r": lora_r},
        epochs=epochs,
        max_steps=max_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        windows={"kind": windows, "stride": stride, "max_windows": max_windows, "fraction": fraction},
        max_jitter=max_jitter,
        patience=patience,
        eval_steps=eval_steps,
        save_steps=save_steps,
        seed=seed,
        bf16=bf16,
        num_workers=num_workers,
    )
    if recipe is None and not resume and "mode" not in flags:
        from ..finetune.default_mode import default_mode  # here, so that --help need not load torch

        flags["mode"], why = default_mode(**flags)
        if not quiet:
            say(why)
    options = {"resume": resume, "overwrite": overwrite, "device": device, "allow_leak": allow_leak}
    _run("finetune", output, recipe, flags, options, paper=paper, threads=threads, quiet=quiet, as_json=as_json)


def recipe_flags(settings: list[str] | None, **flags: Any) -> dict[str, Any]:
    """Return the given flags, with `--set` laid over them."""
    given: dict[str, Any] = {}
    for key, value in flags.items():
        if isinstance(value, dict):
            value = {name: inner for name, inner in value.items() if inner is not None} or None
        if value is not None:
            given[key] = value
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise ValueError(f"--set takes KEY=VALUE, got {setting!r}")
        value = parse_yaml(text, f"--set {key}")
        *parents, last = key.split(".")
        place = given
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ValueError(
                    f"--set {key}: {parent} was given as {place!r}, which has no fields; say one of the two"
                )
        place[last] = value
    return given


def _run(
    verb: str,
    output: Path,
    recipe: Path | None,
    flags: dict[str, Any],
    options: dict[str, Any],
    *,
    paper: bool,
    threads: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train, and print the summary."""
    from ..finetune.progress import METRIC_NAMES
    from ..finetune.recipe import load_recipe  # imported here, so that `chromhub --help` need not load torch
    from ..finetune.train import train as train_run
    from ..inference.cpu import prepare_cpu

    prepare_cpu(threads)
    if options["resume"] and recipe is None:
        recipe = output / "checkpoints" / "recipe.yaml"
        if not recipe.is_file():
            raise FileNotFoundError(f"{output} holds no unfinished run to resume; train without --resume")
    loaded = load_recipe(recipe, paper=paper, **flags)
    if (verb == "train") != (loaded.mode == "scratch"):
        other = "finetune" if verb == "train" else "train"
        raise ValueError(f"the recipe is of mode {loaded.mode}; use `chromhub {other}`")
    try:
        summary = train_run(loaded, output, progress=not quiet, say=_silent if quiet else say, **options)
    except KeyboardInterrupt:
        say(f"go on with: --resume -o {output}")
        raise
    if as_json:
        print_json(summary)
    else:
        best = summary[f"eval_{loaded.metric}"]
        found = "not defined" if best is None else f"{best:.4f}"
        out.print(f"{summary['run']}: {METRIC_NAMES[loaded.metric or 'pearson']} {found}", soft_wrap=True)


def _silent(text: str) -> None:
    """Drop a line of narration."""
