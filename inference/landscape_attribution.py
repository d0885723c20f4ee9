"""What a landscape model looks at: integrated gradients, averaged over predicted positions.

As in RasmussenLab/CLASTER: the baseline is the mean of background genes, for landscape and contact map jointly; each
predicted bin is attributed by itself, its map is laid so that the bin is in the middle, and maps are averaged.
Sundararajan, Taly and Yan 2017, arXiv:1703.01365, by the midpoint rule.

Shapes: R rows, P positions, T tracks predicted, N bins.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..datasets_scripts.landscape import LandscapeData
from ..modeling import ClasterForProfileRegression
from .perturb import check_shape

_BATCH = 64  # rows in memory at a time, of the baseline


@dataclass(frozen=True)
class LandscapeAttribution:
    """Maps around a predicted bin, averaged over genes and bins.

    Args:
        landscape: (T, R, 2 D + 1) mean of absolute attributions, the predicted bin in the middle, in input bins.
        landscape_signed: likewise, of the attributions themselves.
        contacts: (T, rows, positions) likewise of a contact map, cut to what all predicted bins cover; or None.
        contacts_signed: likewise.
        additivity_error: largest |sum of a map - difference of outputs| over maps, by the largest difference.
        num_maps: averaged.
    """

    landscape: np.ndarray
    landscape_signed: np.ndarray
    contacts: np.ndarray | None
    contacts_signed: np.ndarray | None
    additivity_error: float
    num_maps: int


def mean_inputs(data: LandscapeData, rows: np.ndarray, *, contacts: bool) -> list[np.ndarray]:
    """Return the mean landscape (R, P) of rows, and the mean contact map where it is asked for; float32."""
    found = []
    for array in (data.landscapes, *([data.contacts] if contacts else [])):
        if array is None:
            raise ValueError(f"the model reads contact maps, which {data.path} does not have; build it with --contacts")
        total = np.zeros(array.shape[1:])
        for i in range(0, len(rows), _BATCH):
            total += np.asarray(array[rows[i : i + _BATCH]], np.float64).sum(0)
        found.append((total / len(rows)).astype(np.float32))
    return found


def integrated_gradients(
    model: ClasterForProfileRegression,
    inputs: list[Tensor],
    baseline: list[Tensor],
    places: list[tuple[int, int]],
    *,
    steps: int = 64,
) -> tuple[list[Tensor], Tensor]:
    """Attribute standardised outputs of one gene to its inputs.

    Args:
        model: in evaluation mode.
        inputs: landscape (R, P) and, for a model with such a branch, contact map.
        baseline: likewise.
        places: (track, bin) of each output.
        steps: of the path from baseline to inputs.

    Returns:
        For each input (places, *shape), and the outputs' differences from those of the baseline, (places,).
    """
    share = ((torch.arange(steps, device=inputs[0].device) + 0.5) / steps).reshape(-1, 1, 1)
    path = [(b + share * (x - b)).requires_grad_() for x, b in zip(inputs, baseline, strict=True)]
    logits = model(*path).logits
    found = []
    for i, (track, place) in enumerate(places):
        gradients = torch.autograd.grad(logits[:, track, place].sum(), path, retain_graph=i + 1 < len(places))
        found.append([gradient.mean(0) for gradient in gradients])
    with torch.no_grad():
        ends = model(*(torch.stack(pair) for pair in zip(inputs, baseline, strict=True))).logits
    maps = [torch.stack([gradients[k] for gradients in found]) * (inputs[k] - baseline[k]) for k in range(len(inputs))]
    return maps, torch.stack([ends[0, track, place] - ends[1, track, place] for track, place in places])


def attribute_landscape(
    model: ClasterForProfileRegression,
    data: LandscapeData,
    rows: np.ndarray,
    *,
    background: np.ndarray,
    every: int = 10,
    steps: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> LandscapeAttribution:
    """Average attributions over genes and predicted bins.

    Args:
        model: in evaluation mode.
        data: landscapes of the model's shape.
        rows: genes.
        background: rows whose mean is the baseline (256 in the source).
        every: of the predicted bins each so-manieth is attributed, counted from the central one; 1 takes all.
        steps: of integrated gradients (64 in the source).
        progress: told genes done and in all.

    Raises:
        ValueError: the model reads other landscapes, or no gene.
    """
    check_shape(model, data)
    if not len(rows) or not len(background):
        raise ValueError(f"no gene of {data.path} to attribute or to take the baseline from; choose another part")
    grid, config = data.grid, model.config
    places, offsets = _places(data, config.num_tracks, every)
    contacts = config.structure is not None
    baseline = [torch.from_numpy(mean).to(model.device) for mean in mean_inputs(data, background, contacts=contacts)]
    shifts = [np.round(offsets / grid.input_bin_size).astype(int)]
    if contacts:
        described = data.description["contacts"]
        # a rotated map's positions lie bin_size / sqrt(2) apart
        scale = described["bin_size"] / (math.sqrt(2) if described["form"] == "rotated" else 1)
        shifts.append(np.round(offsets / scale).astype(int))
    square = [False, data.contact_form == "square"]
    sums: list[list[np.ndarray]] = []
    error, largest = 0.0, 1e-12
    for done, row in enumerate(rows):
        arrays = [data.landscapes[row], *([data.contacts[row]] if contacts and data.contacts is not None else [])]
        tensors = [torch.from_numpy(np.array(array, np.float32)).to(model.device) for array in arrays]
        maps, change = integrated_gradients(model, tensors, baseline, places, steps=steps)
        total = sum(part.flatten(1).sum(1) for part in maps)
        error = max(error, float((total - change).abs().max()))
        largest = max(largest, float(change.abs().max()))
        for k, part in enumerate(maps):
            values = part.cpu().numpy().astype(np.float64).reshape(config.num_tracks, -1, *part.shape[1:])
            aligned = [_centred(values[:, i], shift, shifts[k], square[k]) for i, shift in enumerate(shifts[k])]
            both = [sum(np.abs(array) for array in aligned), sum(aligned)]
            if done == 0:
                sums.append([np.zeros_like(array) for array in both])
            for kept, array in zip(sums[k], both, strict=True):
                kept += array
        if progress:
            progress(done + 1, len(rows))
    count = len(rows) * len(offsets)
    means = [[(array / count).astype(np.float32) for array in pair] for pair in sums]
    return LandscapeAttribution(
        means[0][0], means[0][1], means[1][0] if contacts else None, means[1][1] if contacts else None,
        error / largest, count,
    )  # fmt: skip


def decay_of_attribution(maps: np.ndarray, names: list[str], bin_size: int) -> pd.DataFrame:
    """Return how attribution falls with the distance from the predicted bin, both sides together.

    Args:
        maps: (R, 2 D + 1) mean absolute attributions of one predicted track.
        names: of the rows.
        bin_size: bp.

    Returns:
        Columns track, distance (bp) and share, of the largest value of all rows.
    """
    middle = maps.shape[1] // 2
    sides = (maps[:, middle:] + maps[:, middle::-1]) / 2
    share = sides / max(float(sides.max()), 1e-30)
    distance = bin_size * np.arange(sides.shape[1])
    tables = [pd.DataFrame({"track": n, "distance": distance, "share": s}) for n, s in zip(names, share, strict=True)]
    return pd.concat(tables, ignore_index=True)


def reach_of_attribution(decay: pd.DataFrame, *, threshold: float = 0.2) -> dict[str, dict[str, float | int]]:
    """Return each track's peak, as a share of the largest, and the distance beyond which it stays below a share of it.

    Args:
        decay: from `decay_of_attribution`.
        threshold: share of the track's own peak; a fifth in the source.
    """
    found: dict[str, dict[str, float | int]] = {}
    for name, table in decay.groupby("track", sort=False):
        share, distance = table["share"].to_numpy(), table["distance"].to_numpy()
        peak = float(share.max())
        above = np.flatnonzero(share >= threshold * peak)
        found[str(name)] = {"peak": peak, "reach_bp": int(distance[above[-1]])}
    return found


def _places(data: LandscapeData, num_tracks: int, every: int) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Return outputs (track, bin), bins of a track in a row, and each bin's distance from the start site in bp."""
    grid = data.grid
    bins = [j for j in range(grid.num_bins) if (j - grid.num_bins // 2) % every == 0]
    centres = grid.target_start + grid.bin_size * (np.array(bins) + 0.5)
    return [(track, j) for track in range(num_tracks) for j in bins], centres


def _centred(values: np.ndarray, shift: int, shifts: np.ndarray, square: bool) -> np.ndarray:
    """Cut (..., P) around a predicted bin, as wide as is possible for all of them."""
    reach = values.shape[-1] // 2 - int(np.abs(shifts).max())
    if reach < 0:
        raise ValueError("a predicted bin lies off the input; attribute fewer bins, or build wider landscapes")
    middle = values.shape[-1] // 2 + shift
    cut = slice(middle - reach, middle + reach + values.shape[-1] % 2)
    return values[..., cut, cut] if square else values[..., cut]
