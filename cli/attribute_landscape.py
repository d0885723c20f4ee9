"""`chromhub attribute-landscape`: what chromatin a landscape model looks at, and how far."""

from pathlib import Path
from typing import Annotated, cast

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..datasets_scripts.folds import PARTS, Part
from .console import command, err, out, print_json, progress, say


@command()
def attribute_landscape(
    run: Annotated[str, typer.Argument(help="Run folder, or Hub id of a landscape model.")],
    data: Annotated[Path, typer.Option(help="Folder that `chromhub data build-landscape` made.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make.")],
    part: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    genes: Annotated[int, typer.Option(help="Attribute so many, drawn by the seed; 0 takes all.", min=0)] = 100,
    every: Annotated[int, typer.Option(help="Of the predicted bins each so-manieth; 1 takes all.", min=1)] = 10,
    steps: Annotated[int, typer.Option(help="Of integrated gradients.", min=1)] = 64,
    background: Annotated[int, typer.Option(help="Training genes whose mean is the baseline.", min=1)] = 256,
    seed: Annotated[int, typer.Option(help="Of both draws.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json on standard output.")] = False,
) -> None:
    """Attribute predicted bins to tracks and contacts by integrated gradients, averaged around each bin."""
    from ..inference.cpu import device_name, pick_device, prepare_cpu  # here: --help need not load torch
    from ..inference.gpu import float32_products
    from ..inference.landscape_attribution_folder import attribute_run

    if part not in PARTS:
        raise ValueError(f"--part must be one of {', '.join(PARTS)}, got {part!r}")
    prepare_cpu(threads)
    where = pick_device(device)
    err.print(f"attributing on {device_name(where)}", markup=False)
    with float32_products(where, rounded=False), progress() as bar:
        task = bar.add_task("genes", total=None)
        summary = attribute_run(
            run,
            data,
            output,
            part=cast(Part, part),
            max_genes=genes or None,
            background=background,
            every=every,
            steps=steps,
            seed=seed,
            device=where,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        print_json(summary)
        return
    table = Table("predicted", "track", "peak", "below a fifth of it beyond", box=SIMPLE_HEAD)
    for name, tracks in summary["tracks"].items():
        for track, found in tracks.items():
            table.add_row(name, track, f"{found['peak']:.2f}", f"{found['reach_bp']:,} bp")
    out.print(table)
    say(f"wrote {output}")
