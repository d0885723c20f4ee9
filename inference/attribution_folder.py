"""Attributions of peaks or regions as a folder: arrays that tfmodisco-lite reads, BED, bigWig, logos.

Row i of `sequences.npz` and of `attributions.npz` (key arr_0, (N, 4, W): bases, and hypothetical scores) is line i of
`regions.bed` and of `regions.tsv`. A region whose scores miss the tolerance of additivity is in none of them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..datasets_scripts.atomic import check_own_folder, finished_file, finished_folder
from ..datasets_scripts.bigwig import write_bigwig
from ..datasets_scripts.chrom_names import match_chroms
from ..datasets_scripts.fasta import N_CODE, Fasta
from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.unfinished import PART, unfinished_parts
from ..datasets_scripts.windows import peak_windows
from ..modeling import AtacForTrackPrediction
from .attribute import ADDITIVE, AttributionSettings, attribute_window, contributions, settings_as_dict
from .attribution_rules import tangermeme_module
from .fingerprints import model_fingerprint, source_fingerprint, table_fingerprint
from .load import Classifier, output_names
from .logos import save_logo
from .predict import Progress
from .provenance import library_versions
from .variants import GenomeBases

_FILES = {
    *(
        "sequences.npz",
        "attributions.npz",
        "regions.bed",
        "regions.tsv",
        "contributions.bw",
        "attribute.json",
        "logos/*.png",
        "logos/*.svg",
    ),
}
_CHUNK = 16  # regions of a part
_LOGO_REACH = 40  # bp on each side of the strongest base


def attribution_regions(
    source: GenomeStore | Fasta, regions: pd.DataFrame | None, *, max_regions: int | None = None
) -> pd.DataFrame:
    """Return the middles of what is attributed, in the order of the genome.

    Args:
        source: the genome; its merged summits are taken where no regions are given.
        regions: columns chrom, start, end; or None.
        max_regions: evenly spread over those there are; None for all.

    Returns:
        Columns chrom (the genome's name) and middle (bp).

    Raises:
        ValueError: no region, or one of a chromosome that the genome lacks.
    """
    if regions is None:
        if isinstance(source, Fasta) or source.peaks.empty:
            raise ValueError("there are no peaks to take: give the regions to attribute, as --regions BED")
        windows = peak_windows(source.peaks, length=2)
        found = pd.DataFrame({"chrom": windows["chrom"], "middle": windows["start"] + 1})
    else:
        found = pd.DataFrame({"chrom": regions["chrom"], "middle": (regions["start"] + regions["end"]) // 2})
    if found.empty:
        raise ValueError("there is nothing to attribute: no region was given")
    chroms = list(dict.fromkeys(found["chrom"].astype(str)))
    names = match_chroms(chroms, source.chrom_sizes, what="regions with the genome")
    if missing := [chrom for chrom in chroms if chrom not in names]:
        raise ValueError(f"the genome has no chromosome {missing[0]}, which a region lies on")
    found["chrom"] = [names[chrom] for chrom in found["chrom"].astype(str)]
    rank = {chrom: i for i, chrom in enumerate(source.chrom_sizes)}
    found = found.sort_values(["chrom", "middle"], key=lambda c: c.map(rank) if c.name == "chrom" else c)
    found = found.drop_duplicates().reset_index(drop=True)
    if max_regions is not None and len(found) > max_regions:
        found = found.iloc[np.linspace(0, len(found) - 1, max_regions).astype(int)].reset_index(drop=True)
    return found


def attribute_to_folder(
    model: AtacForTrackPrediction | Classifier,
    source: GenomeStore | Fasta,
    output: str | Path,
    *,
    regions: pd.DataFrame,
    settings: AttributionSettings,
    track: str | None = None,
    num_logos: int = 10,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Attribute windows around middles of regions; an interrupted run goes on with the parts that are there.

    Args:
        model: in evaluation mode, on the device to run on.
        source: the genome.
        output: folder to make.
        regions: from `attribution_regions`.
        settings: how.
        track: name of the track, of a classifier of the label; None for the first.
        num_logos: of the regions with the strongest contributions.
        overwrite: replace an existing folder.
        progress: told how many regions are done.

    Returns:
        What attribute.json holds: settings, `regions` (counts, `dropped` by reason), `largest_additivity_error`, the
        data's and the model's fingerprints, `versions`.

    Raises:
        FileExistsError: `output` exists and `overwrite` is not given, or it holds other files.
        ValueError: no such track or label, tangermeme is missing, or no region is left.
    """
    output = check_own_folder(output, overwrite, _FILES, marks={"attribute.json": '"method"'}, inputs=[source.path])
    names = output_names(model)
    track = names[0] if track is None else track
    if track not in names:
        kind = "track" if isinstance(model, AtacForTrackPrediction) else "label"
        raise ValueError(f"the model has no {kind} {track!r}; it has {', '.join(names)}")
    length = int(model.config.input_length or 0)
    kept = settings.kept(length)
    if settings.method != "input-x-gradient":
        try:
            tangermeme_module("ersatz")
        except ModuleNotFoundError as error:
            raise ValueError(f"{settings.method}: {error}") from None
    about = {
        **settings_as_dict(settings),
        "track": track,
        "model": model_fingerprint(model),
        "source": source_fingerprint(source),
    }
    depends = {**about, "regions": table_fingerprint(regions)}
    dropped = {"N or the chromosome's end": 0, "not additive": 0}
    with unfinished_parts(output, depends, overwrite=overwrite) as parts:
        if progress:
            progress(0, len(regions))
        genome = GenomeBases(source, regions["chrom"].unique())
        files = []
        for first in range(0, len(regions), _CHUNK):
            files.append(parts / f"{PART}{first // _CHUNK:06d}.npz")
            rows = regions.iloc[first : first + _CHUNK]
            if not files[-1].exists():
                _attribute_part(model, genome, rows, files[-1], settings, track=names.index(track))
            if progress:
                progress(first + len(rows), len(regions))
        found = {name: np.concatenate([np.load(file)[name] for file in files]) for name in _load_names(files[0])}
        dropped["N or the chromosome's end"] = int((~found["known"]).sum())
        within = ~(found["error"] >= settings.tolerance)
        dropped["not additive"] = int((found["known"] & ~within).sum())
        keep = found["known"] & within
        if not keep.any():
            raise ValueError(f"no region is left of {len(regions)}; left out: {dropped}")
        sequences = np.eye(5, 4, dtype=np.int8)[found["codes"][keep]].transpose(0, 2, 1)  # (N, 4, W)
        scores = found["hypothetical"][keep]
        width = kept.stop - kept.start
        starts = regions["middle"].to_numpy()[keep] - length // 2 + kept.start
        table = pd.DataFrame(
            {
                "chrom": regions["chrom"].to_numpy()[keep],
                "start": starts,
                "end": starts + width,
                "output": found["output"][keep],
                "additivity_error": found["error"][keep],
            }
        )
        additive = settings.method in ADDITIVE
        summary = {
            **about,
            "genome": source.genome if isinstance(source, GenomeStore) else None,
            "regions": {"asked": len(regions), "kept": int(keep.sum()), "dropped": dropped, "width": width},
            "largest_additivity_error": float(found["error"][keep].max()) if additive else None,
            "versions": library_versions(),
        }
        with finished_folder(output, overwrite, is_held=True) as folder:
            np.savez_compressed(folder / "sequences.npz", sequences)
            np.savez_compressed(folder / "attributions.npz", scores)
            table.to_csv(folder / "regions.tsv", sep="\t", index=False, float_format="%.6g")
            table[["chrom", "start", "end"]].to_csv(folder / "regions.bed", sep="\t", index=False, header=False)
            own = contributions(scores, sequences).astype(np.float32)
            sizes = {chrom: source.chrom_sizes[chrom] for chrom in sorted(source.chrom_sizes)}
            write_bigwig(folder / "contributions.bw", sizes, mean_where_covered(table, own), bin_size=1)
            _draw(folder / "logos", table, own, sequences, num_logos)
            (folder / "attribute.json").write_text(
                json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8"
            )
    return summary


def mean_where_covered(table: pd.DataFrame, values: np.ndarray) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield stretches of covered bases, by the chromosomes' names and ascending, with the mean over the regions there.

    Args:
        table: columns chrom, start, end of N regions of one width.
        values: (N, W) of each.

    Yields:
        Chromosome, start, (n,) float32.
    """
    for chrom, rows in sorted(table.groupby("chrom").indices.items()):
        order = rows[np.argsort(table["start"].to_numpy()[rows], kind="stable")]
        group: list[int] = []
        end = -1
        for row in [*order.tolist(), None]:
            if group and (row is None or int(table["start"].iloc[row]) > end):
                yield (str(chrom), *_mean_of(table, values, group))
                group = []
            if row is not None:
                group.append(row)
                end = max(end, int(table["end"].iloc[row])) if len(group) > 1 else int(table["end"].iloc[row])


def _mean_of(table: pd.DataFrame, values: np.ndarray, group: Iterable[int]) -> tuple[int, np.ndarray]:
    starts = [int(table["start"].iloc[row]) for row in group]
    total = np.zeros(max(starts) + values.shape[1] - min(starts))
    count = np.zeros(len(total))
    for row, start in zip(group, starts, strict=True):
        place = slice(start - min(starts), start - min(starts) + values.shape[1])
        total[place] += values[row]
        count[place] += 1
    return min(starts), (total / count).astype(np.float32)


def _attribute_part(
    model: AtacForTrackPrediction | Classifier,
    genome: GenomeBases,
    rows: pd.DataFrame,
    path: Path,
    settings: AttributionSettings,
    *,
    track: int,
) -> None:
    """Attribute some regions and write their arrays; those with N have `known` False."""
    length = int(model.config.input_length or 0)
    kept = settings.kept(length)
    width = kept.stop - kept.start
    arrays: Mapping[str, np.ndarray] = {
        "codes": np.full((len(rows), width), N_CODE, np.uint8),
        "hypothetical": np.zeros((len(rows), 4, width), np.float32),
        "output": np.full(len(rows), np.nan),
        "error": np.full(len(rows), np.nan),
        "known": np.zeros(len(rows), bool),
    }
    for i, (chrom, middle) in enumerate(zip(rows["chrom"], rows["middle"], strict=True)):
        start = int(middle) - length // 2
        codes = genome.fetch(str(chrom), start, start + length)
        if (codes == N_CODE).any():
            continue
        found = attribute_window(model, codes, settings, track=track)
        arrays["known"][i], arrays["codes"][i] = True, codes[kept]
        arrays["hypothetical"][i], arrays["output"][i], arrays["error"][i] = found
    with finished_file(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _load_names(path: Path) -> list[str]:
    with np.load(path) as arrays:
        return list(arrays)


def _draw(folder: Path, table: pd.DataFrame, own: np.ndarray, sequences: np.ndarray, count: int) -> None:
    """Draw the strongest stretch of the regions whose contributions are strongest, as PNG and SVG."""
    folder.mkdir()
    for rank, row in enumerate(np.argsort(-np.abs(own).sum(1), kind="stable")[:count]):
        smooth = np.convolve(np.abs(own[row]), np.ones(11), "same")
        middle = int(smooth.argmax())
        first, last = max(0, middle - _LOGO_REACH), min(own.shape[1], middle + _LOGO_REACH + 1)
        chrom, start = table["chrom"].iloc[row], int(table["start"].iloc[row])
        save_logo(
            folder / f"{rank + 1:02d}_{chrom}_{start + first}-{start + last}",
            {"contribution": sequences[row, :, first:last] * own[row, first:last]},
            first=start + first,
            xlabel=f"position on {chrom} (bp)",
            formats=("png", "svg"),
        )
