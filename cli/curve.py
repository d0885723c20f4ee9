"""`chromhub curve`: how good each way of fine-tuning gets with how much data."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..datasets_scripts.folds import PARTS, Part
from .console import command, out, print_json, progress, say
from .train import Bf16, Device, RecipeFile, Settings, Threads, recipe_flags


@command()
def curve(
    base: Annotated[str, typer.Option(help="Run folder or Hub id of the model to fine-tune.")],
    data: Annotated[Path, typer.Option(help="Folder that `chromhub data build` made.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make; a stopped curve goes on there.")],
    modes: Annotated[str, typer.Option(help="Comma-separated: scratch, head, full, lora, two-stage.")] = (
        "scratch,head,full,lora"
    ),
    fractions: Annotated[
        str, typer.Option(help="Comma-separated shares of the training windows, as finetune's --fraction: 0.01 is 1 %.")
    ] = "0.01,0.03,0.1,0.3,1",
    seeds: Annotated[int, typer.Option(help="Runs of each mode and fraction.", min=1)] = 3,
    max_steps: Annotated[int, typer.Option(help="Optimiser steps of each run.", min=1)] = 200,
    preset: Annotated[
        str | None, typer.Option(help="Architecture of mode scratch.  [default: that of the base]")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="What the figure shows.  [default: the first measured]")] = None,
    part: Annotated[str, typer.Option(help="train, valid or test: where the metric is measured.")] = "test",
    recipe: RecipeFile = None,
    settings: Settings = None,
    bf16: Bf16 = None,
    no_floor: Annotated[
        bool, typer.Option("--no-floor", help="Leave out the ridge regression on 6-mers of the same windows.")
    ] = False,
    no_base: Annotated[bool, typer.Option("--no-base", help="Leave out the base as it is, untuned.")] = False,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep every trained model.")] = False,
    device: Device = None,
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier curve.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json on standard output.")] = False,
) -> None:
    """Fine-tune on 1, 3, 10, 30, 100 % of the data in every mode: one table, one figure, with time and memory."""
    from ..finetune.curve import run_curve  # here, so that --help need not load torch
    from ..inference.cpu import device_name, pick_device, prepare_cpu

    if part not in PARTS:
        raise ValueError(f"--part must be one of {', '.join(PARTS)}, got {part!r}")
    prepare_cpu(threads)
    say(f"fine-tuning on {device_name(pick_device(device))}")
    flags: dict[str, Any] = recipe_flags(settings, bf16=bf16)
    with progress() as bar:
        task = bar.add_task("runs", total=None)

        def on_progress(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name or "runs")
            if name and not bar.live.is_started:
                say(f"run {done + 1} of {total}: {name}")

        summary = run_curve(
            base,
            data,
            output,
            modes=[mode.strip() for mode in modes.split(",")],
            fractions=_shares(fractions),
            seeds=seeds,
            max_steps=max_steps,
            recipe=recipe,
            preset=preset,
            part=cast(Part, part),
            metric=metric,
            keep_models=keep_models,
            floor=not no_floor,
            untuned=not no_base,
            overwrite=overwrite,
            device=device,
            progress=on_progress,
            **flags,
        )
    if as_json:
        print_json(summary)
        return
    table = Table(
        "mode", "data", "windows", summary["metric"], "spread", "seconds", "GB", "parameters", box=SIMPLE_HEAD
    )
    for point in summary["points"]:
        known = point["mean"] is not None
        table.add_row(
            point["mode"],
            f"{100 * point['fraction']:g} %",
            f"{point['windows']:,}",
            f"{point['mean']:.4f}" if known else "-",
            f"{point['smallest']:.4f} - {point['largest']:.4f}" if known else "-",
            f"{point['seconds']:.0f}",
            *(
                ("-", "-")
                if point["peak_memory_gb"] is None
                else (f"{point['peak_memory_gb']:.1f}", f"{point['parameters_trained']:,}")
            ),
        )
    out.print(table)
    say(f"wrote {output}")


def _shares(text: str) -> list[float]:
    """Read "0.01,0.1,1"."""
    try:
        shares = [float(number) for number in text.split(",")]
    except ValueError:
        raise ValueError(f"--fractions takes shares such as 0.01,0.1,1, got {text!r}") from None
    if wrong := [share for share in shares if not 0 < share <= 1]:
        raise ValueError(
            f"--fractions takes shares above 0 and up to 1, where 0.01 is 1 % of the windows, got {wrong[0]:g}"
        )
    return shares
