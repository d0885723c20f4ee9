"""`chromhub perturb`: change chromatin in a landscape model, and see which genes change."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..datasets_scripts.folds import PARTS
from .console import command, err, out, print_json, progress, say, warn


@command()
def perturb(
    run: Annotated[str, typer.Argument(help="Run folder, or Hub id of a landscape model.")],
    data: Annotated[Path, typer.Option(help="Folder that `chromhub data build-landscape` made.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make.")],
    elements: Annotated[
        Path | None, typer.Option(help="BED of elements to perturb in every gene's landscape that holds them.")
    ] = None,
    genes: Annotated[
        Path | None, typer.Option(help="GTF, GFF3 or BED: --data is centred on elements, and these genes are measured.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(help="p1 (H3K27ac to 0), p2 (all but H3K27me3 to 0), zero, scale, flip or insert."),
    ] = "p1",
    tracks: Annotated[str | None, typer.Option(help="Only these tracks of the landscape: a,b.")] = None,
    factor: Annotated[float | None, typer.Option(help="Of scale and insert.")] = None,
    offset: Annotated[
        int | None, typer.Option(help="bp from the landscape's centre to where insert copies to.")
    ] = None,
    measure: Annotated[
        str, typer.Option(help="gene (area over the gene's body) or tss (two bins before its start to three after).")
    ] = "gene",
    end_exclusive: Annotated[
        bool, typer.Option("--end-exclusive", help="Leave out the bin that an element ends in.")
    ] = False,
    active_track: Annotated[
        str | None, typer.Option(help="Track that tells an active element, with --min-signal.")
    ] = None,
    min_signal: Annotated[float, typer.Option(help="Perturb only elements whose mean exceeds it (source: 10).")] = 0.0,
    pairs: Annotated[
        Path | None, typer.Option(help="CRISPRi: a table with chrom, start, end, gene, regulated (0 or 1).")
    ] = None,
    part: Annotated[str, typer.Option(help="Landscapes of train, valid, test or all.")] = "test",
    figures: Annotated[int, typer.Option(help="Draw so many of the strongest effects, before and after.", min=0)] = 4,
    batch_size: Annotated[int, typer.Option(help="Landscapes predicted at once.", min=1)] = 32,
    bf16: Annotated[bool, typer.Option("--bf16/--no-bf16", help="Compute in bfloat16.  [default: float32]")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json on standard output.")] = False,
) -> None:
    """Perturb elements in silico: effects.tsv (a row an element and gene), summary.json and pictures."""
    from ..inference.cpu import computing, device_name, pick_device, prepare_cpu  # here: --help need not load torch
    from ..inference.perturb_folder import PerturbOptions, perturb_run
    from ..inference.perturbation import Perturbation

    if part not in (*PARTS, "all"):
        raise ValueError(f"--part must be one of {', '.join(PARTS)} or all, got {part!r}")
    if measure not in ("gene", "tss"):
        raise ValueError(f"--measure must be gene or tss, got {measure!r}")
    names = tuple(name.strip() for name in tracks.split(",") if name.strip()) if tracks is not None else None
    perturbation = Perturbation(cast(Any, kind), tracks=names, factor=factor, offset=offset)
    options = PerturbOptions(
        elements=elements,
        genes=genes,
        measure=cast(Any, measure),
        inclusive=not end_exclusive,
        active_track=active_track,
        min_signal=min_signal,
        pairs=pairs,
        part=part,
        figures=figures,
        batch_size=batch_size,
    )
    prepare_cpu(threads)
    where = pick_device(device)
    with computing(where, bf16=bf16), progress() as bar:
        task = bar.add_task("perturbations", total=None)

        def on_progress(done: int, total: int) -> None:
            if done == 0:
                err.print(f"perturbing on {device_name(where)}: {total:,} elements in landscapes", markup=False)
            bar.update(task, completed=done, total=total)

        summary = perturb_run(
            run, data, output, perturbation, options, device=where, overwrite=overwrite, progress=on_progress
        )
    warn(summary.get("warnings", []))
    if as_json:
        print_json(summary)
        return
    closest = summary["closest_is_primary"]
    for why, number in summary["dropped"].items():
        say(f"{number:,} left out: {why}")
    say(f"{closest['count']:,} of {closest['elements']:,} elements change their closest gene most")
    for track, found in summary.get("crispri", {}).items():
        table = Table("score", "AUPRC", "precision", "recall", box=SIMPLE_HEAD, title=f"{track}: CRISPRi")
        for name, values in found["scores"].items():
            table.add_row(name, *("-" if values[key] is None else f"{values[key]:.3f}" for key in _RANKED))
        table.add_row("random", "-" if found["random"] is None else f"{found['random']:.3f}", "", "")
        for name, values in found["calls"].items():
            table.add_row(name, "", *("-" if values[key] is None else f"{values[key]:.3f}" for key in _RANKED[1:]))
        out.print(table)
    say(f"wrote {output}")


_RANKED = ("auprc", "precision", "recall")
