"""`chromhub data build-landscape`: tracks, a contact map and genes -> what CLASTER is trained on."""

from pathlib import Path
from typing import Annotated, cast

import typer
from rich.table import Table

from ..datasets_scripts.folds import PARTS
from ..datasets_scripts.landscape_build import ContactForm, LandscapeInputs, build_landscape
from ..datasets_scripts.landscape_signal import LandscapeGrid, TargetGrid
from .console import command, out, print_json, progress, say, warn
from .data import Json, data_app

_DEFAULT = LandscapeGrid()


@command(data_app, "build-landscape")
def build_landscape_command(
    track: Annotated[
        list[str],
        typer.Option(help="NAME=PATH of a bigWig to read, a row of the landscape each; repeatable, in order."),
    ],
    target: Annotated[
        list[str], typer.Option(help="NAME=PATH of a bigWig to predict; one NAME twice sums the files (strands).")
    ],
    genes: Annotated[Path, typer.Option(help="GTF, GFF3, or BED with the strand in column 6.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to make.")],
    contacts: Annotated[
        str | None, typer.Option(help="Contact map: FILE.cool, or FILE.mcool::resolutions/1600.")
    ] = None,
    contact_form: Annotated[
        str, typer.Option(help="rotated (diagonal last, as Micro-C in CLASTER) or square (as capture Hi-C).")
    ] = "rotated",
    contact_bins: Annotated[
        int | None, typer.Option(help="Rows of the map.  [default: what the landscape spans]")
    ] = None,
    raw_contacts: Annotated[bool, typer.Option("--raw-contacts", help="Take counts as they are, unbalanced.")] = False,
    gene_type: Annotated[str | None, typer.Option(help="Only genes of this type: protein_coding.")] = None,
    input_bins: Annotated[int, typer.Option(help="Bins of the landscape, an odd number.")] = _DEFAULT.num_input_bins,
    input_bin_size: Annotated[int, typer.Option(help="bp of those.")] = _DEFAULT.input_bin_size,
    bins: Annotated[int, typer.Option(help="Bins to predict, an odd number.")] = _DEFAULT.num_bins,
    bin_size: Annotated[int, typer.Option(help="bp of those.")] = _DEFAULT.bin_size,
    fine_bin_size: Annotated[int, typer.Option(help="bp of the bins that targets are smoothed in.")] = (
        _DEFAULT.fine_bin_size
    ),
    smoothing: Annotated[float, typer.Option(help="Standard deviation in bp of the targets' Gaussian; 0 for none.")] = (
        _DEFAULT.smoothing
    ),
    target_grid: Annotated[
        str, typer.Option(help="centred on the start site, or source: left-aligned as the authors' files are.")
    ] = _DEFAULT.target_grid,
    split: Annotated[Path | None, typer.Option(help="JSON with train, valid and test; or --valid and --test.")] = None,
    valid: Annotated[str | None, typer.Option(help="Chromosomes for validation: chr17 in the paper.")] = None,
    test: Annotated[str | None, typer.Option(help="Chromosomes for the test: chr4 in the paper.")] = None,
    clip: Annotated[float | None, typer.Option(help="Largest value of a bin (1000 for K562 in the paper).")] = None,
    edges: Annotated[
        str, typer.Option(help="pad with zeros what lies off a chromosome, or drop genes whose landscape does.")
    ] = "pad",
    chroms: Annotated[str | None, typer.Option(help="Only these chromosomes: chr1,chr2.")] = None,
    genome: Annotated[str, typer.Option(help="Name of the assembly, for the record (mm10).")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing folder.")] = False,
    as_json: Json = False,
) -> None:
    """Make a landscape folder: tracks and targets in bins around each gene's start site, with or without contacts."""
    for name, value, allowed in (
        ("--contact-form", contact_form, ("rotated", "square")),
        ("--target-grid", target_grid, ("centred", "source")),
        ("--edges", edges, ("pad", "drop")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be {' or '.join(allowed)}, got {value!r}")
    inputs = LandscapeInputs(
        tracks=_named(track, "--track", unique=True),
        targets=_named(target, "--target"),
        genes=genes,
        gene_type=gene_type,
        grid=LandscapeGrid(
            num_input_bins=input_bins,
            input_bin_size=input_bin_size,
            num_bins=bins,
            bin_size=bin_size,
            fine_bin_size=fine_bin_size,
            smoothing=smoothing,
            target_grid=cast(TargetGrid, target_grid),
        ),
        contacts=contacts,
        contact_form=cast(ContactForm, contact_form),
        contact_bins=contact_bins,
        balanced=not raw_contacts,
        split=split,
        valid=_chroms(valid) or (),
        test=_chroms(test) or (),
        clip=clip,
        edges="drop" if edges == "drop" else "pad",
        chroms=_chroms(chroms),
        genome=genome,
    )
    with progress() as bar:
        task = bar.add_task("starting", total=None)
        data = build_landscape(
            inputs,
            output,
            overwrite=overwrite,
            on_progress=lambda stage, done, total: bar.update(task, description=stage, completed=done, total=total),
        )
    counts = {part: len(data.rows(part)) for part in PARTS}
    warn(data.description["genes"].get("warnings", []))
    if as_json:
        print_json({"landscape": str(output), "fingerprint": data.fingerprint, "rows": counts, **data.description})
        return
    table = Table("part", "chromosomes", "genes", title=str(output))
    for part in PARTS:
        table.add_row(part, " ".join(getattr(data.split, part)), f"{counts[part]:,}")
    out.print(table)
    read = data.description["genes"]
    for reason, number in read["dropped"].items():
        say(f"{number:,} of {read['read']:,} genes left out: {reason}")
    for name, number in data.description["bins_below_zero"].items():
        if number:
            say(f"{name}: {number:,} bins below 0 became 0")
    say(f"next: chromhub train --data {output} --preset claster-landscape -o RUN")


def _named(values: list[str], option: str, *, unique: bool = False) -> dict[str, tuple[Path, ...]]:
    """Read NAME=PATH options, in their order."""
    named: dict[str, tuple[Path, ...]] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not name or not path:
            raise ValueError(f"{option} takes NAME=PATH, got {value!r}")
        if unique and name in named:
            raise ValueError(f"{option} names must differ, got {name!r} twice")
        named[name] = (*named.get(name, ()), Path(path))
    return named


def _chroms(text: str | None) -> tuple[str, ...] | None:
    """Read chr1,chr2."""
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text is not None else None
