"""`chromhub card`, `chromhub push` and `chromhub models`: share a run, and list what is shared."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from .console import command, out, print_json, say

_Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")]
_DataLicense = Annotated[str, typer.Option(help="Terms of the training data, in words, for the card.")]
_Dataset = Annotated[list[str] | None, typer.Option(help="Hub id of the training data; may be given several times.")]
_BaseModel = Annotated[str, typer.Option(help="Hub id of the base, where the run was trained from a local folder.")]


@command()
def card(
    run: _Run,
    license: Annotated[str, typer.Option(help="Licence of the model, e.g. apache-2.0 or cc-by-4.0.")] = "",
    data_license: _DataLicense = "",
    dataset: _Dataset = None,
    base_model: _BaseModel = "",
) -> None:
    """Print the model card that `push` would upload, rendered from the run's own files."""
    from ..hub_models.card import Publication, render_card  # imported here, so that `chromhub --help` need not load it

    publication = Publication(
        license=license, data_license=data_license, datasets=tuple(dataset or ()), base_model=base_model
    )
    typer.echo(render_card(run, publication), nl=False)


@command()
def push(
    run: _Run,
    repo_id: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Where to: the model's name on the Hub.")],
    license: Annotated[str, typer.Option(help="Licence of the model, e.g. apache-2.0 or cc-by-4.0.")],
    data_license: _DataLicense = "",
    dataset: _Dataset = None,
    base_model: _BaseModel = "",
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    allow_unevaluated: Annotated[
        bool, typer.Option("--allow-unevaluated", help="Push a run that `chromhub evaluate` has not seen.")
    ] = False,
    to_folder: Annotated[
        Path | None, typer.Option(help="Make the folder that would be pushed, and send nothing.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder of --to-folder.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Check a run and push it to the Hub with its card.

    The run must load, predict finite numbers and have been evaluated. The folder itself is not changed.
    """
    from ..hub_models.card import Publication
    from ..hub_models.publish import prepare, publish

    publication = Publication(
        repo_id=repo_id,
        license=license,
        data_license=data_license,
        datasets=tuple(dataset or ()),
        base_model=base_model,
    )
    if to_folder is not None:
        files = prepare(run, publication, to_folder, overwrite=overwrite)
        if json:
            print_json({"folder": str(to_folder), "files": files})
        else:
            say(f"{len(files)} files in {to_folder}; nothing was sent")
        return
    pushed = publish(run, publication, private=private, allow_unevaluated=allow_unevaluated)
    if json:
        print_json(vars(pushed))
        return
    say(f"{len(pushed.files)} files pushed, tagged {pushed.tag}: {pushed.commit_url}")
    say(f'With chromhub installed: AutoModel.from_pretrained("{repo_id}"). Without it, pinned to this commit:')
    typer.echo(pushed.load)


@command()
def models(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="List the runs in this folder instead.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """List the published models, or the runs in a folder, with their headline numbers."""
    from ..hub_models.registry import FOLDER, list_models

    found = list_models(folder or FOLDER)
    if json:
        print_json([model.to_dict() for model in found])
        return
    if not found:
        say(f"{folder} holds no finished run" if folder else "no model has been published yet")
        return
    table = Table("name", "kind", "architecture", "genome", "tracks", "base", "licence", "metrics", box=None)
    for column in table.columns:
        column.overflow = "fold"  # a name that is cut cannot be copied
    for model in found:
        numbers = ", ".join(f"{name} {value:.3f}" for name, value in model.metrics.items())
        cells = (model.name, model.kind, model.architecture, model.genome, ", ".join(model.tracks), model.base)
        table.add_row(*cells, model.license, numbers or "not evaluated")
    out.print(table)
