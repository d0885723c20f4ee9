"""Motifs in attributions, by tfmodisco-lite, and what they look like in a database, by TOMTOM.

The settings are those of Grover et al. (`-n 100000 -w 500`) over the defaults of `modisco motifs`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_MISSING = 'motif discovery needs tfmodisco-lite: pip install "chromhub[interpret]"'


@dataclass(frozen=True)
class FoundMotif:
    """A motif and where it is.

    Attributes:
        name: "pos_0", "neg_1": its sign and number.
        probabilities: (4, length) of the bases in its seqlets.
        contributions: (4, length), their mean contribution scores.
        seqlets: columns row (of the arrays), start, end (in the window read), strand.
    """

    name: str
    probabilities: np.ndarray
    contributions: np.ndarray
    seqlets: pd.DataFrame

    @property
    def core(self) -> slice:
        """Positions with at least 0.3 of the strongest position's contribution, as `modisco report` trims."""
        strength = np.abs(self.contributions).sum(axis=0)
        strong = np.flatnonzero(strength >= 0.3 * strength.max())
        return slice(int(strong[0]), int(strong[-1]) + 1)


@dataclass(frozen=True)
class Match:
    """A database motif that looks alike: `p_value` of TOMTOM, `e_value` that times the motifs compared with."""

    name: str
    p_value: float
    e_value: float


def discover(
    sequences: np.ndarray,
    hypothetical: np.ndarray,
    *,
    window: int = 500,
    max_seqlets: int = 100_000,
    results: str | Path | None = None,
) -> list[FoundMotif]:
    """Run tfmodisco-lite.

    Args:
        sequences: (N, 4, W) one-hot.
        hypothetical: (N, 4, W) scores.
        window: bp in the middle that are read.
        max_seqlets: of each sign.
        results: file for what `modisco` itself writes, which `modisco report` reads.

    Returns:
        Motifs with positive contributions and then those with negative ones, each by the number of seqlets.

    Raises:
        ValueError: tfmodisco-lite is not installed, or a window longer than the arrays.
    """
    try:
        from modiscolite import io, tfmodisco  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise ValueError(_MISSING) from None
    width = sequences.shape[2]
    if not 0 < window <= width:
        raise ValueError(f"the window must be within the {width} bp that were attributed, got {window} bp")
    first = width // 2 - window // 2
    cut = slice(first, first + window)
    one_hot, scores = (
        np.ascontiguousarray(side[:, :, cut].transpose(0, 2, 1), np.float32) for side in (sequences, hypothetical)
    )
    by_sign: tuple[Any, Any] = tfmodisco.TFMoDISco(
        one_hot=one_hot,
        hypothetical_contribs=scores,
        max_seqlets_per_metacluster=max_seqlets,
        sliding_window_size=20,
        flank_size=5,
        trim_to_window_size=30,
        initial_flank_to_add=10,
        final_flank_to_add=0,
        target_seqlet_fdr=0.05,
        n_leiden_runs=2,
        verbose=False,
    )
    if results is not None:
        save: Any = io.save_hdf5  # it says PathLike, and takes a string
        save(str(results), *by_sign, window)
    found = []
    for sign, patterns in zip(("pos", "neg"), by_sign, strict=True):
        for number, pattern in enumerate([] if patterns is None else patterns):
            rows: list[tuple[int, int, int, str]] = [
                (s.example_idx, s.start + first, s.end + first, "-" if s.is_revcomp else "+") for s in pattern.seqlets
            ]
            found.append(
                FoundMotif(
                    name=f"{sign}_{number}",
                    probabilities=_normalised(np.asarray(pattern.sequence).T),
                    contributions=np.asarray(pattern.contrib_scores).T,
                    seqlets=pd.DataFrame(rows, columns=["row", "start", "end", "strand"]),
                )
            )
    return found


def write_report(results: Path, folder: Path, *, database: Path, top: int = 3) -> None:
    """Run `modisco report` on its own file: motifs.html with logos and matches.

    Args:
        results: written by `discover`.
        folder: to make.
        database: MEME file.
        top: matches of each motif.
    """
    try:
        from modiscolite import report  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise ValueError(_MISSING) from None
    options: dict[str, Any] = {"top_n_matches": top, "is_writing_tomtom_matrix": False, "ttl": True}
    write: Any = report.report_motifs  # likewise
    write(results, str(folder), "./", str(database), **options)


def find_matches(
    motifs: Sequence[np.ndarray], database: Mapping[str, np.ndarray], *, top: int = 3
) -> list[list[Match]]:
    """Compare motifs with a database, both strands.

    Args:
        motifs: (4, length) probabilities each.
        database: the same, by name.
        top: matches of each, the likeliest first.

    Raises:
        ValueError: memelite, which tfmodisco-lite and tangermeme bring, is not installed.
    """
    if not motifs:
        return []
    try:
        from memelite import tomtom
    except ModuleNotFoundError:
        raise ValueError('comparing motifs needs memelite: pip install "chromhub[interpret]"') from None
    names = list(database)
    p_values = np.asarray(tomtom(list(motifs), list(database.values()), n_jobs=1)[0], np.float64)
    return [
        [Match(names[i], float(row[i]), float(row[i]) * len(names)) for i in np.argsort(row, kind="stable")[:top]]
        for row in p_values
    ]


def seqlet_bed(motifs: Sequence[FoundMotif], regions: pd.DataFrame) -> pd.DataFrame:
    """Return the seqlets on the genome, in its order.

    Args:
        motifs: found.
        regions: columns chrom, start of the rows of the arrays.

    Returns:
        Columns chrom, start, end, name (of the motif), score (0), strand.
    """
    tables = []
    for motif in motifs:
        rows = motif.seqlets["row"].to_numpy()
        starts = regions["start"].to_numpy()[rows]
        tables.append(
            pd.DataFrame(
                {
                    "chrom": regions["chrom"].to_numpy()[rows],
                    "start": starts + motif.seqlets["start"].to_numpy(),
                    "end": starts + motif.seqlets["end"].to_numpy(),
                    "name": motif.name,
                    "score": 0,
                    "strand": motif.seqlets["strand"].to_numpy(),
                }
            )
        )
    if not tables:
        return pd.DataFrame(columns=["chrom", "start", "end", "name", "score", "strand"])
    rank = {chrom: i for i, chrom in enumerate(dict.fromkeys(regions["chrom"]))}
    table = pd.concat(tables, ignore_index=True)
    return table.sort_values(["chrom", "start"], key=lambda c: c.map(rank) if c.name == "chrom" else c, kind="stable")


def _normalised(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.maximum(matrix.sum(axis=0), 1e-12)
