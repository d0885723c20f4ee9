"""Landscape folders for the trainer: chosen genes, batches with their flips, and what a model normalises by."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..datasets_scripts.batch_dataset import BatchDataset
from ..datasets_scripts.landscape import LandscapeData
from .recipe import Recipe

ROW = "row"  # column of a table of windows: the gene's row in the folder
_BATCH = 64  # rows in memory at a time


class LandscapeWindows(BatchDataset):
    """Genes of a landscape folder as batches of arrays.

    `inputs` (B, R, P) and `labels` (B, T, N) raw float32, `mask` (B, T, N) uint8, and with contacts `contact_map`.

    Args:
        data: the folder.
        rows: (n,) of it.
        contacts: give contact maps.
        flip: turn the genome's direction round in every second epoch or so, by chance, in all of them alike.
        seed: of that.
    """

    def __init__(
        self, data: LandscapeData, rows: np.ndarray, *, contacts: bool = False, flip: bool = False, seed: int = 0
    ) -> None:
        self.data, self.rows, self.flip, self.seed, self.epoch = data, np.asarray(rows), flip, seed, 0
        self.contacts = data.contacts if contacts else None

    def __len__(self) -> int:
        """Return the number of genes."""
        return len(self.rows)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and so which genes are turned round."""
        self.epoch = epoch

    def batch(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return a whole batch."""
        rows = self.rows[np.asarray(indices, np.int64)]
        labels = np.array(self.data.targets[rows], np.float32)
        mask = np.repeat(self.data.mask[rows][:, None].astype(np.uint8), labels.shape[1], axis=1)
        batch = {"inputs": np.array(self.data.landscapes[rows], np.float32), "labels": labels, "mask": mask}
        if self.contacts is not None:
            batch["contact_map"] = np.array(self.contacts[rows], np.float32)
        if self.flip:
            turned = np.array([np.random.default_rng([self.seed, self.epoch, int(row)]).random() < 0.5 for row in rows])
            for name, array in flipped({name: array[turned] for name, array in batch.items()}, self.data).items():
                batch[name][turned] = array
        return batch


def flipped(batch: dict[str, np.ndarray], data: LandscapeData) -> dict[str, np.ndarray]:
    """Return a batch with the genome's direction turned round: bins reversed, a square map turned by 180 degrees."""
    turned = {name: array[..., ::-1] for name, array in batch.items()}
    if "contact_map" in turned and data.contact_form == "square":
        turned["contact_map"] = turned["contact_map"][..., ::-1, :]
    return turned


def choose_rows(recipe: Recipe, data: LandscapeData) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return the training genes, the validation genes, as windows with their `ROW`, and a report.

    Raises:
        ValueError: a part has no gene.
    """
    chosen, report = {}, {}
    for part in ("train", "valid"):
        rows = data.rows(part)
        if not len(rows):
            raise ValueError(f"no gene lies in the {part} part of {recipe.data!r}; build it with --valid and --test")
        report[part] = {"genes": len(rows)}
        chosen[part] = rows
    keep = math.ceil(recipe.windows.fraction * len(chosen["train"]))
    keep = min(keep, recipe.windows.max_windows or keep)
    drawn = np.sort(np.random.default_rng(recipe.seed).permutation(len(chosen["train"]))[:keep])
    chosen["train"] = chosen["train"][drawn]
    if recipe.max_eval_windows and recipe.max_eval_windows < len(chosen["valid"]):
        spread = np.linspace(0, len(chosen["valid"]) - 1, recipe.max_eval_windows).round().astype(int)
        chosen["valid"] = chosen["valid"][spread]
    for part, rows in chosen.items():
        report[part]["drawn"] = len(rows)
    train, valid = (data.windows(chosen[part]).assign(**{ROW: chosen[part]}) for part in ("train", "valid"))
    return train, valid, report


def statistics(data: LandscapeData, rows: np.ndarray, *, flip: bool, contacts: bool) -> dict[str, Any]:
    """Return what a model normalises by, of training genes alone.

    Inputs have one mean and one standard deviation over all tracks and bins, as the source's; targets one a bin, of
    the bins on a chromosome.

    Args:
        data: the folder.
        rows: of the training genes.
        flip: training sees both directions, so the statistics of a bin are those of its mirror image too.
        contacts: with those of the contact maps.
    """
    found: dict[str, Any] = {}
    for name, array in (("landscape", data.landscapes), ("contact", data.contacts if contacts else None)):
        if array is not None:
            count, total, squares = 0, 0.0, 0.0
            for i in range(0, len(rows), _BATCH):
                part = np.asarray(array[rows[i : i + _BATCH]], np.float64)
                count, total, squares = count + part.size, total + part.sum(), squares + np.square(part).sum()
            mean = total / count
            found[f"{name}_mean"], found[f"{name}_std"] = mean, math.sqrt(max(0.0, squares / count - mean**2))
    targets = np.asarray(data.targets[rows], np.float64)
    mask = np.broadcast_to(data.mask[rows][:, None], targets.shape)
    if flip:
        targets, mask = (np.concatenate([array, array[..., ::-1]]) for array in (targets, mask))
    counted = np.maximum(mask.sum(0), 1)
    mean = (targets * mask).sum(0) / counted
    found["target_mean"] = mean
    found["target_std"] = np.sqrt((np.square(targets - mean) * mask).sum(0) / counted)
    return found


def landscape_datasets(
    recipe: Recipe, data: LandscapeData, train: pd.DataFrame, valid: pd.DataFrame, *, contacts: bool
) -> tuple[LandscapeWindows, LandscapeWindows]:
    """Return the datasets of `choose_rows`' two tables, the first with the recipe's flips."""
    flips = {"flip": recipe.reverse_complement, "seed": recipe.seed}
    return (
        LandscapeWindows(data, train[ROW].to_numpy(), contacts=contacts, **flips),
        LandscapeWindows(data, valid[ROW].to_numpy(), contacts=contacts),
    )
