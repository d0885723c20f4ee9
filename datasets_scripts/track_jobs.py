"""The tracks of a store, made one after the other or in several processes; those that are there are not made again."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .bigwig import Summary
from .chrom_names import shown
from .pieces import Pieces, file_key, piece_key
from .processes import run_jobs
from .store import VERSION
from .store_codes import read_chrom_codes
from .store_inputs import InputReport, TrackSource
from .store_tables import Genome
from .store_tracks import write_track
from .track_details import TrackDetails, track_mask
from .track_sources import Progress, read_bins


@dataclass(frozen=True)
class TrackJob:
    """All it takes to make one track, in any process."""

    track: TrackSource
    details: TrackDetails
    options: dict[str, Any]
    bin_size: int
    summary: Summary
    genome: Genome
    folder: Path

    @property
    def key(self) -> str:
        """What the track's bins and mask depend on; the metadata and the tables are no part of it."""
        track = {k: v for k, v in asdict(self.track).items() if k != "spool"}  # where its reads wait, not what they are
        source = {k: file_key(v) if isinstance(v, Path) else v for k, v in track.items()}
        details = {k: v for k, v in asdict(self.details).items() if k != "metadata"}
        rules = [self.options, self.bin_size, self.summary]
        return piece_key("track", VERSION, source, details, rules, self.genome.sizes, self.genome.all_sizes)


def piece_name(track: str) -> str:
    """Return what a track is called among the pieces of a store."""
    return f"track {track}"


def make_tracks(
    plan: Sequence[TrackJob], pieces: Pieces, jobs: int, progress: Progress
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Make the tracks that are not there yet; return the entries and the reports of all, in the order of the plan."""
    keys = [job.key for job in plan]
    made = [pieces.take(piece_name(job.track.name), key) for job, key in zip(plan, keys, strict=True)]
    missing = [i for i, value in enumerate(made) if value is None]
    if pieces.num_kept:
        progress(f"taken up: {len(plan) - len(missing)} of {len(plan)} tracks", 0, 0)
    todo = [plan[i] for i in missing]
    if jobs > 1 and len(todo) > 1:
        results = run_jobs(_write_track, todo, num_processes=jobs)
    else:
        results = ((i, _write_track(job, progress)) for i, job in enumerate(todo))
    for done, (i, value) in enumerate(results, 1):
        made[missing[i]] = value
        name = todo[i].track.name
        mask = [f"tracks/{name}.mask.tsv"] * (value["entry"].get("masked_bp", 0) > 0)
        pieces.record(piece_name(name), keys[missing[i]], value, files=[f"tracks/{name}.npy", *mask])
        if jobs > 1:
            progress(f"track {name}", done, len(todo))
    entries, reports = [], []
    for job, value in zip(plan, made, strict=True):
        metadata = dict(job.details.metadata)
        entries.append(value["entry"] | ({"metadata": metadata} if metadata else {}))  # pyright: ignore[reportOptionalSubscript]
        reports.append(value["report"] | {"file": job.track.path.name})  # pyright: ignore[reportOptionalSubscript]
    return entries, reports


def _write_track(job: TrackJob, progress: Progress | None = None) -> dict[str, Any]:
    """Write a track's bins and mask; return what store.json and report.json say of it."""
    track, genome = job.track, job.genome
    report = InputReport.of(f"track {track.name}", track.path)
    progress = progress or (lambda stage, done, total: None)
    codes = read_chrom_codes(job.folder / "codes.npy", genome)
    signal = read_bins(track, job.bin_size, job.summary, genome=genome, report=report, progress=progress, codes=codes)
    path = job.folder / "tracks" / f"{track.name}.npy"
    stats = write_track(path, signal, bin_size=job.bin_size, tolerance=job.details.tolerance)
    if not stats["sum"]:
        why = "".join(f", {number:,} {reason}" for reason, number in report.dropped.items())
        of = f" (of {report.read:,} {report.unit}{why})" if why else ""
        raise ValueError(f"{track.path} has no signal on the genome's chromosomes {shown(genome.sizes)}{of}")
    mask = track_mask(track, job.details, genome, report)
    mask_path = path.with_suffix(".mask.tsv")
    mask_path.unlink(missing_ok=True)
    if len(mask):
        mask.to_csv(mask_path, sep="\t", index=False, lineterminator="\n")
        stats["masked_bp"] = int((mask["end"] - mask["start"]).to_numpy().sum())
    return {"entry": {"name": track.name} | track.describe() | report.facts | stats, "report": asdict(report)}
