"""`chromhub score`: what sequence variants do to the predicted signal."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .console import OneStrand, command, out, print_json, progress, say, warn


@command()
def score(
    run: Annotated[
        list[str],
        typer.Argument(
            help="Run folder, or Hub id of a model of tracks or a classifier; of several, predictions are averaged."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help=".tsv to write, or of a VCF an annotated .vcf; .gz to compress.")
    ],
    variants: Annotated[
        Path | None, typer.Option(help="VCF, or TSV with a header that names chrom, pos (1-based), ref, alt; or .gz.")
    ] = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="A variant such as chr1:12345:A>G (1-based); repeatable.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that `chromhub data build` made.")] = None,
    fasta: Annotated[Path | None, typer.Option(help="Genome: FASTA, plain or bgzip.")] = None,
    peaks: Annotated[
        Path | None,
        typer.Option(help="Peaks, for the active allele's quantile among them.  [default: those of --data]"),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(help="bp around a variant that are compared, of tracks.  [default: 512, or half the target]"),
    ] = None,
    shift: Annotated[
        list[int] | None, typer.Option(help="bp to move the window by; repeatable, averaged.  [default: 0]")
    ] = None,
    one_strand: OneStrand = False,
    null: Annotated[int, typer.Option(help="Matched random variants for p-values; 0 for none.", min=0)] = 0,
    pseudocount: Annotated[
        float | None,
        typer.Option(help="Signal added to both sides of a ratio, of tracks.  [default: 0.001]", min=0),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder to make: a PNG of each of the variants with the largest logfc.")
    ] = None,
    num_figures: Annotated[int, typer.Option(help="Variants drawn in --figures.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Of the random variants and the choice of peaks.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Variants predicted at once.", min=1)] = 32,
    bf16: Annotated[
        bool,
        typer.Option(
            "--bf16/--no-bf16", help="Compute in bfloat16: faster, equal to about two digits.  [default: float32]"
        ),
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Score variants: log2 fold change, shape, largest difference; every variant has a row and a status.

    Of a classifier, for each label: logit and probability of both alleles, and the change of the logit.
    A run that was interrupted goes on where it was when it is started again. `accelerate launch -m chromhub score ...`
    divides it over processes.
    """
    from ..datasets_scripts.bed import read_peaks
    from ..datasets_scripts.fasta import Fasta
    from ..datasets_scripts.store import GenomeStore
    from ..inference.cpu import computing, device_name, pick_device, prepare_cpu  # here, so that --help need no torch
    from ..inference.gpu import precision_name
    from ..inference.load import load_sequence_model
    from ..inference.ranks import find_ranks
    from ..inference.score import score_file
    from ..inference.variant_figures import VariantFigures
    from ..inference.variant_scorer import ScoreSettings
    from ..modeling import AtacForTrackPrediction

    prepare_cpu(threads)
    if (variants is None) == (not variant):
        raise ValueError("give --variants or --variant, one of the two: what to score")
    if (data is None) == (fasta is None):
        raise ValueError("give --data or --fasta, one of the two: where the sequence comes from")
    source: GenomeStore | Fasta = Fasta(fasta) if fasta else GenomeStore.open(data or "")
    known = read_peaks(peaks) if peaks else source.peaks if isinstance(source, GenomeStore) else None
    ranks, device = find_ranks(device)
    where = pick_device(device)
    given = (("window", window), ("pseudocount", pseudocount))
    of_tracks: dict[str, Any] = {option: value for option, value in given if value is not None}
    models = []
    for name in run:
        model = load_sequence_model(name)
        if of_tracks and not isinstance(model, AtacForTrackPrediction):
            raise ValueError(
                f"--{' and --'.join(of_tracks)} of predicted tracks cannot be given for {name!r}, a classifier: leave "
                "out what only track models have"
            )
        models.append(model.to(where))  # pyright: ignore[reportArgumentType] - transformers' stub of `to`
    settings = ScoreSettings(
        **of_tracks,
        shifts=tuple(shift or [0]),
        average_rc=not one_strand,
        batch_size=batch_size,
        num_null=null,
        seed=seed,
    )
    with computing(where, bf16=bf16), progress() as bar:
        task = bar.add_task("variants", total=None)

        def on_progress(done: int, total: int) -> None:
            if done == 0 and ranks.leads:  # everything has been checked
                of = f" ({ranks.size} processes)" if ranks.size > 1 else ""
                say(
                    f"scoring with {', '.join(run)} on {device_name(where)}{of}{precision_name(where, bf16=bf16)}: "
                    f"{total:,} variants"
                )
            bar.update(task, completed=done, total=total, visible=ranks.leads)

        written = score_file(
            models,
            source,
            variants or list(variant or []),
            output,
            settings=settings,
            peaks=known,
            overwrite=overwrite,
            progress=on_progress,
            ranks=ranks,
            figures=VariantFigures(figures, num_figures) if figures else None,
        )
    if not ranks.leads:
        return
    warn(written.warnings)
    if written.counts.get("ref_mismatch", 0) > sum(written.counts.values()) / 2:
        say("most REF alleles are not what the genome has there: is it another assembly, or are REF and ALT swapped?")
    if as_json:
        print_json(
            {
                "path": str(written.path),
                "columns": list(written.columns),
                "counts": written.counts,
                "figures": [str(path) for path in written.figures],
                **({"warnings": list(written.warnings)} if written.warnings else {}),
            }
        )
        return
    say(", ".join(f"{number:,} {status}" for status, number in sorted(written.counts.items())))
    out.print(str(written.path), markup=False, soft_wrap=True)
    if figures:
        out.print(str(figures), markup=False, soft_wrap=True)
