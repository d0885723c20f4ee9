"""`chromhub motifs`: the motifs that a model's attributions share."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .console import command, out, print_json, say


@command()
def motifs(
    attributions: Annotated[Path, typer.Argument(help="Folder that `chromhub attribute` made.")],
    meme: Annotated[
        str, typer.Option(help="Known motifs: a file in MEME format, or jaspar:vertebrates, jaspar:nematodes, ...")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make.")],
    window: Annotated[int, typer.Option(help="bp in the middle of the regions that are read.", min=1)] = 500,
    max_seqlets: Annotated[int, typer.Option(help="Places of each sign, at most.", min=1)] = 100_000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print motifs.json on standard output.")] = False,
) -> None:
    """Find motifs with tfmodisco-lite and name them after a MEME file: tables, logos, BED, HTML."""
    from ..inference.motif_folder import motifs_to_folder

    say(f"tfmodisco-lite on {attributions}, on the CPU")
    found = motifs_to_folder(
        attributions, output, database=meme, window=window, max_seqlets=max_seqlets, overwrite=overwrite
    )
    if as_json:
        print_json(found)
        return
    table = Table("motif", "consensus", "places", "share", "looks like", "E-value", box=SIMPLE_HEAD)
    table.title = f"{found['regions']:,} regions, {found['seqlets']:,} places"
    for motif in found["motifs"]:
        best = motif["matches"][0]
        counts = (f"{motif['seqlets']:,}", f"{motif['share']:.1%}")
        table.add_row(motif["name"], motif["consensus"], *counts, best["name"], f"{best['e_value']:.1g}")
    out.print(table)
    say(f"wrote {output}")
