"""`chromhub sequence-baseline`: what a frozen sequence model says of a landscape model's targets."""

from pathlib import Path
from typing import Annotated, cast

import typer

from ..datasets_scripts.folds import PARTS, Part
from .console import command, print_json, progress, say


@command(name="sequence-baseline")
def sequence_baseline(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a sequence model; it stays frozen.")],
    data: Annotated[Path, typer.Option(help="Folder that `chromhub data build-landscape` made.")],
    fasta: Annotated[Path, typer.Option(help="FASTA of the same assembly.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make.")],
    input_length: Annotated[
        int | None, typer.Option(help="bp of a window; for a model that is not of chromhub.", min=1)
    ] = None,
    part: Annotated[str, typer.Option(help="Evaluate on train, valid or test.")] = "test",
    epochs: Annotated[int, typer.Option(help="Of the head.", min=1)] = 20,
    hidden: Annotated[int, typer.Option(help="Features inside the head.", min=1)] = 64,
    learning_rate: Annotated[float, typer.Option(help="Of the head.")] = 1e-3,
    batch_size: Annotated[int, typer.Option(help="Genes per optimiser step.", min=1)] = 32,
    seed: Annotated[int, typer.Option(help="Of the head.")] = 0,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Evaluate on what the model was trained or selected on; is recorded.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json on standard output.")] = False,
) -> None:
    """Train a small head on a frozen sequence model's embeddings, for a landscape's targets: the same numbers."""
    from ..finetune.sequence_head import HeadOptions
    from ..finetune.sequence_head import sequence_baseline as run_baseline
    from ..inference.cpu import device_name, pick_device, prepare_cpu  # here: --help need not load torch
    from .evaluate import print_landscape

    if part not in PARTS:
        raise ValueError(f"--part must be one of {', '.join(PARTS)}, got {part!r}")
    prepare_cpu(threads)
    where = pick_device(device)
    say(f"embedding with {model} on {device_name(where)}")
    options = HeadOptions(hidden=hidden, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    with progress() as bar:
        task = bar.add_task("embedding", total=None)
        metrics = run_baseline(
            model,
            data,
            fasta,
            output,
            options=options,
            part=cast(Part, part),
            input_length=input_length,
            device=where,
            allow_leak=allow_leak,
            overwrite=overwrite,
            progress=lambda stage, done, total: bar.update(task, description=stage, completed=done, total=total),
        )
    if as_json:
        print_json(metrics)
        return
    if metrics["leak"]["overlaps"]:
        say("leak: the sequence model was trained or selected on some of these intervals; the numbers are too good")
    print_landscape(metrics)
    say(f"wrote {output}")
