"""`chromhub info`: what a model is."""

from typing import Annotated

import typer
from rich.table import Table

from .console import command, out, print_json


@command()
def info(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A preset, the folder of a model, or a Hub id.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show a model's layers, parameters and FLOPs, the bases a bin sees, and the lengths it reads.

    FLOPs are those of the plain layers for one window. What a bin sees is measured by gradients; no weights are read.
    """
    from ..inference.architecture import describe  # imported here, so that `chromhub --help` need not load torch

    found = describe(model, revision=revision)
    if json:
        print_json(found.to_dict())
        return
    has_bins = found.bin_size > 0
    bins = f"{found.input_length // found.bin_size} bins of {found.bin_size} bp" if has_bins else "one row of outputs"
    scored = f", the middle {found.target_length} bp scored" if found.target_length else ""
    trainable = "" if found.trainable_parameters == found.parameters else f", {found.trainable_parameters:,} trainable"
    reach = str(found.reach)
    if found.reach != found.local_reach:
        reach += f"; {'without GRN' if has_bins else 'a position before the mean'}: {found.local_reach}"
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in (
        ("model", found.name),
        ("class", found.kind),
        ("stem", found.stem),
        ("core", found.core),
        ("parameters", f"{found.parameters:,}{trainable}"),
        ("FLOPs a window", f"{found.flops / 1e9:.3g} G"),
        ("a bin sees" if has_bins else "an output sees", reach),
        ("input lengths", found.lengths),
        ("window", f"{found.input_length} bp -> {bins}{scored}"),
        ("outputs", ", ".join(found.outputs)),
        ("target", found.target),
        ("genome", found.genome or "not recorded"),
    ):
        table.add_row(name, value)
    out.print(table)
