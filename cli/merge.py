"""`chromhub merge`: an adapter and its base as one model folder."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import command, print_json, say


@command()
def merge(
    adapter: Annotated[str, typer.Argument(help="Folder or Hub id of a LoRA adapter.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The model folder to make.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of an adapter on the Hub.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing folder.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Merge a LoRA adapter into its base: a model folder like any other, that predicts the same and needs no peft.

    It keeps the adapter's recipe, history and evaluations, and what adapter and base were trained on, for its card and
    for the refusal to evaluate it there.
    """
    from ..hub_models.merge import merge_adapter  # imported here, so that `--help` is quick

    made = merge_adapter(adapter, output, revision=revision, overwrite=overwrite)
    if not made.has_provenance:
        say(f"{adapter} has no provenance.json: what it was trained on, and so any leak, is not known")
    if json:
        print_json(asdict(made))
        return
    say(f"predictions differ from those of {made.adapter} on {made.base} by {made.max_difference:.1e} of the largest")
    say(f"wrote {made.folder}")
