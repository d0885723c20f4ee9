"""The options of `chromhub data build` that name tracks -> TrackSources."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ..datasets_scripts.store_inputs import TrackSource, name_and_path
from ..datasets_scripts.track_kinds import KINDS, Kind


def track_sources(
    tracks: Sequence[str],
    fragments: Sequence[str],
    *,
    kinds: Sequence[str] = (),
    barcodes: Sequence[str] = (),
    **options: Any,
) -> tuple[TrackSource, ...]:
    """Return the tracks that --track, --fragments, --kind and --barcodes name.

    Args:
        tracks: "[NAME=]PATH" of any format.
        fragments: "[NAME=]PATH" of reads.
        kinds: "NAME=KIND" where the format is not recognised.
        barcodes: "[NAME=]PATH" of a table; without a name it belongs to the only fragments file.
        **options: attributes of every TrackSource.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file that is not recognised, or a --kind or --barcodes of no track.
    """
    given = [(text, False) for text in tracks] + [(text, True) for text in fragments]
    names = [name_and_path(text)[0] for text, _ in given]
    kind_of = dict(_kind(text, names) for text in kinds)
    found = [
        TrackSource.parse(text, reads=reads, kind=kind_of.get(name), **options)
        for name, (text, reads) in zip(names, given, strict=True)
    ]
    table_of = dict(_table(text, found) for text in barcodes)
    named = {name: text.startswith(f"{name}=") for name, (text, _) in zip(names, given, strict=True)}
    pseudobulks = (
        replace(track, barcodes=table_of.get(track.name)).pseudobulks(prefix=named[track.name]) for track in found
    )
    return tuple(track for group in pseudobulks for track in group)


def _kind(text: str, names: list[str]) -> tuple[str, Kind]:
    """Read one --kind."""
    name, _, kind = text.partition("=")
    if name not in names or kind not in KINDS:
        raise ValueError(
            f"--kind must be NAME=KIND, NAME one of {', '.join(names)}, KIND one of {', '.join(KINDS)}, got {text!r}"
        )
    return name, cast(Kind, kind)


def _table(text: str, tracks: list[TrackSource]) -> tuple[str, Path]:
    """Read one --barcodes."""
    fragments = [track.name for track in tracks if track.kind == "fragments"]
    name, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        if len(fragments) != 1:
            raise ValueError(
                f"--barcodes must be NAME=PATH where there is not one fragments file but {len(fragments)}, got {text!r}"
            )
        return fragments[0], Path(text)
    if name not in fragments:
        raise ValueError(f"--barcodes must name a fragments track, one of {', '.join(fragments)}, got {name!r}")
    return name, Path(path)
