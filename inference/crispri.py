"""Perturbation scores against CRISPRi: do the genes that a model changes change in the experiment?"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .gene_effects import SCORES
from .ranking import average_precision

_COLUMNS = ("chrom", "start", "end", "gene", "regulated")
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no")


def read_pairs(path: str | Path) -> pd.DataFrame:
    """Read tested pairs: a table with a header and the columns chrom, start, end, gene and regulated (0 or 1).

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing, or a value is none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"table of pairs {path} does not exist")
    table = pd.read_csv(path, sep=None, engine="python", dtype=str, keep_default_na=False)
    table.columns = [name.lower().lstrip("#") for name in table.columns]
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        raise ValueError(f"{path} must have a column {missing[0]!r}, got {', '.join(table.columns)}")
    table = table.loc[:, list(_COLUMNS)]
    said = pd.Series(table["regulated"]).fillna("").str.lower()
    if len(wrong := np.flatnonzero(~said.isin(_TRUE + _FALSE))):
        raise ValueError(f"{path}, line {wrong[0] + 2}: regulated must be 0 or 1, got {table['regulated'][wrong[0]]!r}")
    try:
        return table.assign(
            start=table["start"].astype("int64"), end=table["end"].astype("int64"), regulated=said.isin(_TRUE)
        )
    except ValueError as error:
        raise ValueError(f"{path}: start and end must be integers ({error})") from None


def match_pairs(effects: pd.DataFrame, pairs: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the effects that were tested, with `regulated`, and how many pairs have none.

    A pair is an effect whose element overlaps the pair's and whose gene is the pair's, versions of an identifier
    (ENSG0.7) aside. Of several effects for one pair the strongest counts.

    Args:
        effects: from `score_genes`, with chrom, start, end, gene.
        pairs: from `read_pairs`.
    """
    tested = pairs.assign(pair=np.arange(len(pairs)), key=pairs["gene"].str.split(".").str[0])
    both = effects.assign(key=effects["gene"].str.split(".").str[0]).merge(
        tested[["chrom", "start", "end", "key", "regulated", "pair"]], on=["chrom", "key"], suffixes=("", "_pair")
    )
    both = both.loc[(both["start"] < both["end_pair"]) & (both["start_pair"] < both["end"])]
    strongest = both.sort_values("delta", ascending=False).drop_duplicates(["pair", "track"])
    found = strongest.sort_values("pair").reset_index(drop=True)
    return found, len(pairs) - len(set(found["pair"]))


def compare(matched: pd.DataFrame) -> dict[str, Any]:
    """Return how well each score finds the regulated pairs, beside the distance and chance.

    Args:
        matched: of one track, from `match_pairs`.

    Returns:
        `pairs`, `regulated`, `random` (the AUPRC of chance: the share of regulated pairs); `scores`: for each of
        `SCORES` its auprc and, at the threshold of the best F1, precision and recall; `calls`: for the primary target
        and for the closest gene precision, recall and accuracy.
    """
    truth = matched["regulated"].to_numpy(bool)
    found: dict[str, Any] = {"pairs": len(truth), "regulated": int(truth.sum())}
    found["random"] = float(truth.mean()) if len(truth) else None
    found["scores"] = {name: _ranked(matched[name].to_numpy(float), truth) for name in SCORES}
    found["calls"] = {name: _called(matched[name].to_numpy(bool), truth) for name in ("primary", "closest")}
    return found


def _ranked(scores: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    if not truth.any() or truth.all():
        return {"auprc": None, "threshold": None, "precision": None, "recall": None}
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # a threshold takes all equal scores
    precision, recall = hits[last] / (last + 1), hits[last] / truth.sum()
    best = int(np.argmax(2 * precision * recall / np.maximum(precision + recall, 1e-12)))
    return {
        "auprc": average_precision(scores, truth),
        "threshold": float(scores[order][last[best]]),
        "precision": float(precision[best]),
        "recall": float(recall[best]),
    }


def _called(called: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    hits = int((called & truth).sum())
    return {
        "precision": hits / int(called.sum()) if called.any() else None,
        "recall": hits / int(truth.sum()) if truth.any() else None,
        "accuracy": float((called == truth).mean()) if len(truth) else None,
    }
