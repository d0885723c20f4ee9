"""`chromhub data export` and `chromhub data push`: a store's windows as Parquet shards, for the Hub and streaming."""

from pathlib import Path
from typing import Annotated, cast

import typer
from rich.table import Table

from ..datasets_scripts.dataset import WindowKind, WindowPlan
from ..datasets_scripts.export import ExportPlan, export_shards
from ..datasets_scripts.store import GenomeStore
from .console import command, out, print_json, progress, say
from .data import Json, data_app


@command(data_app, "export")
def export(
    store_path: Annotated[Path, typer.Argument(metavar="STORE", help="Folder made by `chromhub data build`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to make.")],
    windows: Annotated[str, typer.Option(help="Training windows: tile, peaks or peaks+background.")] = "tile",
    stride: Annotated[int, typer.Option(help="bp from tile to tile.")] = 1024,
    max_unmappable: Annotated[float, typer.Option(help="Largest unmappable share of a training window.")] = 0.35,
    negative_ratio: Annotated[float, typer.Option(help="Background windows per peak window.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the choice of background.")] = 0,
    input_length: Annotated[int, typer.Option(help="bp that the model reads.")] = 2048,
    target_length: Annotated[int, typer.Option(help="Central bp that evaluation windows are scored on.")] = 1024,
    margin: Annotated[int, typer.Option(help="bp more on each side, the largest jitter in training.")] = 1024,
    shard_size: Annotated[int, typer.Option(help="MB of a shard before compression.")] = 256,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing folder.")] = False,
    as_json: Json = False,
) -> None:
    """Write a store's windows as Parquet shards with a dataset card, which `load_dataset` and `--data` read."""
    plan = ExportPlan(
        training=WindowPlan(
            kind=cast(WindowKind, windows),
            stride=stride,
            max_unmappable=max_unmappable,
            negative_ratio=negative_ratio,
            seed=seed,
        ),
        input_length=input_length,
        target_length=target_length,
        margin=margin,
        shard_size=shard_size * 1_000_000,
    )
    with progress() as bar:
        task = bar.add_task("choosing windows", total=None)
        shards = export_shards(
            GenomeStore.open(store_path, in_memory=False),
            output,
            plan,
            overwrite=overwrite,
            on_progress=lambda part, done, total: bar.update(task, description=part, completed=done, total=total),
        )
    rows = {
        str(part): {
            "windows": sum(file.num_windows for file in files),
            "shards": len(files),
            "bytes": sum((output / file.path).stat().st_size for file in files),
        }
        for part, files in shards.files.items()
    }
    if as_json:
        print_json(
            {
                "folder": str(output),
                "fingerprint": shards.fingerprint,
                "signal": shards.layout.signal_dtype,
                "parts": rows,
                "reports": shards.reports,
            }
        )
        return
    table = Table("part", "windows", "shards", "MB", title=str(output))
    for part, row in rows.items():
        table.add_row(part, f"{row['windows']:,}", str(row["shards"]), f"{row['bytes'] / 1e6:,.1f}")
    out.print(table)
    say(f"next: chromhub data push {output} ORG/NAME --license LICENCE, or chromhub train --data {output}")


@command(data_app, "push")
def push_data(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder made by `chromhub data export`.")],
    repo_id: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Where to: the dataset's name on the Hub.")],
    license: Annotated[str, typer.Option(help="Licence of the data, e.g. cc-by-4.0 or cc0-1.0.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    as_json: Json = False,
) -> None:
    """Push exported windows to the Hub with their card, in one commit."""
    from ..hub_models.publish_dataset import push_dataset  # imported here: it loads the models' libraries

    pushed = push_dataset(folder, repo_id, license=license, private=private)
    if as_json:
        print_json(vars(pushed))
        return
    say(f"{sum(pushed.windows.values()):,} windows in {len(pushed.files)} files pushed: {pushed.commit_url}")
    typer.echo(f'load_dataset("{repo_id}", revision="{pushed.revision}")')
