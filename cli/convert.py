"""`chromhub convert`: checkpoints of other packages as model folders."""

from pathlib import Path
from typing import Annotated

import typer

from .console import command, print_json, say


@command()
def convert(
    source: Annotated[
        Path, typer.Argument(help="A state dict of asap (.pth), or a ChromTransfer model that Keras saved (.h5).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The model folder to make.")],
    kind: Annotated[
        str | None, typer.Option("--from", help="asap or chromtransfer; by default told by the file.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Of an asap state dict, e.g. convnext_dcnn; by default told by its tensors.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing folder.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Convert a checkpoint of asap or ChromTransfer into a model folder, and check that nothing changed.

    No code in the file is run. The folder loads by AutoModel (asap) or AutoModelForSequenceClassification
    (ChromTransfer). A Keras file needs `pip install "chromhub[convert]"`.
    """
    from ..hub_models.convert import convert as convert_checkpoint  # imported here, so that `--help` is quick

    made = convert_checkpoint(source, output, kind=kind, architecture=architecture, overwrite=overwrite)
    if json:
        print_json(made.to_dict())
        return
    say(f"{made.architecture}: {made.num_tensors} tensors, each used once and found again bit for bit in {made.folder}")
    if made.compared_with is None:
        say("outputs not compared: the package asap is not installed (pip install --no-deps atac-asap)")
    else:
        say(f"outputs differ from those of {made.compared_with} by {made.max_difference:.1e} of the largest")
