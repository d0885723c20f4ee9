"""`chromhub data add-track` and `consensus`: more tracks for a store that is there."""

from pathlib import Path
from typing import Annotated, cast

import typer

from ..datasets_scripts.build import add_tracks
from ..datasets_scripts.consensus import How, add_consensus
from ..datasets_scripts.sheet import read_sheet
from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.track_details import TrackDetails
from .console import command, out, print_json, progress, say, warn
from .data import Json, data_app, parse_shift
from .data_inputs import track_sources

_Store = Annotated[Path, typer.Argument(metavar="STORE", help="Folder made by `chromhub data build`.")]


@command(data_app, "add-track")
def add_track(
    store_path: _Store,
    track: Annotated[list[str], typer.Option(help="[NAME=]PATH of any format; repeatable.")] = [],  # noqa: B006
    fragments: Annotated[list[str], typer.Option(help="[NAME=]PATH of reads; repeatable.")] = [],  # noqa: B006
    tn5_shift: Annotated[str, typer.Option(help="As of `chromhub data build`, for --fragments.")] = "0,0",
    sheet: Annotated[Path | None, typer.Option(help="CSV, TSV or YAML of tracks, one a row.")] = None,
    mask_gaps: Annotated[int, typer.Option(help="bp without a value in a bigWig that count as not measured.")] = 0,
    tolerance: Annotated[float, typer.Option(help="Largest relative error of storing --track as float16.")] = 0.0,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, max=256, help="Processes.")] = 1,
    as_json: Json = False,
) -> None:
    """Add tracks to a store, without making its genome or other tracks again."""
    old = GenomeStore.open(store_path, in_memory=False)
    given = track_sources(track, fragments, tn5_shift=parse_shift(tn5_shift))
    details = {
        source.name: TrackDetails(mask_gaps=mask_gaps * (source.kind == "bigwig"), tolerance=tolerance)
        for source in given
    }
    listed, of_sheet = read_sheet(sheet, genome=old.genome) if sheet is not None else ([], {})
    with progress() as bar:
        task = bar.add_task("starting", total=None)
        store = add_tracks(
            store_path,
            [*given, *listed],
            details=details | of_sheet,
            jobs=jobs,
            on_progress=lambda stage, done, total: bar.update(
                task, description=stage, completed=done, total=total or None
            ),
        )
    _show(store, len(old.track_names), as_json)


@command(data_app, "consensus")
def consensus(
    store_path: _Store,
    how: Annotated[str, typer.Option(help="mean or max of the tracks, or open: the number of open cell types.")],
    name: Annotated[str, typer.Option(help="Name of the new track.")] = "consensus",
    tracks: Annotated[str | None, typer.Option(help="Only these: a,b,c; all when not given.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Signal from which a bin is open, for --how open.")] = None,
    as_json: Json = False,
) -> None:
    """Add a track that sums up others, bin by bin."""
    num_before = len(GenomeStore.open(store_path, in_memory=False).track_names)
    chosen = [text.strip() for text in tracks.split(",") if text.strip()] if tracks is not None else None
    store = add_consensus(store_path, name, how=cast(How, how), tracks=chosen, threshold=threshold)
    _show(store, num_before, as_json)


def _show(store: GenomeStore, num_before: int, as_json: bool) -> None:
    """Print the tracks that are new."""
    added = store.description["tracks"][num_before:]
    names = {f"track {entry['name']}" for entry in added}
    warn(text for entry in store.report() if entry["input"] in names for text in entry.get("warnings", []))
    if as_json:
        print_json({"store": str(store.path), "fingerprint": store.fingerprint, "added": added})
        return
    for entry in added:
        out.print(f"{entry['name']:20} {entry['dtype']:8} sum {entry['sum']:,.0f}", markup=False)
    say(f"{store.path} has {len(store.track_names)} tracks now; models trained on it before keep its old fingerprint")
