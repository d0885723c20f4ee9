"""Files of the field -> GenomeStore, one chromosome in memory at a time.

A store is made of pieces: the bases, and each track. Finished ones are noted with what they were made from (pieces.py),
so a build that was killed goes on where it stopped, and `update` makes only what changed.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from glob import escape
from pathlib import Path
from typing import Any

import pandas as pd

from .atomic import check_output, resumable_folder
from .bigwig import BigWig, Summary
from .listed_files import is_inside
from .own_files import check_outside_data, check_own
from .pieces import Pieces, file_key, piece_key, read_pieces, share
from .store import FORMAT, VERSION, GenomeStore
from .store_codes import write_codes
from .store_files import TABLES, fingerprint_of
from .store_inputs import InputReport, StoreInputs, TrackSource, check_inputs
from .store_tables import Genome, blacklist_table, peak_table, place_split, read_split, unmappable_table
from .track_details import TrackDetails, check_details
from .track_jobs import TrackJob, make_tracks, piece_name
from .track_sources import Progress, read_once

_TABLES = ("gaps", "peaks", "blacklist", "unmappable")
_OF_TRACKS = (".npy", ".mask.tsv")
_OWN_FILES = (
    *("store.json", "codes.npy", "split.json", "report.json", "pieces.json", ".pieces.json"),
    *(f"{name}.tsv" for name in _TABLES),
)
STORE_FILES = (*_OWN_FILES, *(f"tracks/*{suffix}" for suffix in _OF_TRACKS))  # of any store
# What a track's bins do not depend on, or that its key holds by itself.
_NOT_OF_TRACKS = {
    *("fasta", "tracks", "split", "peaks", "blacklist", "unmappable", "mask_regions", "genome", "chroms", "assay"),
    *("bin_size", "summary"),
}


def build_store(
    inputs: StoreInputs,
    output: str | Path,
    *,
    details: Mapping[str, TrackDetails] | None = None,
    jobs: int = 1,
    update: bool = False,
    overwrite: bool = False,
    on_progress: Progress | None = None,
) -> GenomeStore:
    """Make a store; the folder appears when it is complete, and the same inputs give the same bytes.

    Chromosome names of every file are brought to the FASTA's (`match_chroms`). Peaks past a chromosome's end are
    dropped; blacklist and unmappable intervals are cut there. What an interrupted build has finished stays in
    `.NAME.partial` beside `output` as soon as one track is, and the same call goes on from there.

    Args:
        inputs: the files and the rules.
        output: folder to make.
        details: by track name: metadata, masks and tolerance.
        jobs: processes; each holds one track's chromosome in memory.
        update: replace an existing store, and take from it every piece whose input and options did not change.
        overwrite: replace an existing store; no other folder is ever replaced.
        on_progress: called with what is being done, and chromosomes done and in all (0 while unknown).

    Returns:
        The store, its arrays mapped.

    Raises:
        FileExistsError: `output` exists and neither `overwrite` nor `update` is given, it is not a store, or another
            process is making it.
        FileNotFoundError: a file is missing.
        ValueError: what the readers refuse, a wrong option, a bigWig of another assembly, a track without signal, or
            a split that does not fit the genome.
    """
    output = check_output(output, overwrite or update, inputs=_read_by(inputs))
    check_outside_data(output)
    if output.is_dir() and any(output.iterdir()) and not (output / "store.json").is_file():
        raise FileExistsError(
            f"{output} is not a chromhub store, so --overwrite does not replace it: choose another name"
        )
    if output.is_dir():
        check_own(output, _files_of(output), others="files that are no part of its store")
    summary = check_inputs(inputs)
    details = _check_tracks(inputs.tracks, details, jobs)
    split = read_split(inputs.split)
    progress = on_progress or (lambda stage, done, total: None)
    with _pieces(output, overwrite or update, share_old=update) as pieces:
        folder = pieces.folder
        genome, report = _genome(inputs, pieces, progress)
        reports = [report]
        split = place_split(split, genome, reports)
        progress("peaks and masks", 0, 0)
        tables = {"gaps": genome.gaps, "peaks": peak_table(inputs, genome, reports)}
        tables |= {
            "blacklist": blacklist_table(inputs, genome, reports),
            "unmappable": unmappable_table(inputs, genome, reports),
        }
        for name in TABLES:
            (folder / f"{name}.tsv").unlink(missing_ok=True)
            tables[name].to_csv(folder / f"{name}.tsv", sep="\t", index=False, lineterminator="\n")
        (folder / "split.json").unlink(missing_ok=True)
        split.to_json(folder / "split.json")
        options = {f.name: getattr(inputs, f.name) for f in fields(inputs) if f.name not in _NOT_OF_TRACKS}
        with read_once(inputs.tracks) as sources:  # files that several tracks share, in one pass
            plan = [
                TrackJob(track, details[track.name], options, inputs.bin_size, summary, genome, folder)
                for track in sources
            ]
            entries, track_reports = make_tracks(plan, pieces, jobs, progress)
        pieces.keep_only(["codes", *(piece_name(track.name) for track in inputs.tracks)])
        _drop_strays(folder, {f"{entry['name']}{suffix}" for entry in entries for suffix in _OF_TRACKS})
        description: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "genome": inputs.genome,
            **({"assay": inputs.assay} if inputs.assay else {}),
            "bin_size": inputs.bin_size,
            "summary": summary,
            "chroms": [{"name": n, "size": s, "digest": genome.digests[n]} for n, s in genome.sizes.items()],
            "tracks": entries,
        }
        _write_json(folder / "report.json", [asdict(report) for report in reports] + track_reports)
        _write_json(folder / "store.json", with_fingerprint(description, folder))
    return GenomeStore.open(output, in_memory=False)


def add_tracks(
    store: str | Path,
    tracks: Sequence[TrackSource],
    *,
    details: Mapping[str, TrackDetails] | None = None,
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> GenomeStore:
    """Add tracks to a store; its bases and other tracks are shared, not made again. Readers see the old or the new one.

    Args:
        store: its folder.
        tracks: of the same assembly; the names must be new.
        details: by track name: metadata, masks and tolerance.
        jobs: processes.
        on_progress: as of `build_store`.

    Returns:
        The store with another fingerprint, its arrays mapped.

    Raises:
        FileNotFoundError: no store there, or a file is missing.
        ValueError: a name that the store has, or what `build_store` refuses.
    """
    old = GenomeStore.open(store, in_memory=False)
    check_inputs(StoreInputs(old.path / "codes.npy", tuple(tracks), bin_size=old.bin_size, summary=_summary(old)))
    details = _check_tracks(tracks, details, jobs)
    all_sizes = read_pieces(old.path).get("codes", {}).get("value", {}).get("all_sizes", old.chrom_sizes)
    genome = Genome(old.chrom_sizes, all_sizes, old.chrom_digests, old.gaps)
    progress = on_progress or (lambda stage, done, total: None)
    with extended_store(old, [track.name for track in tracks]) as (pieces, add), read_once(tracks) as sources:
        plan = [TrackJob(t, details[t.name], {}, old.bin_size, _summary(old), genome, pieces.folder) for t in sources]
        add(*make_tracks(plan, pieces, jobs, progress))
    return GenomeStore.open(old.path, in_memory=False)


@contextmanager
def extended_store(
    old: GenomeStore, names: Sequence[str]
) -> Iterator[tuple[Pieces, Callable[[list[dict[str, Any]], list[dict[str, Any]]], None]]]:
    """Yield a copy of a store that shares its files, and a function that takes the entries and reports of new tracks.

    The copy takes the store's place when the block ends well.
    """
    if taken := sorted(set(names) & set(old.track_names)):
        raise ValueError(f"{old.path} has a track {taken[0]!r} already: choose another name, or build it with --update")

    def add(entries: list[dict[str, Any]], reports: list[dict[str, Any]]) -> None:
        description = {k: v for k, v in old.description.items() if k != "fingerprint"}
        description["tracks"] = [*description["tracks"], *entries]
        pieces.keep_only([*read_pieces(old.path), *(piece_name(entry["name"]) for entry in entries)])
        wanted = {f"{entry['name']}{suffix}" for entry in description["tracks"] for suffix in _OF_TRACKS}
        _drop_strays(pieces.folder, wanted | {path.name for path in (old.path / "tracks").iterdir()})
        _write_json(pieces.folder / "report.json", [*old.report(), *reports])
        _write_json(pieces.folder / "store.json", with_fingerprint(description, pieces.folder))

    with _pieces(old.path, True, share_old=True) as pieces:
        for name, piece in read_pieces(old.path).items():
            pieces.take(name, piece["key"])
        for path in sorted(old.path.rglob("*")):
            if path.is_file() and path.name not in ("pieces.json", ".pieces.json"):
                share(path, pieces.folder / path.relative_to(old.path))
        yield pieces, add


def _drop_strays(folder: Path, wanted: Collection[str]) -> None:
    """Delete what a killed run left half-written among the tracks."""
    for path in (folder / "tracks").iterdir():
        if path.name not in wanted and is_inside(folder, path) and not path.is_dir():
            path.unlink()


def _read_by(inputs: StoreInputs) -> list[Path | str | None]:
    """Return the files that a build reads."""
    tables = [inputs.peaks, inputs.blacklist, inputs.unmappable]
    tracks = [path for track in inputs.tracks for path in (track.path, track.barcodes)]
    return [*inputs.fasta_files, *tracks, *tables, inputs.split if isinstance(inputs.split, Path | str) else None]


def _files_of(store: Path) -> list[str]:
    """Return what a build wrote into a store; of tracks, those that store.json names."""
    try:
        entries = json.loads((store / "store.json").read_text(encoding="utf-8"))["tracks"]
        names = [str(entry["name"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        names = []
    return [*_OWN_FILES, *(f"tracks/{escape(name)}{suffix}" for name in names for suffix in _OF_TRACKS)]


def with_fingerprint(description: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return store.json's content with the digest of itself, the tables, the masks and the split."""
    return description | {"fingerprint": fingerprint_of(description, folder)}


@contextmanager
def _pieces(output: Path, overwrite: bool, *, share_old: bool) -> Iterator[Pieces]:
    """Yield the pieces of a folder that becomes `output`; they are kept after an error once a track is among them."""
    pieces: Pieces | None = None
    with resumable_folder(
        output, overwrite, worth_keeping=lambda: pieces is not None and pieces.has_made("track ")
    ) as folder:
        old = output if share_old and output.is_dir() else None
        pieces = Pieces(folder, old)
        yield pieces


def _check_tracks(
    tracks: Sequence[TrackSource], details: Mapping[str, TrackDetails] | None, jobs: int
) -> dict[str, TrackDetails]:
    """Check what can be checked before anything long begins; return the details of every track."""
    if jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {jobs}")
    complete = {track.name: (details or {}).get(track.name, TrackDetails()) for track in tracks}
    for track in tracks:
        check_details(track, complete[track.name])
        if track.kind == "bigwig":
            BigWig(track.path)  # a damaged one is refused before anything else is read
    return complete


def _genome(inputs: StoreInputs, pieces: Pieces, progress: Progress) -> tuple[Genome, InputReport]:
    """Write codes.npy, unless it is there from the same FASTA; return what it holds."""
    files = [file_key(path) for path in inputs.fasta_files]
    key = piece_key(
        "codes", VERSION, files[0] if len(files) == 1 else files, sorted(inputs.chroms) if inputs.chroms else None
    )
    found = pieces.take("codes", key)
    if found is None:
        report = InputReport.of_all("fasta", inputs.fasta_files, "chromosomes")
        genome = write_codes(pieces.folder / "codes.npy", inputs, report, progress)
        found = asdict(replace(genome, gaps=None)) | {  # pyright: ignore[reportArgumentType]
            "gaps": [list(row) for row in genome.gaps.itertuples(index=False, name=None)],
            "report": asdict(report),
        }
        pieces.record("codes", key, found, files=["codes.npy"])
    gaps = pd.DataFrame(found["gaps"], columns=["chrom", "start", "end"])
    report = InputReport(**found["report"])
    report.file = ", ".join(path.name for path in inputs.fasta_files)
    return Genome(found["sizes"], found["all_sizes"], found["digests"], gaps), report


def _summary(store: GenomeStore) -> Summary:
    return store.summary  # pyright: ignore[reportReturnType]


def _write_json(path: Path, value: Any) -> None:
    """Write indented JSON."""
    path.unlink(missing_ok=True)  # may be another store's too
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
