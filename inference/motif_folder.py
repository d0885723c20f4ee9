"""The motifs of an attribution folder as a folder: tables, logos, BED of their places, HTML."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..datasets_scripts.atomic import check_own_folder, finished_folder
from ..datasets_scripts.fasta import encode
from .logos import save_logo
from .marginalize import TN5
from .meme import information, informative_consensus, write_motifs
from .motif_database import known_motifs
from .motif_discovery import FoundMotif, Match, discover, find_matches, seqlet_bed, write_report
from .report import Figure, Section, Table
from .report import write_report as write_html

_FILES = {
    *("motifs.json", "motifs.tsv", "motifs.meme", "seqlets.bed", "modisco.h5", "report.html"),
    *("logos/*.png", "logos/*.svg", "report/**"),
}
_ALIKE = 0.05  # largest E-value of a match that is named as one


def motifs_to_folder(
    attributions: str | Path,
    output: str | Path,
    *,
    database: str | Path,
    window: int = 500,
    max_seqlets: int = 100_000,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Find motifs in what `chromhub attribute` wrote and compare them with a MEME file.

    Args:
        attributions: folder of `chromhub attribute`.
        output: folder to make.
        database: MEME file, or "jaspar:GROUP" as of `known_motifs`; what Tn5 likes to cut is compared with, too.
        window: bp in the middle of the regions that are read; no more than were attributed.
        max_seqlets: of each sign.
        overwrite: replace an existing folder.

    Returns:
        What motifs.json holds: `regions`, `seqlets`, `tn5_share` (of the seqlets, in motifs that look like Tn5's own
        sequences) and for each of `motifs` its name, consensus, seqlets, share of all
        seqlets, regions with one, and matches.

    Raises:
        FileNotFoundError: no such folder, or a file of it is missing.
        FileExistsError: `output` exists and `overwrite` is not given, or it holds other files.
        ValueError: tfmodisco-lite is missing, or the files do not go together.
    """
    attributions, output = (
        Path(attributions),
        check_own_folder(output, overwrite, _FILES, marks={"motifs.json": ""}, inputs=[attributions, database]),
    )
    for name in ("sequences.npz", "attributions.npz", "regions.bed"):
        if not (attributions / name).is_file():
            raise FileNotFoundError(f"{attributions} has no {name}; give the folder that `chromhub attribute` made")
    name, motifs = known_motifs(database)
    known = {**motifs, **{tn5: np.eye(5, 4)[encode(bases)].T for tn5, bases in TN5.items()}}
    sequences, scores = (np.load(attributions / f"{name}.npz")["arr_0"] for name in ("sequences", "attributions"))
    names = ["chrom", "start", "end"]
    regions = pd.read_csv(
        attributions / "regions.bed", sep="\t", header=None, names=names, dtype={"chrom": str}, keep_default_na=False
    )
    if not sequences.shape == scores.shape or len(regions) != len(sequences):
        raise ValueError(
            f"{attributions}: regions.bed and the arrays must have one row a region, got {len(regions)}, "
            f"{sequences.shape} and {scores.shape}; run `chromhub attribute` again"
        )
    with finished_folder(output, overwrite) as folder:
        found = discover(sequences, scores, window=window, max_seqlets=max_seqlets, results=folder / "modisco.h5")
        cores = [motif.probabilities[:, motif.core] for motif in found]
        matches = find_matches(cores, known)
        summary = summarise(found, matches, num_regions=len(regions), database=name)
        (folder / "motifs.json").write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        _table(summary).to_csv(folder / "motifs.tsv", sep="\t", index=False, float_format="%.4g")
        write_motifs(folder / "motifs.meme", {motif.name: core for motif, core in zip(found, cores, strict=True)})
        seqlet_bed(found, regions).to_csv(folder / "seqlets.bed", sep="\t", index=False, header=False)
        (folder / "logos").mkdir()
        for motif in found:
            rows = {
                "contribution": motif.contributions[:, motif.core],
                "bits": information(motif.probabilities[:, motif.core]),
            }
            save_logo(folder / "logos" / f"{motif.name}.png", rows, formats=("png", "svg"), first=1)
        if found:
            with tempfile.TemporaryDirectory() as temporary:
                meme = Path(temporary) / "known.meme"
                write_motifs(meme, motifs)
                write_report(folder / "modisco.h5", folder / "report", database=meme)
        _html(folder, summary)
    return summary


def summarise(
    motifs: list[FoundMotif], matches: list[list[Match]], *, num_regions: int, database: str
) -> dict[str, Any]:
    """Return the numbers of the motifs found."""
    total = sum(len(motif.seqlets) for motif in motifs)
    return {
        "regions": num_regions,
        "seqlets": total,
        "database": database,
        "tn5_share": sum(
            len(motif.seqlets) / total
            for motif, alike in zip(motifs, matches, strict=True)
            if alike and alike[0].name in TN5 and alike[0].e_value <= _ALIKE
        ),
        "motifs": [
            {
                "name": motif.name,
                "consensus": informative_consensus(motif.probabilities[:, motif.core]),
                "seqlets": len(motif.seqlets),
                "share": len(motif.seqlets) / total,
                "regions": len(set(motif.seqlets["row"].tolist())),
                "mean_contribution": float(motif.contributions.sum()),
                "matches": [vars(match) for match in alike],
            }
            for motif, alike in zip(motifs, matches, strict=True)
        ],
    }


def _table(summary: dict[str, Any]) -> pd.DataFrame:
    """Return a row a motif with its best match."""
    rows = [
        {
            **{key: motif[key] for key in ("name", "consensus", "seqlets", "share", "regions", "mean_contribution")},
            "match": motif["matches"][0]["name"],
            "p_value": motif["matches"][0]["p_value"],
            "e_value": motif["matches"][0]["e_value"],
        }
        for motif in summary["motifs"]
    ]
    columns = ["name", "consensus", "seqlets", "share", "regions", "mean_contribution", "match", "p_value", "e_value"]
    return pd.DataFrame(rows, columns=columns)


def _html(folder: Path, summary: dict[str, Any]) -> None:
    """Write report.html: a table and the logo of each motif."""
    rows = [
        [
            motif["name"],
            motif["consensus"],
            f"{motif['seqlets']:,}",
            f"{motif['share']:.1%}",
            motif["matches"][0]["name"],
            f"{motif['matches'][0]['e_value']:.1g}",
        ]
        for motif in summary["motifs"]
    ]
    named = sum(motif["matches"][0]["e_value"] <= _ALIKE for motif in summary["motifs"])
    write_html(
        folder / "report.html",
        title="Motifs in the attributions",
        lead=(
            f"{len(rows)} motifs in {summary['seqlets']:,} places of {summary['regions']:,} regions; {named} look like "
            f"a motif of {summary['database']} (TOMTOM, E-value of {_ALIKE} at most)."
        ),
        sections=[
            Section(
                "What was found",
                table=Table(["motif", "consensus", "places", "share", "looks like", "E-value"], rows),
                paragraphs=() if rows else ("No motif has enough places: attribute more regions.",),
            ),
            Section(
                "Logos",
                figures=[
                    Figure(
                        folder / "logos" / f"{motif['name']}.png",
                        f"{motif['name']}: mean contribution of each base, and information of the bases in its places",
                    )
                    for motif in summary["motifs"]
                ],
            ),
        ],
        footer="Made by `chromhub motifs` with tfmodisco-lite.",
    )
