"""`chromhub marginalize`: what a motif does on its own, and whether the model has learned Tn5's preference."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .console import command, out, print_json, progress, say


@command()
def marginalize(
    run: Annotated[str, typer.Argument(help="Run folder, or Hub id of a model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make.")],
    motif: Annotated[list[str] | None, typer.Option(help="Sequence, or name of a motif of --meme; repeatable.")] = None,
    meme: Annotated[
        str | None, typer.Option(help="Motifs: a file in MEME format, or jaspar:vertebrates, jaspar:nematodes, ...")
    ] = None,
    tn5: Annotated[bool, typer.Option("--tn5", help="Tn5's own sequences, with a verdict.")] = False,
    motifs: Annotated[Path | None, typer.Option(help="Folder of `chromhub motifs`, for the share of Tn5's.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that `chromhub data build` made.")] = None,
    fasta: Annotated[Path | None, typer.Option(help="Genome that backgrounds are shuffled from.")] = None,
    backgrounds: Annotated[int, typer.Option("-n", "--backgrounds", help="Shuffled windows.", min=2)] = 100,
    track: Annotated[
        str | None, typer.Option(help="Name of the track, of a classifier of the label.  [default: the first]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the backgrounds.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Windows predicted at once.", min=1)] = 64,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print marginalize.json on standard output.")] = False,
) -> None:
    """Insert motifs into shuffled sequences: the mean change of the predicted signal, or of a classifier's logit."""
    import json

    from ..datasets_scripts.atomic import check_own_folder
    from ..datasets_scripts.fasta import Fasta
    from ..datasets_scripts.store import GenomeStore
    from ..inference.cpu import computing, device_name, pick_device, prepare_cpu  # here, so that --help need no torch
    from ..inference.load import load_sequence_model, output_names
    from ..inference.marginal_folder import FILES, by_effect, chosen_motifs, write_effects
    from ..inference.marginalize import TN5, MarginalEffect, marginalize_label, tn5_verdict
    from ..inference.marginalize import backgrounds as shuffled_windows
    from ..inference.marginalize import marginalize as marginalize_track
    from ..inference.motif_database import known_motifs
    from ..modeling import AtacForTrackPrediction

    if (data is None) == (fasta is None):
        raise ValueError("give --data or --fasta, one of the two: where backgrounds come from")
    if not motif and not tn5:
        raise ValueError("give --motif or --tn5: what to insert")
    check_own_folder(output, overwrite, FILES, marks={"marginalize.json": ""})
    sequences = chosen_motifs(motif or [], known_motifs(meme).motifs if meme else None)
    share = None
    if motifs is not None:
        share = json.loads((motifs / "motifs.json").read_text(encoding="utf-8"))["tn5_share"]
    prepare_cpu(threads)
    source = GenomeStore.open(data) if data is not None else Fasta(fasta)  # pyright: ignore[reportArgumentType]
    where = pick_device(device)
    model = load_sequence_model(run)
    model.to(where)  # pyright: ignore[reportArgumentType] - transformers' stub of `to`
    names, config = output_names(model), cast(Any, model.config)
    kind = "track" if isinstance(model, AtacForTrackPrediction) else "label"
    if track is not None and track not in names:
        raise ValueError(f"the model has no {kind} {track!r}; it has {', '.join(names)}")
    if tn5 and kind == "label":
        raise ValueError(f"--tn5 looks at the signal along the window, and {run} is a classifier: leave it out")
    try:
        windows = shuffled_windows(source, length=config.input_length, count=backgrounds, seed=seed)
    except ModuleNotFoundError as error:
        raise ValueError(str(error)) from None
    wanted = {**sequences, **(TN5 if tn5 else {})}
    with computing(where, bf16=False), progress() as bar:
        task = bar.add_task("motifs", total=len(wanted))
        say(f"inserting {len(wanted)} motifs into {len(windows)} backgrounds: {run} on {device_name(where)}")
        index = names.index(track) if track else 0
        options: dict[str, Any] = {
            **{"batch_size": batch_size, "seed": seed},
            "progress": lambda done, total: bar.update(task, completed=done, total=total),
        }
        if isinstance(model, AtacForTrackPrediction):
            effects = marginalize_track(model, wanted, windows, track=index, **options)
        else:
            effects = marginalize_label(model, wanted, windows, label=index, **options)
    about: dict[str, Any] = {"model": run, kind: track or names[0], "seed": seed}
    if tn5:
        judged = [effect for effect in effects if isinstance(effect, MarginalEffect) and effect.name in TN5]
        about["tn5"] = tn5_verdict(judged, share)
    bin_size = config.bin_size if kind == "track" else None
    found = write_effects(effects, about, output, bin_size=bin_size, overwrite=overwrite)
    if as_json:
        print_json(found)
        return
    columns = ("log2 change", "95 %", "at the motif", "95 %") if kind == "track" else ("change of the logit", "95 %")
    table = Table("motif", "sequence", *columns, box=SIMPLE_HEAD)
    table.title = f"{len(windows)} backgrounds, both strands"
    for effect in by_effect(effects):
        cells = []
        for mean, low, high in effect.measures.values():
            cells += [f"{mean:+.3f}", f"{low:+.3f} to {high:+.3f}"]
        table.add_row(effect.name, effect.sequence, *cells)
    out.print(table)
    if tn5:
        out.print(about["tn5"]["verdict"], markup=False, soft_wrap=True)
    say(f"wrote {output}")
