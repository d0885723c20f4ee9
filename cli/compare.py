"""`chromhub compare`: two models on the same data."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .console import command, out, print_json, say


@command()
def compare(
    one: Annotated[Path, typer.Argument(help="Run or evaluation folder of the first model.")],
    other: Annotated[Path, typer.Argument(help="Of the second model, evaluated on the same data.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to make.  [default: none]")] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier comparison.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print comparison.json on standard output.")] = False,
) -> None:
    """Compare two evaluations chromosome by chromosome: Wilcoxon, Mann-Whitney U and a bootstrap interval."""
    from ..inference.compare import compare as compared
    from ..inference.compare import read_metrics, write_comparison

    sides = [read_metrics(path) for path in (one, other)]
    found = compared(*sides, seed=seed)
    if {side.get("reverse_complement") for side in sides} == {True, False}:
        say("one evaluation averaged both strands and the other did not: some of the difference may come from that")
    if output is not None:
        write_comparison(found, output, overwrite=overwrite)
    if as_json:
        print_json(found)
        return
    headings = (
        "track",
        "windows",
        "bp",
        "measure",
        "first",
        "second",
        "difference",
        "95 %",
        "Wilcoxon",
        "Mann-Whitney",
    )
    table = Table(*headings, box=SIMPLE_HEAD)
    chromosomes = max(row["chromosomes"] for row in found["rows"])
    table.title = f"{found['part']} part of {found['data']['name']}, means over {chromosomes} chromosomes"
    for row in found["rows"]:
        table.add_row(
            row["track"],
            row["set"],
            str(row["bin_size"]),
            f"{row['measure']}, {row['scale']}",
            *(f"{row[key]:.4f}" for key in ("first", "second")),
            f"{row['difference']:+.4f}",
            f"{row['low']:+.4f} to {row['high']:+.4f}",
            *(f"{row[key]:.2g}" for key in ("wilcoxon_p", "mann_whitney_p")),
        )
    out.print(table)
    if output is not None:
        say(f"wrote {output}")
