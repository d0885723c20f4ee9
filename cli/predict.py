"""`chromhub predict`: a model's signal along a genome, as bigWig."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .console import Bf16, OneStrand, command, out, print_json, progress, say


@command()
def predict(
    run: Annotated[
        list[str], typer.Argument(help="Run folder, or Hub id of a model; of several, predictions are averaged.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="bigWig to write; of several tracks, NAME.TRACK.bw for each. Of a classifier, TSV of probabilities.",
        ),
    ],
    data: Annotated[Path | None, typer.Option(help="Folder that `chromhub data build` made.")] = None,
    fasta: Annotated[Path | None, typer.Option(help="Genome, or any sequences: FASTA, plain, gzip or bgzip.")] = None,
    chrom: Annotated[list[str] | None, typer.Option(help="Whole chromosome; repeatable.")] = None,
    regions: Annotated[Path | None, typer.Option(help="BED of the regions to predict.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole genome.")] = False,
    batch_size: Annotated[int, typer.Option(help="Windows predicted at once.", min=1)] = 64,
    one_strand: OneStrand = False,
    bf16: Bf16 = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Predict whole chromosomes or regions into a bigWig, in the units of the data the model was trained on.

    A classifier writes a table: a row a region of --regions, judged by the window around its middle, or a row a window
    along --chrom and --all, and a column of probabilities a label.

    A run that was interrupted goes on where it was when it is started again. `accelerate launch -m chromhub predict
    ...` divides it over processes.
    """
    from ..datasets_scripts.bed import read_intervals
    from ..datasets_scripts.fasta import Fasta
    from ..datasets_scripts.store import GenomeStore
    from ..inference.class_predictions import classes_to_table
    from ..inference.cpu import (
        computing,
        device_name,
        pick_device,
        prepare_cpu,
    )  # here, so that --help need not load torch
    from ..inference.gpu import precision_name, use_bf16
    from ..inference.load import load_sequence_model
    from ..inference.predict import predict_to_bigwig, whole_chroms
    from ..inference.ranks import find_ranks
    from ..modeling import AtacForTrackPrediction

    prepare_cpu(threads)
    if data is not None and fasta is None:
        source: GenomeStore | Fasta = GenomeStore.open(data)
    elif fasta is not None and data is None:
        source = Fasta(fasta)
    else:
        raise ValueError("give --data or --fasta, one of the two: where the sequence comes from")
    if (bool(chrom), regions is not None, everything).count(True) != 1:
        raise ValueError("give --chrom, --regions or --all, one of the three: what to predict")
    ranks, device = find_ranks(device)
    where = pick_device(device)
    models = []
    for name in run:
        models.append(load_sequence_model(name))
        models[-1].to(where)  # pyright: ignore[reportArgumentType] - transformers' stub of `to`
    track_models = [model for model in models if isinstance(model, AtacForTrackPrediction)]
    classifiers = [model for model in models if not isinstance(model, AtacForTrackPrediction)]
    if classifiers and len(models) > 1:
        raise ValueError("models whose predictions are averaged must all predict tracks; give one classifier at a time")
    wanted = whole_chroms(source.chrom_sizes, chrom) if chrom else read_intervals(regions) if regions else None
    half = use_bf16(where, bf16)
    with computing(where, bf16=half), progress() as bar:
        task = bar.add_task("windows", total=None)

        def on_progress(done: int, total: int) -> None:
            if done == 0 and ranks.leads:  # everything has been checked
                of = f" ({ranks.size} processes)" if ranks.size > 1 else ""
                say(
                    f"predicting with {', '.join(run)} on {device_name(where)}{of}{precision_name(where, bf16=half)}: "
                    f"{total:,} windows"
                )
            bar.update(task, completed=done, total=total, visible=ranks.leads)

        options: dict[str, Any] = {
            "batch_size": batch_size,
            "average_rc": not one_strand,
            "overwrite": overwrite,
            "progress": on_progress,
        }
        if classifiers:
            found = classes_to_table(classifiers[0], source, output, regions=wanted, whole=regions is None, **options)
            if as_json:
                print_json({"path": str(found.path), "labels": list(found.labels), "num_windows": found.num_windows})
            else:
                out.print(str(found.path), markup=False, soft_wrap=True)
            return
        written = predict_to_bigwig(track_models, source, output, regions=wanted, ranks=ranks, **options)
    if not ranks.leads:
        return
    paths = [str(path) for path in written.paths]
    if as_json:
        print_json({"paths": paths, "chroms": list(written.chroms), "num_bins": written.num_bins})
        return
    say(f"{written.num_bins:,} bins of {track_models[0].config.bin_size} bp on {len(written.chroms)} chromosomes")
    for path in paths:
        out.print(path, markup=False, soft_wrap=True)
