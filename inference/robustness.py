"""How much a prediction depends on where the window lies: the variation score of Grover et al.

A region of 512 bp is predicted from 17 windows whose starts lie -256, -224, ..., 256 bp from the one centred on it. In
each bin of the region the coefficient of variation is the standard deviation over the 17 predictions (of the
population, so divided by 17) over their mean, both in the scale of training. The score of a position is the mean over
regions, the score of a model the mean over positions. It is 0 where a prediction depends on the sequence around its bin
alone. The reference takes the mean over positions first; the two differ only where a bin is predicted as 0 throughout.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..datasets_scripts.dataset import evaluation_windows
from ..datasets_scripts.folds import Part
from ..datasets_scripts.store import GenomeStore
from ..modeling import AtacConfig, AtacForTrackPrediction
from .evaluate import SETS
from .predict import Progress, predict_batches
from .provenance import library_versions
from .track_states import POOLED


@dataclass(frozen=True)
class ShiftPlan:
    """Which windows a region is predicted from; the defaults are the paper's.

    Attributes:
        region_length: bp that all windows predict, in the middle of the window without shift.
        max_shift: bp, both ways.
        step: bp between shifts.
    """

    region_length: int = 512
    max_shift: int = 256
    step: int = 32

    @property
    def shifts(self) -> list[int]:
        """Shifts of the window's start in bp, ascending."""
        return list(range(-self.max_shift, self.max_shift + 1, self.step))

    def check(self, config: AtacConfig) -> None:
        """Refuse a plan that a model's windows do not hold.

        Raises:
            ValueError: lengths off the bins, a region that leaves a shifted window, or less than two shifts.
        """
        for what, length in (("region", self.region_length), ("largest shift", self.max_shift), ("step", self.step)):
            if length <= 0 or length % config.bin_size:
                raise ValueError(
                    f"the {what} must be a positive multiple of the model's bin size of {config.bin_size} bp, "
                    f"got {length} bp"
                )
        if self.max_shift % self.step:
            raise ValueError(f"the step must divide the largest shift of {self.max_shift} bp, got {self.step} bp")
        room = (config.input_length - self.region_length) // 2
        if (config.input_length - self.region_length) % (2 * config.bin_size) or self.max_shift > room:
            raise ValueError(
                f"a region of {self.region_length} bp with shifts up to {self.max_shift} bp must lie on bins within "
                f"the model's window of {config.input_length} bp"
            )


@dataclass
class VariationState:
    """Running sums of the coefficients of variation of regions.

    Attributes:
        total: (T, bins) sum over regions.
        count: (T, bins) regions whose mean prediction there is above 0.
        regions: seen.
    """

    total: np.ndarray
    count: np.ndarray
    regions: int = field(default=0)

    def update(self, predictions: np.ndarray) -> None:
        """Add regions: (B, S, T, bins) predictions of each from S windows."""
        variation = coefficient_of_variation(predictions.astype(np.float64), axis=1)
        known = ~np.isnan(variation)
        self.total += np.where(known, variation, 0).sum(axis=0)
        self.count += known.sum(axis=0)
        self.regions += len(predictions)

    def merge(self, other: "VariationState") -> None:
        """Add the regions that another state has seen."""
        self.total, self.count = self.total + other.total, self.count + other.count
        self.regions += other.regions

    def summary(self, track: int) -> dict[str, Any]:
        """Return `regions`, the mean `score` and `positions`, the score of each bin; None where not defined."""
        count = self.count[track]
        positions = np.divide(self.total[track], count, out=np.full(len(count), np.nan), where=count > 0)
        known = positions[~np.isnan(positions)]
        return {
            "regions": self.regions,
            "score": float(known.mean()) if len(known) else None,
            "positions": [None if np.isnan(value) else float(value) for value in positions],
        }


def coefficient_of_variation(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the standard deviation of the population over the mean along an axis, NaN where that is 0."""
    mean = values.mean(axis=axis)
    return np.divide(values.std(axis=axis), mean, out=np.full(mean.shape, np.nan), where=mean > 0)


def robustness(
    model: AtacForTrackPrediction,
    store: GenomeStore,
    *,
    part: Part = "test",
    plan: ShiftPlan | None = None,
    max_regions: int | None = None,
    batch_size: int = 4,
    average_rc: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure the variation score on a part of a store, at peaks and genome-wide; memory does not grow with either.

    Regions are the targets of `evaluation_windows`, of `plan.region_length`: tiles genome-wide, centred on merged
    summits at peaks, with the same masks. A window may reach past a chromosome's end, where it reads N.

    Args:
        model: in evaluation mode, on the device to run on.
        store: the genome; its tracks do not matter.
        part: "train", "valid" or "test".
        plan: shifts; the paper's when None.
        max_regions: of each set, spread evenly over those there are; None for all.
        batch_size: regions predicted at once, each from every shift.
        average_rc: average both strands of each window.
        progress: told how many regions are done.

    Returns:
        `part`, `plan`, `reverse_complement`, `windows` (a report for each set), `results` and `versions`.
        `results[track][set]` has `pooled` and `chroms[chrom]`, each with `regions`, `score` and `positions`.

    Raises:
        ValueError: a plan that does not fit the model, or no region left.
    """
    plan = plan or ShiftPlan()
    plan.check(model.config)
    length, tracks = model.config.input_length, list(model.config.track_names or ())
    tables: dict[str, pd.DataFrame] = {}
    reports: dict[str, Any] = {}
    for name, kind in SETS.items():
        if kind == "peaks" and store.peaks.empty:
            continue
        windows, reports[name] = evaluation_windows(
            store, part, input_length=length, target_length=plan.region_length, kind=kind
        )
        tables[name] = _spread(windows, max_regions)
    if not sum(map(len, tables.values())):
        raise ValueError(f"no region of the {part} part of {store.path} is left; left out: {reports}")
    done, total = 0, sum(map(len, tables.values()))
    if progress:
        progress(0, total)
    results: dict[str, Any] = {track: {} for track in tracks}
    for name, table in tables.items():
        states: dict[str, VariationState] = {}
        for chrom, rows in table.groupby("chrom", sort=False):
            state = states[str(chrom)] = _empty(len(tracks), plan.region_length // model.config.bin_size)
            starts = store.flat_starts(rows)
            for first in range(0, len(starts), batch_size):
                batch = starts[first : first + batch_size]
                state.update(shifted_predictions(model, store, batch, plan=plan, average_rc=average_rc))
                done += len(batch)
                if progress:
                    progress(done, total)
        if not states:
            continue
        pooled = _empty(len(tracks), plan.region_length // model.config.bin_size)
        for state in states.values():
            pooled.merge(state)
        for i, track in enumerate(tracks):
            chroms = {chrom: state.summary(i) for chrom, state in states.items()}
            results[track][name] = {POOLED: pooled.summary(i), "chroms": chroms}
    return {
        "part": part,
        "data": {"name": store.path.resolve().name, "genome": store.genome, "fingerprint": store.fingerprint},
        "plan": {"region_length": plan.region_length, "shifts": plan.shifts},
        "reverse_complement": average_rc,
        "windows": reports,
        "results": results,
        "versions": library_versions(),
    }


def shifted_predictions(
    model: AtacForTrackPrediction,
    store: GenomeStore,
    starts: np.ndarray,
    *,
    plan: ShiftPlan,
    average_rc: bool = False,
) -> np.ndarray:
    """Predict regions from every shifted window.

    Args:
        model: in evaluation mode.
        store: the genome.
        starts: (B,) flat bp of the windows without shift.
        plan: shifts.
        average_rc: average both strands of each window.

    Returns:
        (B, S, T, bins of the region), in the scale of training; the same bases of the genome under one another.
    """
    config, shifts = model.config, np.array(plan.shifts)
    windows = store.gather_codes((starts[:, None] + shifts).ravel(), config.input_length)
    (predicted,) = predict_batches(model, [windows], average_rc=average_rc, target_only=False)
    bins = plan.region_length // config.bin_size
    firsts = (config.num_bins - bins) // 2 - shifts // config.bin_size
    by_shift = predicted.reshape(len(starts), len(shifts), *predicted.shape[1:])
    return np.stack([by_shift[:, i, :, first : first + bins] for i, first in enumerate(firsts)], axis=1)


def flatten_robustness(found: dict[str, Any]) -> pd.DataFrame:
    """Return the scores as rows: track, set, chrom ("pooled" for all), regions, score."""
    rows = [
        (track, name, chrom, numbers["regions"], numbers["score"])
        for track, sets in found["results"].items()
        for name, result in sets.items()
        for chrom, numbers in ((POOLED, result[POOLED]), *result["chroms"].items())
    ]
    return pd.DataFrame(rows, columns=["track", "set", "chrom", "regions", "score"])


def _spread(windows: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """Return at most `count` windows, evenly spread."""
    if count is None or len(windows) <= count:
        return windows
    return windows.iloc[np.linspace(0, len(windows) - 1, count).astype(int)]


def _empty(num_tracks: int, bins: int) -> VariationState:
    return VariationState(np.zeros((num_tracks, bins)), np.zeros((num_tracks, bins), np.int64))
