"""Predictions of a classifier: logits of windows, and a table of probabilities along a genome or of regions."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..datasets_scripts.atomic import check_output, finished_file, making
from ..datasets_scripts.fasta import Fasta
from ..datasets_scripts.loader import ahead
from ..datasets_scripts.store import GenomeStore
from .averaging import BOTH_STRANDS
from .load import Classifier, output_names
from .predict import COMPLEMENT, Progress, chromosomes, cut_windows, regions_by_chrom


def class_logits(
    model: Classifier,
    batches: Iterable[np.ndarray],
    *,
    device: torch.device | str | None = None,
    average_rc: bool = BOTH_STRANDS,
) -> Iterator[np.ndarray]:
    """Score windows, batch by batch.

    Args:
        model: in evaluation mode.
        batches: (B, L) uint8 codes each.
        device: where the model is moved first; None leaves it where it is.
        average_rc: average the logits of both strands.

    Yields:
        (B, num_labels) float32 logits.

    Raises:
        ValueError: the model is in training mode, or a logit is not finite.
    """
    if model.training:
        raise ValueError("`model` must be in evaluation mode; call model.eval() first")
    if device is not None:
        model.to(torch.device(device))  # pyright: ignore[reportArgumentType] - transformers' stub of `to`
    for codes in ahead(batches) if model.device.type == "cuda" else batches:
        logits = _logits(model, codes)
        if average_rc:
            logits = (logits + _logits(model, COMPLEMENT[codes[:, ::-1]])) / 2
        if not np.isfinite(logits).all():
            raise ValueError("the model predicted values that are not finite; its weights are damaged, train it again")
        yield logits


@dataclass(frozen=True)
class PredictedClasses:
    """What `classes_to_table` wrote: the file, its labels and the number of its rows."""

    path: Path
    labels: tuple[str, ...]
    num_windows: int


def classes_to_table(
    model: Classifier,
    source: GenomeStore | Fasta,
    path: str | Path,
    *,
    regions: pd.DataFrame | None = None,
    whole: bool = False,
    batch_size: int = 64,
    average_rc: bool = BOTH_STRANDS,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PredictedClasses:
    """Write the probability of every label: chrom, start, end and a column a label, tab-separated, with a header.

    A region is judged by the window around its middle, with N beyond the chromosome's ends. With `whole`, or without
    regions, they are covered by windows side by side instead, each a row.

    Args:
        model: in evaluation mode.
        source: where the bases come from.
        path: file to write.
        regions: columns chrom, start, end; None for the whole genome.
        whole: cover the regions.
        batch_size: windows at once.
        average_rc: average both strands' logits.
        overwrite: replace an existing file.
        progress: told how many windows are done.

    Raises:
        FileExistsError: `path` exists and `overwrite` is not given.
        ValueError: a region off the genome.
    """
    path = check_output(path, overwrite, inputs=[source.path])
    length, sizes = model.config.input_length, source.chrom_sizes
    wanted = regions_by_chrom(regions, sizes)
    if whole or regions is None:
        wanted = {chrom: _tiles(rows, length) for chrom, rows in wanted.items()}
    total = sum(map(len, wanted.values()))
    done, names = 0, output_names(model)
    if progress:
        progress(0, total)
    with making(path, overwrite), finished_file(path, overwrite=overwrite) as partial:
        partial.write_text("\t".join(["chrom", "start", "end", *names]) + "\n", encoding="utf-8")
        for chrom, codes in chromosomes(source, wanted):
            rows = wanted[chrom].reset_index(drop=True)
            starts = (rows["start"].to_numpy() + rows["end"].to_numpy()) // 2 - length // 2
            batches = (cut_windows(codes, starts[i : i + batch_size], length) for i in range(0, len(rows), batch_size))
            found = []
            for logits in class_logits(model, batches, average_rc=average_rc):
                found.append(model.probabilities(torch.from_numpy(logits)).numpy())
                done += len(logits)
                if progress:
                    progress(done, total)
            table = pd.concat([rows[["chrom", "start", "end"]], pd.DataFrame(np.concatenate(found))], axis=1)
            table.to_csv(partial, sep="\t", index=False, header=False, float_format="%.6g", mode="a")
    return PredictedClasses(path, tuple(names), total)


def _tiles(rows: pd.DataFrame, length: int) -> pd.DataFrame:
    """Return the tiles of `length` bp that cover regions of one chromosome; the last of a region may reach past it."""
    tiles = [
        (chrom, first, first + length)
        for chrom, start, end in zip(rows["chrom"], rows["start"], rows["end"], strict=True)
        for first in range(int(start), int(end), length)
    ]
    return pd.DataFrame(tiles, columns=["chrom", "start", "end"])


@torch.no_grad()
def _logits(model: Classifier, codes: np.ndarray) -> np.ndarray:
    inputs = torch.from_numpy(np.ascontiguousarray(codes)).to(model.device)
    return model(inputs).logits.float().cpu().numpy()
