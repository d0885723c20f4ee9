"""`chromhub attribute`: what each base adds to a model's prediction."""

from pathlib import Path
from typing import Annotated

import typer

from .console import command, out, print_json, progress, say


@command()
def attribute(
    run: Annotated[str, typer.Argument(help="Run folder, or Hub id of a model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make.")],
    data: Annotated[Path | None, typer.Option(help="Folder that `chromhub data build` made; its peaks, too.")] = None,
    fasta: Annotated[Path | None, typer.Option(help="Genome: FASTA, plain, gzip or bgzip.")] = None,
    regions: Annotated[Path | None, typer.Option(help="BED; the window around each middle.  [default: peaks]")] = None,
    max_regions: Annotated[int | None, typer.Option(help="Evenly spread over those there are.", min=1)] = None,
    method: Annotated[
        str,
        typer.Option(help="deep-lift, integrated-gradients, input-x-gradient or saturation-mutagenesis."),
    ] = "deep-lift",
    track: Annotated[
        str | None, typer.Option(help="Name of the track, of a classifier of the label.  [default: the first]")
    ] = None,
    width: Annotated[int | None, typer.Option(help="bp in the middle that are kept.  [default: all]", min=1)] = None,
    shuffles: Annotated[int, typer.Option(help="Dinucleotide-shuffled references of a window.", min=1)] = 20,
    steps: Annotated[int, typer.Option(help="Points of integrated gradients.", min=1)] = 50,
    seed: Annotated[int, typer.Option(help="Of the references.")] = 0,
    logos: Annotated[int, typer.Option(help="Regions that are drawn, the strongest.", min=0)] = 10,
    batch_size: Annotated[int, typer.Option(help="Sequences at once.", min=1)] = 16,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier attribution.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print attribute.json on standard output.")] = False,
) -> None:
    """Attribute predicted signal to bases: arrays for tfmodisco-lite, BED, bigWig and logos.

    What is explained is the weighted profile: the sum of w p over the target's bins, with p the predicted signal (log1p
    scale) and w = p / sum(p), held fixed; of a classifier it is the logit of a label. A run that was interrupted goes
    on where it was.
    """
    from ..datasets_scripts.bed import read_intervals
    from ..datasets_scripts.fasta import Fasta
    from ..datasets_scripts.store import GenomeStore
    from ..inference.attribute import AttributionSettings
    from ..inference.attribution_folder import attribute_to_folder, attribution_regions
    from ..inference.cpu import computing, device_name, pick_device, prepare_cpu  # here, so that --help need no torch
    from ..inference.load import load_sequence_model

    if (data is None) == (fasta is None):
        raise ValueError("give --data or --fasta, one of the two: where the sequence comes from")
    prepare_cpu(threads)
    source = GenomeStore.open(data) if data is not None else Fasta(fasta)  # pyright: ignore[reportArgumentType]
    settings = AttributionSettings(method, shuffles, steps, width, seed, batch_size)
    chosen = attribution_regions(source, read_intervals(regions) if regions else None, max_regions=max_regions)
    where = pick_device(device)
    model = load_sequence_model(run)
    model.to(where)  # pyright: ignore[reportArgumentType] - transformers' stub of `to`
    with computing(where, bf16=False), progress() as bar:
        task = bar.add_task("regions", total=None)

        def on_progress(done: int, total: int) -> None:
            if done == 0:  # everything has been checked
                say(f"{method} of {run} on {device_name(where)}: {total:,} regions")
            bar.update(task, completed=done, total=total)

        found = attribute_to_folder(
            model,
            source,
            output,
            regions=chosen,
            settings=settings,
            track=track,
            num_logos=logos,
            overwrite=overwrite,
            progress=on_progress,
        )
    if as_json:
        print_json(found)
        return
    kept = found["regions"]
    error = found["largest_additivity_error"]
    say(
        f"{kept['kept']:,} of {kept['asked']:,} regions, {kept['width']:,} bp each"
        + ("" if error is None else f"; largest additivity error {error:.1g}")
        + "".join(f"; {count:,} left out: {why}" for why, count in kept["dropped"].items() if count)
    )
    out.print(str(output), markup=False, soft_wrap=True)
