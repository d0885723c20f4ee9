"""`chromhub evaluate`: how well a run predicts data that it has not seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..datasets_scripts.folds import PARTS, Part
from .console import Bf16, OneStrand, command, out, print_json, progress, say
from .data import parse_shift
from .data_inputs import track_sources

if TYPE_CHECKING:
    from ..inference.evaluation_folder import BesideOf


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
    no_floor: Annotated[
        bool, typer.Option("--no-floor", help="Leave out the ridge regression on 6-mers beside the model.")
    ] = False,
    no_base: Annotated[
        bool, typer.Option("--no-base", help="Leave out the model it was fine-tuned from, which stands beside it.")
    ] = False,
    reads: Annotated[
        list[str] | None,
        typer.Option(help="TRACK=FILE of a track's reads: how well their halves agree, the ceiling; repeatable."),
    ] = None,
    tn5_shift: Annotated[
        str, typer.Option(help="Of --reads whose track was made of something else: 0,0 (shifted), 4,-4 or 4,-5.")
    ] = "0,0",
    batch_size: Annotated[int, typer.Option(help="Windows predicted at once.", min=1)] = 64,
    one_strand: OneStrand = False,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Evaluate on what the model was trained or selected on; is recorded.")
    ] = False,
    bf16: Bf16 = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Leave out the pictures.")] = False,
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
    from ..inference.gpu import precision_name, use_bf16

    if reads and is_landscape(data):
        raise ValueError(
            "--reads is for track models, whose signal is counted from them: leave it out of a landscape's"
        )
    if part not in PARTS:
        raise ValueError(f"--part must be one of {', '.join(PARTS)}, got {part!r}")
    prepare_cpu(threads)
    store = LandscapeData.open(data) if is_landscape(data) else GenomeStore.open(data)
    where = pick_device(device)
    half = use_bf16(where, bf16)
    with computing(where, bf16=half), progress() as bar:
        task = bar.add_task("windows", total=None)

        def on_progress(done: int, total: int) -> None:
            if done == 0:  # everything has been checked
                what = "genes" if isinstance(store, LandscapeData) else "windows"
                say(f"evaluating {run} on {device_name(where)}{precision_name(where, bf16=half)}: {total:,} {what}")
            bar.update(task, completed=done, total=total)

        metrics = evaluate_run(
            run,
            store,
            output,
            allow_leak=allow_leak,
            overwrite=overwrite,
            figures=not no_figures,
            device=str(where),
            part=cast(Part, part),
            bin_sizes=bin_size or None,
            batch_size=batch_size,
            average_rc=not one_strand,
            negative_ratio=negative_ratio,
            beside_of=_beside_of(run, floor=not no_floor, base=not no_base, reads=reads or (), tn5_shift=tn5_shift),
            **({} if peak_cutoff is None else {"peak_cutoff": peak_cutoff}),
            progress=on_progress,
        )
    folder = output or default_output(run)
    if untold := metrics["leak"].get("unchecked"):
        say(
            f"whether {run} has seen {untold[0]} cannot be told: the data has other bases than it was trained on, "
            "under the same name and length; name the assembly with `chromhub data build --genome`"
        )
    elif not metrics["leak"]["checked"]:
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
    _print_tracks(metrics)
    for track, calls in metrics["peak_calls"].items():
        found, cosine = calls["pooled"], metrics["shape"].get(track, {}).get("pooled", {}).get("cosine")
        f1 = "-" if found["f1"] is None else f"{found['f1']:.3f}"
        say(
            f"{track}: {found['predicted']:,} peaks called on the prediction, {found['true']:,} on the true signal "
            f"(from {calls['rule']['cutoff']:.3g} on), F1 {f1}"
            + ("" if cosine is None else f"; cosine of peaks {cosine:.3f}")
        )
    say(f"wrote {folder}")


def _beside_of(run: str, *, floor: bool, base: bool, reads: Sequence[str], tn5_shift: str) -> "BesideOf":
    """Return what says what to measure beside the model."""
    from ..finetune.floor_windows import floor_windows
    from ..hub_models.base_at_hand import base_at_hand
    from ..inference.beside import Beside

    given = track_sources((), reads, tn5_shift=parse_shift(tn5_shift))
    return lambda model, store: Beside(
        floor_windows(run, model, store) if floor else "left out (--no-floor)",
        base_at_hand(run) if base else "left out (--no-base)",
        given,
    )


def print_landscape(metrics: dict[str, Any]) -> None:
    """Print a landscape model's numbers beside the linear model's."""
    table = Table(
        "track", "of", "by", "n", "Pearson\nlog2(1+x)", "Pearson\nraw", "Spearman", "R2\nraw", box=SIMPLE_HEAD
    )
    table.title = f"{metrics['part']} part of {metrics['data']['name']}, {metrics['windows']['genes']:,} genes"
    for track, levels in metrics["results"].items():
        for level, predictors in levels.items():
            for predictor, scales in predictors.items():
                log, raw = scales["log2p1"], scales["raw"]
                numbers = (log["pearson"], raw["pearson"], raw["spearman"], raw["r2"])
                table.add_row(track, level.replace("_", " "), predictor, f"{raw['n']:,}", *map(_shown, numbers))
    out.print(table)


def _print_tracks(metrics: dict[str, Any]) -> None:
    """Print a track model's numbers, and below each row those of what was measured beside it."""
    from ..inference.beside import BESIDE, measured

    headings = ("track", "windows", "bp", "by", "Pearson\nlog1p", "Pearson\nraw", "Spearman", "MSE\nlog1p")
    table = Table(*headings, box=SIMPLE_HEAD)
    table.title = f"{metrics['part']} part of {metrics['data']['name']}, all chromosomes pooled"
    sides = dict(measured(metrics))
    for track, sets in metrics["results"].items():
        for name, result in sets.items():
            for size in result["pooled"]:
                for by in ("model", *BESIDE):
                    of_track = sides.get(by, {}).get("results", {}).get(track, {})
                    scales = of_track.get(name, {}).get("pooled", {}).get(size)
                    if scales is None:
                        continue
                    log1p, raw = scales["log1p"], scales.get("raw", {})
                    numbers = (log1p["pearson"], raw.get("pearson"), log1p.get("spearman"), log1p["mse"])
                    table.add_row(track, name, size, by, *map(_shown, numbers))
    out.print(table)
    for size in metrics.get("differences", {}):
        found = {by: side.get("differences", {}).get(size) for by, side in sides.items()}
        _say_means(f"differences between tracks in {size} bp, Pearson log1p", found)
    _say_missing(metrics)


def _print_classes(metrics: dict[str, Any]) -> None:
    """Print a classifier's numbers beside those of its base and its floor."""
    from ..inference.beside import measured

    sides = dict(measured(metrics))
    order = [by for by in ("floor", "base", "model") if by in sides]
    columns = [f"AUROC\n{by}" for by in order] if len(order) > 1 else ["AUROC"]
    table = Table("track", "against", "windows", "open", *columns, "AUPRC", box=SIMPLE_HEAD)
    table.title = f"{metrics['part']} part of {metrics['data']['name']}"
    for track in (*metrics["results"], "mean"):
        rows = {by: {**side["results"], "mean": side["mean"]}[track] for by, side in sides.items()}
        for name, result in rows["model"].items():
            counts = [f"{result[key]:,}" if key in result else "" for key in ("n", "positives")]
            numbers = [*(rows[by][name]["auroc"] for by in order), result["auprc"]]
            table.add_row(track, name, *counts, *map(_shown, numbers))
    out.print(table)
    if "differences" in metrics:
        found = {by: side.get("differences") for by, side in sides.items()}
        _say_means("differences between types, Pearson of logits with peak signal", found)
    if "base" in sides:
        gain = sides["base"]["gain"]["mean"]
        say(f"gain: AUROC of the model's less the base's logit against other types' peaks {_shown(gain)} (0.5 is none)")
    _say_missing(metrics)


def _say_means(what: str, found: dict[str, dict[str, Any] | None]) -> None:
    """Say the mean over tracks of what was measured, of each that has one."""
    words = (f"{by} {_shown(side['mean'])}" for by, side in found.items() if side)
    say(f"{what}: {', '.join(words)}")


def _say_missing(metrics: dict[str, Any]) -> None:
    """Say what does not stand beside the model though it was asked for, and what the floor was fitted on."""
    floor, base = metrics.get("floor", {}), metrics.get("base", {})
    if floor.get("results"):
        of = "tiles" if "tile" in floor else "windows"
        say(f"floor: 6-mer ridge on {floor['training_windows']:,} {of} ({floor['windows']}), {floor['seconds']:.0f} s")
    for name, side in (("floor", floor), ("base", base)):
        if side.get("why") and not side["why"].startswith("left out"):
            say(f"no {name}: {side['why']}")


def _shown(number: float | None) -> str:
    return "-" if number is None else f"{number:.4f}"
