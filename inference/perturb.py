"""Perturb elements of landscapes in a model, and measure what becomes of the genes around them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.landscape import LandscapeData
from ..modeling import ClasterForProfileRegression
from .gene_effects import gene_bins, score_genes, simpson
from .perturbation import Perturbation, element_bins

Centre = Literal["gene", "element"]
Measure = Literal["gene", "tss"]
_COLUMNS = ["element", "chrom", "start", "end", "gene", "tss", "distance", "track", "row", "base", "perturbed"]


@dataclass(frozen=True)
class Job:
    """An element in one landscape, and the genes measured there.

    Args:
        row: of the folder.
        element: name, chrom, start and end.
        bins: of the landscape, first and after the last.
        genes: rows of the table of genes with the bins they are measured in.
    """

    row: int
    element: tuple[str, str, int, int]
    bins: tuple[int, int]
    genes: list[tuple[dict[str, Any], tuple[int, int]]]


def plan_jobs(
    data: LandscapeData,
    elements: pd.DataFrame | None,
    genes: pd.DataFrame,
    *,
    rows: np.ndarray,
    measure: Measure = "gene",
    inclusive: bool = True,
    active_track: str | None = None,
    min_signal: float = 0.0,
) -> tuple[list[Job], dict[str, int]]:
    """Return what is to be predicted.

    Args:
        data: landscapes, centred on genes or on elements.
        elements: chrom, start, end, element: each is perturbed in every landscape of a gene that holds it whole. None
            where landscapes are centred on elements: each row is one, as RasmussenLab/CLASTER's enhancer-gene analysis.
        genes: gene, chrom, start, end, strand, tss. Of landscapes centred on genes those of `data` itself; of others
            all that lie wholly in what is predicted are measured.
        rows: of `data`.
        measure: as of `gene_bins`.
        inclusive: as of `element_bins`.
        active_track: name of the track that tells an active element, H3K27ac in the source.
        min_signal: least mean signal of it over an element's bins (10 in the source); 0 takes all.

    Returns:
        The jobs, and how many were left out by reason.
    """
    grid, jobs = data.grid, []
    dropped = dict.fromkeys(("element runs off its landscape", "no gene wholly predicted", "element is not active"), 0)
    active = data.input_tracks.index(active_track) if active_track is not None else None
    places = {"num_bins": grid.num_bins, "bin_size": grid.bin_size, "measure": measure}
    reach = grid.num_input_bins * grid.input_bin_size // 2
    by_chrom = {str(chrom): table.sort_values("tss") for chrom, table in genes.groupby("chrom")}
    elements_of = {} if elements is None else {str(chrom): table for chrom, table in elements.groupby("chrom")}
    for row in rows:
        centred: dict[str, Any] = data.genes.iloc[int(row)].to_dict()
        chrom, tss = str(centred["chrom"]), int(centred["tss"])
        origin = tss + grid.target_start
        if elements is None:
            near, around = [(centred["gene"], chrom, int(centred["start"]), int(centred["end"]))], by_chrom.get(chrom)
            measured = [] if around is None else _within(around, tss, grid.num_bins * grid.bin_size)
        elif chrom in elements_of:
            table = elements_of[chrom]
            table = table.loc[(table["end"] > tss - reach) & (table["start"] < tss + reach)]
            near = list(zip(*(table[name] for name in ("element", "chrom", "start", "end")), strict=True))
            measured = [centred]
        else:
            continue
        bins_of = [
            (gene, gene_bins(gene["start"], gene["end"], gene["tss"], gene["strand"], origin=origin, **places))
            for gene in measured
        ]
        known = [(gene, bins) for gene, bins in bins_of if bins is not None]
        for element in near:
            bins = element_bins(
                element[2],
                element[3],
                tss,
                num_bins=grid.num_input_bins,
                bin_size=grid.input_bin_size,
                inclusive=inclusive,
            )
            if bins is None:
                dropped["element runs off its landscape"] += 1
            elif not known:
                dropped["no gene wholly predicted"] += 1
            elif active is not None and data.landscapes[int(row), active, bins[0] : bins[1]].mean() <= min_signal:
                dropped["element is not active"] += 1
            else:
                jobs.append(Job(int(row), element, bins, known))
    return jobs, {why: number for why, number in dropped.items() if number}


def _within(genes: pd.DataFrame, tss: int, span: int) -> list[dict[str, Any]]:
    """Return the genes whose start site lies within half of `span`."""
    near = genes["tss"].to_numpy()
    low, high = np.searchsorted(near, [tss - span // 2, tss + span // 2 + 1])
    return genes.iloc[low:high].to_dict("records")


def predict_profiles(
    model: ClasterForProfileRegression, data: LandscapeData, rows: list[int], landscapes: np.ndarray
) -> np.ndarray:
    """Return predictions (B, T, N) in raw units for landscapes (B, R, P), with the contact maps of `rows`."""
    inputs = {"inputs": torch.from_numpy(np.ascontiguousarray(landscapes, np.float32))}
    if model.config.structure is not None:
        if data.contacts is None:
            raise ValueError(f"the model reads contact maps, which {data.path} does not have; build it with --contacts")
        inputs["contact_map"] = torch.from_numpy(np.array(data.contacts[rows], np.float32))
    with torch.inference_mode():
        output = model(**{name: tensor.to(model.device) for name, tensor in inputs.items()})
    return output.predictions.float().cpu().numpy()


def perturb(
    model: ClasterForProfileRegression,
    data: LandscapeData,
    jobs: list[Job],
    perturbation: Perturbation,
    *,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Return the effect of each job on each of its genes, with `score_genes`' columns.

    Args:
        model: in evaluation mode; it reads landscapes of `data`'s shape.
        data: the landscapes.
        jobs: from `plan_jobs`.
        perturbation: what is done.
        batch_size: landscapes at a time.
        progress: told jobs done and in all.

    Raises:
        ValueError: the model reads other landscapes, or no job.
    """
    check_shape(model, data)
    if not jobs:
        raise ValueError(
            "no element lies wholly in a landscape with a gene to measure; give others, or wider landscapes"
        )
    grid, names = data.grid, data.input_tracks
    base: dict[int, np.ndarray] = {}
    unique = sorted({job.row for job in jobs})
    for i in range(0, len(unique), batch_size):
        rows = unique[i : i + batch_size]
        base.update(zip(rows, predict_profiles(model, data, rows, data.landscapes[rows]), strict=True))
    records = []
    for i in range(0, len(jobs), batch_size):
        part = jobs[i : i + batch_size]
        changed = [
            perturbation.apply(data.landscapes[job.row], *job.bins, names=names, bin_size=grid.input_bin_size)
            for job in part
        ]
        profiles = predict_profiles(model, data, [job.row for job in part], np.stack(changed))
        for job, profile in zip(part, profiles, strict=True):
            name, chrom, start, end = job.element
            for gene, (first, stop) in job.genes:
                distance = int(gene["tss"]) - (start + end) // 2
                for t, track in enumerate(model.config.track_names or ()):
                    areas = [simpson(side[t, first:stop].astype(np.float64)) for side in (base[job.row], profile)]
                    place = (name, chrom, start, end, gene["gene"], int(gene["tss"]), distance)
                    records.append((*place, track, job.row, *areas))
        if progress is not None:
            progress(min(i + batch_size, len(jobs)), len(jobs))
    return score_genes(pd.DataFrame(records, columns=_COLUMNS))


def check_shape(model: ClasterForProfileRegression, data: LandscapeData) -> None:
    """Refuse landscapes that a model was not made for."""
    config, grid = model.config, data.grid
    for name, made, found in (
        ("input_tracks", list(config.input_tracks), data.input_tracks),
        ("num_input_bins", config.num_input_bins, grid.num_input_bins),
        ("input_bin_size", config.input_bin_size, grid.input_bin_size),
        ("num_bins", config.num_bins, grid.num_bins),
        ("bin_size", config.bin_size, grid.bin_size),
    ):
        if made != found:
            raise ValueError(
                f"the model has {name} {made!r} and {data.path} has {found!r}; build the data with the model's"
            )
