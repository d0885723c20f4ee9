"""`chromhub evaluate`: how well a run predicts data that it has not seen."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ..datasets_scripts.folds import PARTS, Part
from .console import command, out, print_json, progress, say


@command()
def evaluate(
    run: Annotated[str, typer.Argument(help="Run folder, or Hub id of a model.")],
    data: Annotated[Path, typer.Option(help="Folder that `chromhub data build` or `build-landscape` made.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to make.  [default: RUN/evaluation]")
    ] = None,
    part: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    bin_size: Annotated[
        list[int] | None, typer.Option(help="bp per bin; repeatable.  [default: 1, 4 and 32 bins of the data]")
    ] = None,
    negative_ratio: Annotated[
        float, typer.Option(help="Closed windows per open one, for a classifier.", min=0.1)
    ] = 1.0,
    peak_cutoff: Annotated[
        float | None,
        typer.Option(help="Least signal of a called peak.  [default: what a fiftieth of the true bins exceed]"),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Windows predicted at once.", min=1)] = 64,
    one_strand: Annotated[
        bool,
        typer.Option(
            "--one-strand", help="Predict the given strand alone, in about half the time.  [default: both, averaged]"
        ),
    ] = False,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Evaluate on what the model was trained or selected on; is recorded.")
    ] = False,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Compute in bfloat16: faster, equal to about two digits.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier evaluation.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json on standard output.")] = False,
) -> None:
    """Compare predictions with true signal, or a classifier's with open and closed windows: numbers, pictures."""
    from ..datasets_scripts.landscape import LandscapeData, is_landscape
    from ..datasets_scripts.store import GenomeStore
    from ..inference.cpu import (
        computing,
        device_name,
        pick_device,
        prepare_cpu,
    )  # here, so that --help need not load torch
    from ..inference.evaluation_folder import default_output, evaluate_run

    if part not in PARTS:
        raise ValueError(f"--part must be one of {', '.join(PARTS)}, got {part!r}")
    prepare_cpu(threads)
    store = LandscapeData.open(data) if is_landscape(data) else GenomeStore.open(data)
    where = pick_device(device)
    with computing(where, bf16=bf16), progress() as bar:
        task = bar.add_task("windows", total=None)

        def on_progress(done: int, total: int) -> None:
            if done == 0:  # everything has been checked
                what = "genes" if isinstance(store, LandscapeData) else "windows"
                say(f"evaluating {run} on {device_name(where)}{', bf16' if bf16 else ''}: {total:,} {what}")
            bar.update(task, completed=done, total=total)

        metrics = evaluate_run(
            run,
            store,
            output,
            allow_leak=allow_leak,
            overwrite=overwrite,
            device=str(where),
            part=cast(Part, part),
            bin_sizes=bin_size or None,
            batch_size=batch_size,
            average_rc=not one_strand,
            negative_ratio=negative_ratio,
            **({} if peak_cutoff is None else {"peak_cutoff": peak_cutoff}),
            progress=on_progress,
        )
    folder = output or default_output(run)
    if not metrics["leak"]["checked"]:
        say(
            f"{run}, or a model it started from, has no provenance.json: what it was trained on, and so any leak, is "
            "not known"
        )
    if metrics["leak"]["overlaps"]:
        say("leak: the model was trained or selected on some of these intervals; the numbers are too good")
    if as_json:
        print_json(metrics)
        return
    if metrics.get("task") == "classification":
        _print_classes(metrics)
        say(f"wrote {folder}")
        return
    if metrics.get("task") == "landscape":
        print_landscape(metrics)
        say(f"wrote {folder}")
        return
    headings = ("track", "windows", "bp", "bins", "Pearson\nlog1p", "Pearson\nraw", "Spearman", "MSE\nlog1p")
    table = Table(*headings, box=SIMPLE_HEAD)
    table.title = f"{part} part of {escape(metrics['data']['name'])}, all chromosomes pooled"
    for track, sets in metrics["results"].items():
        for name, result in sets.items():
            for size, scales in result["pooled"].items():
                log1p, raw = scales["log1p"], scales["raw"]
                numbers = (log1p["pearson"], raw["pearson"], log1p["spearman"], log1p["mse"])
                cells = ("-" if number is None else f"{number:.4f}" for number in numbers)
                table.add_row(escape(track), name, size, f"{log1p['n']:,}", *cells)
    out.print(table)
    for track, calls in metrics["peak_calls"].items():
        found, cosine = calls["pooled"], metrics["shape"].get(track, {}).get("pooled", {}).get("cosine")
        f1 = "-" if found["f1"] is None else f"{found['f1']:.3f}"
        say(
            f"{track}: {found['predicted']:,} peaks called on the prediction, {found['true']:,} on the true signal "
            f"(from {calls['rule']['cutoff']:.3g} on), F1 {f1}"
            + ("" if cosine is None else f"; cosine of peaks {cosine:.3f}")
        )
    say(f"wrote {folder}")


def print_landscape(metrics: dict[str, Any]) -> None:
    """Print a landscape model's numbers beside the linear model's."""
    table = Table(
        "track", "of", "by", "n", "Pearson\nlog2(1+x)", "Pearson\nraw", "Spearman", "R2\nraw", box=SIMPLE_HEAD
    )
    table.title = f"{metrics['part']} part of {escape(metrics['data']['name'])}, {metrics['windows']['genes']:,} genes"
    for track, levels in metrics["results"].items():
        for level, predictors in levels.items():
            for predictor, scales in predictors.items():
                log, raw = scales["log2p1"], scales["raw"]
                numbers = (log["pearson"], raw["pearson"], raw["spearman"], raw["r2"])
                cells = ("-" if number is None else f"{number:.4f}" for number in numbers)
                table.add_row(escape(track), level.replace("_", " "), predictor, f"{raw['n']:,}", *cells)
    out.print(table)


def _print_classes(metrics: dict[str, Any]) -> None:
    """Print a classifier's numbers."""
    table = Table("track", "against", "windows", "of them open", "AUROC", "AUPRC", box=SIMPLE_HEAD)
    table.title = f"{metrics['part']} part of {escape(metrics['data']['name'])}"
    for track, sets in (*metrics["results"].items(), ("mean", metrics["mean"])):
        for name, result in sets.items():
            counts = [f"{result[key]:,}" if key in result else "" for key in ("n", "positives")]
            cells = ("-" if result[key] is None else f"{result[key]:.4f}" for key in ("auroc", "auprc"))
            table.add_row(escape(track), name, *counts, *cells)
    out.print(table)
