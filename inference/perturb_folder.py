"""Perturbations as a folder: the effects, their summary, and pictures before and after."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.atomic import check_own_folder, finished_folder
from ..datasets_scripts.bed import interval_rows
from ..datasets_scripts.chrom_names import lost_of_table, match_chroms
from ..datasets_scripts.genes import read_genes
from ..datasets_scripts.landscape import LandscapeData
from ..modeling import ClasterForProfileRegression
from .crispri import compare, match_pairs, read_pairs
from .gene_effects import decay_of_effects
from .landscape_figures import before_and_after
from .load import load_landscape_model
from .perturb import Job, Measure, perturb, plan_jobs, predict_profiles
from .perturbation import Perturbation
from .provenance import library_versions

_FILES = ("effects.tsv", "decay.tsv", "pairs.tsv", "summary.json", "effect_*.png")
_STEPS = 10  # of the decay over distance


@dataclass(frozen=True)
class PerturbOptions:
    """What is perturbed and measured; fields as of `chromhub perturb`.

    Args:
        elements: BED; None where the landscapes are centred on elements, and then
        genes: those to measure.
        measure: of a gene.
        inclusive: with the bin an element ends in.
        active_track: that tells an active element.
        min_signal: its least mean.
        pairs: table of CRISPRi.
        part: of the split, or "all".
        figures: of the strongest effects.
        batch_size: landscapes at a time.
    """

    elements: Path | None = None
    genes: Path | None = None
    measure: Measure = "gene"
    inclusive: bool = True
    active_track: str | None = None
    min_signal: float = 0.0
    pairs: Path | None = None
    part: str = "test"
    figures: int = 4
    batch_size: int = 32


def perturb_run(
    run: str | Path,
    folder: str | Path,
    output: str | Path,
    perturbation: Perturbation,
    options: PerturbOptions,
    *,
    device: torch.device | str = "cpu",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Perturb, and write effects.tsv, summary.json, decay.tsv, pairs.tsv (with CRISPRi) and pictures.

    Args:
        run: folder or Hub id of a landscape model.
        folder: of the landscapes.
        output: folder to make; it appears when it is complete.
        perturbation: what is done.
        options: to what.
        device: to compute on.
        overwrite: replace an existing folder.
        progress: told jobs done and in all, first 0 when everything has been checked.

    Returns:
        What summary.json holds.

    Raises:
        FileNotFoundError: an input does not exist.
        FileExistsError: `output` exists and `overwrite` is not given, or it holds other files.
        ValueError: inputs do not fit each other.
    """
    check_own_folder(output, overwrite, _FILES, marks={"summary.json": ""})
    if (options.elements is None) == (options.genes is None):
        raise ValueError(
            "give --elements with landscapes of genes, or --genes with landscapes centred on elements, one of the two"
        )
    data = LandscapeData.open(folder)
    model = load_landscape_model(run)
    model.to(device)  # pyright: ignore[reportArgumentType] - transformers' stub of `to`
    rows = np.arange(len(data.genes)) if options.part == "all" else data.rows(options.part)  # pyright: ignore[reportArgumentType]
    if perturbation.kind in ("p1", "p2", "zero") or perturbation.tracks:
        perturbation.rows(data.input_tracks)  # refuses tracks that are not there before anything is read
    if options.active_track is not None and options.active_track not in data.input_tracks:
        raise ValueError(f"the landscape has no track {options.active_track!r}; it has {', '.join(data.input_tracks)}")
    lost: list[str] = []
    elements = None if options.elements is None else _read_elements(options.elements, data, lost)
    genes = data.genes if options.genes is None else _named_as(read_genes(options.genes)[0], data, options.genes, lost)
    pairs = None if options.pairs is None else _named_as(read_pairs(options.pairs), data, options.pairs, lost)
    jobs, dropped = plan_jobs(
        data,
        elements,
        genes,
        rows=rows,
        measure=options.measure,
        inclusive=options.inclusive,
        active_track=options.active_track,
        min_signal=options.min_signal,
    )
    if progress is not None:
        progress(0, len(jobs))
    effects = perturb(model, data, jobs, perturbation, batch_size=options.batch_size, progress=progress)
    closest = effects.loc[effects["closest"]]
    summary: dict[str, Any] = {
        "model": str(run),
        "data": {"name": data.path.resolve().name, "fingerprint": data.fingerprint, "genome": data.genome},
        "perturbation": asdict(perturbation),
        "part": options.part,
        "measure": options.measure,
        "elements": len(set(effects["element"])),
        "pairs": len(effects),
        "dropped": dropped,
        "closest_is_primary": {"count": int(closest["primary"].to_numpy().sum()), "elements": len(closest)},
        "versions": library_versions(),
    }
    if lost:
        summary["warnings"] = lost
    matched = None
    if pairs is not None:
        matched, missing = match_pairs(effects, pairs)
        if matched.empty:
            raise ValueError(
                f"no pair of {options.pairs} was perturbed; do its genes and elements lie in the {options.part} part?"
            )
        summary["crispri"] = {str(track): compare(table) for track, table in matched.groupby("track", sort=False)}
        summary["pairs_without_an_effect"] = missing
    with finished_folder(output, overwrite) as made:
        effects.to_csv(made / "effects.tsv", sep="\t", index=False, float_format="%.6g")
        reach = effects["distance"].abs().max() + 1
        decay = decay_of_effects(effects, np.linspace(0, reach, _STEPS + 1))
        decay.to_csv(made / "decay.tsv", sep="\t", index=False, float_format="%.6g")
        if matched is not None:
            matched.to_csv(made / "pairs.tsv", sep="\t", index=False, float_format="%.6g")
        (made / "summary.json").write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        _draw(made, model, data, jobs, perturbation, effects, options.figures)
    return summary


def _read_elements(path: Path, data: LandscapeData, lost: list[str]) -> pd.DataFrame:
    """Return elements with a name each: column 4 of the BED, or their place."""
    rows = [
        (chrom, start, end, columns[3] if len(columns) > 3 and columns[3] != "." else f"{chrom}:{start}-{end}")
        for chrom, start, end, columns, _ in interval_rows(path)
    ]
    if not rows:
        raise ValueError(f"{path} holds no element: give a BED with elements to perturb")
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "element"])
    if repeated := [name for name, number in Counter(table["element"]).items() if number > 1]:
        raise ValueError(f"{path}: names of elements must differ, got {repeated[0]!r} twice")
    return _named_as(table, data, path, lost)


def _named_as(table: pd.DataFrame, data: LandscapeData, path: Path, lost: list[str]) -> pd.DataFrame:
    """Return a table with the chromosome names of the landscapes; others stay and match nothing.

    Where these are most of the rows, a sentence is added to `lost`.
    """
    names = match_chroms(table["chrom"], data.chrom_sizes, what=f"{path} with {data.path}")
    text = lost_of_table(str(path), list(table["chrom"]), names, unit="rows")
    lost += [text] if text else []
    return table.assign(chrom=[names.get(chrom, chrom) for chrom in table["chrom"]])


def _draw(
    made: Path,
    model: ClasterForProfileRegression,
    data: LandscapeData,
    jobs: list[Job],
    perturbation: Perturbation,
    effects: pd.DataFrame,
    count: int,
) -> None:
    """Draw the strongest effects, each of another element."""
    strongest = effects.sort_values("delta", ascending=False).drop_duplicates("element").head(count)
    by_place = {(job.row, job.element[0]): job for job in jobs}
    for i, effect in enumerate(strongest.to_dict("records")):
        job = by_place[(int(effect["row"]), str(effect["element"]))]
        before = np.array(data.landscapes[job.row])
        after = perturbation.apply(before, *job.bins, names=data.input_tracks, bin_size=data.grid.input_bin_size)
        profiles = predict_profiles(model, data, [job.row, job.row], np.stack([before, after]))
        change = f"{effect['base']:.3g} to {effect['perturbed']:.3g}"
        title = f"{effect['element']} and {effect['gene']}: {perturbation.kind}, {change}"
        before_and_after(data, job.row, before, after, profiles, made / f"effect_{i + 1}.png", title=title)
