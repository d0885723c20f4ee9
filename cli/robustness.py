"""`chromhub robustness`: how much a model's prediction depends on where its window lies."""

from pathlib import Path
from typing import Annotated, cast

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..datasets_scripts.folds import PARTS, Part
from .console import command, out, print_json, progress, say


@command()
def robustness(
    run: Annotated[str, typer.Argument(help="Run folder, or Hub id of a model.")],
    data: Annotated[Path, typer.Option(help="Folder that `chromhub data build` made.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make.")],
    part: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    region: Annotated[int, typer.Option(help="bp that every window predicts.")] = 512,
    max_shift: Annotated[int, typer.Option(help="Largest shift in bp, both ways.")] = 256,
    step: Annotated[int, typer.Option(help="bp between shifts.")] = 32,
    max_regions: Annotated[int | None, typer.Option(help="Regions of each set, evenly spread.", min=1)] = None,
    batch_size: Annotated[int, typer.Option(help="Regions predicted at once, each from every shift.", min=1)] = 4,
    reverse_complement: Annotated[
        bool, typer.Option("--reverse-complement", help="Average both strands.  [default: one]")
    ] = False,
    bf16: Annotated[
        bool,
        typer.Option(
            "--bf16/--no-bf16", help="Compute in bfloat16: its rounding counts as variation.  [default: float32]"
        ),
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier measurement.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print robustness.json on standard output.")] = False,
) -> None:
    """Predict each region from shifted windows: the variation score, by position, at peaks and genome-wide."""
    from ..datasets_scripts.store import GenomeStore
    from ..inference.cpu import computing, device_name, pick_device, prepare_cpu  # here, so that --help need no torch
    from ..inference.gpu import precision_name
    from ..inference.robustness import ShiftPlan
    from ..inference.robustness_folder import robustness_of_run

    if part not in PARTS:
        raise ValueError(f"--part must be one of {', '.join(PARTS)}, got {part!r}")
    prepare_cpu(threads)
    store = GenomeStore.open(data)
    where = pick_device(device)
    with computing(where, bf16=bf16), progress() as bar:
        task = bar.add_task("regions", total=None)

        def on_progress(done: int, total: int) -> None:
            if done == 0:  # everything has been checked
                say(f"robustness of {run} on {device_name(where)}{precision_name(where, bf16=bf16)}: {total:,} regions")
            bar.update(task, completed=done, total=total)

        found = robustness_of_run(
            run,
            store,
            output,
            overwrite=overwrite,
            device=str(where),
            part=cast(Part, part),
            plan=ShiftPlan(region, max_shift, step),
            max_regions=max_regions,
            batch_size=batch_size,
            average_rc=reverse_complement,
            progress=on_progress,
        )
    if as_json:
        print_json(found)
        return
    table = Table("track", "regions of", "number", "variation\nscore", box=SIMPLE_HEAD)
    table.title = f"{part} part of {found['data']['name']}, {len(found['plan']['shifts'])} shifts"
    for track, sets in found["results"].items():
        for name, result in sets.items():
            pooled = result["pooled"]
            score = "-" if pooled["score"] is None else f"{pooled['score']:.4f}"
            table.add_row(track, name, f"{pooled['regions']:,}", score)
    out.print(table)
    say(f"wrote {output}")
