"""Predicted stretches of chromosomes on their way to bigWig files, which want them sorted by name.

Each part holds a stretch of one chromosome as an .npz: `starts` (R,) bp and `lengths` (R,) bins of its runs, and one
array of all their values for each track, so that a track is read without the others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..datasets_scripts.atomic import finished_file


def write_track_part(path: Path, runs: Sequence[tuple[int, np.ndarray]]) -> None:
    """Write the runs of a stretch: where each starts in bp, and its (T, n) float32 values, NaN for gaps."""
    values = np.concatenate([run for _, run in runs], axis=1)
    tracks = {f"track_{i}": row for i, row in enumerate(values)}
    starts, lengths = np.array([start for start, _ in runs]), np.array([run.shape[1] for _, run in runs])
    with finished_file(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, starts=starts, lengths=lengths, **tracks)


def read_track_parts(parts: Mapping[str, Iterable[Path]], track: int) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield chromosome, start and values of each run of a track, by the chromosomes' names and in the parts' order."""
    for chrom in sorted(parts):
        for path in parts[chrom]:
            with np.load(path) as arrays:
                values = np.split(arrays[f"track_{track}"], np.cumsum(arrays["lengths"])[:-1])
                yield from ((chrom, int(start), run) for start, run in zip(arrays["starts"], values, strict=True))


def count_values(parts: Mapping[str, Iterable[Path]]) -> dict[str, int]:
    """Return how many bins of the first track have a value, by chromosome; those without one are left out."""
    counts: dict[str, int] = {}
    for chrom, _, values in read_track_parts(parts, 0):
        counts[chrom] = counts.get(chrom, 0) + int(np.count_nonzero(~np.isnan(values)))
    return {chrom: count for chrom, count in counts.items() if count}
