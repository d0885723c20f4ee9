"""Scores of variants against what was measured: allele counts, effects of a reporter assay, or labels.

Three kinds of truth:

* counts: reads of each allele in the genome (WGS) and in open chromatin (ATAC). What Grover et al. test: see
  `variant_protocol`.
* effect: a number for each variant, positive where ALT is more active, such as the log2 effect of a reporter assay.
  Direction and Spearman's rho, as for counts, without a filter.
* label: 1 where a variant changes accessibility, 0 where it does not (QTLs against controls). AUROC and AUPRC of the
  score's size.

Each number has the 95 % bootstrap percentile interval over variants.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..datasets_scripts.chrom_names import chrom_key, lost_rows, match_chroms, shown
from ..datasets_scripts.variants import NORMALISED, variant_header
from .metrics import finite_or_none
from .ranking import auroc, average_precision, spearman
from .variant_protocol import COUNTS, CountFilter, direction_metrics, informative_variants, variant_agreement

Kind = Literal["counts", "effect", "label"]
_KEY = ["chrom", "pos", "ref", "alt"]
_CHROM = "chromosome of both"  # a column of a join
_BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Truth:
    """What is compared with.

    Attributes:
        kind: of truth.
        column: of the effect or label.
        beside: column of another score of the same variants, such as a published one; None without one.
        rule: which counts are informative.
    """

    kind: Kind = "counts"
    column: str | None = None
    beside: str | None = None
    rule: CountFilter = field(default_factory=CountFilter)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a TSV of variants; its columns of chromosome, position (1-based), REF and ALT are renamed to those names.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing, the file is empty, or a variant is there twice.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty: give a TSV with a header that names chrom, pos, ref and alt") from None
    except (UnicodeDecodeError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} is no tab-separated text ({str(error).strip()[:80]})") from None
    places = variant_header([str(column) for column in table.columns], f"{path}, line 1")
    table = table.rename(columns={table.columns[place]: name for name, place in places.items() if name in _KEY})
    table["ref"], table["alt"] = table["ref"].str.upper(), table["alt"].str.upper()
    if (twice := table.duplicated(_KEY)).any():
        row = table.loc[twice].iloc[0]
        raise ValueError(f"{path}: {row['chrom']}:{row['pos']} {row['ref']}>{row['alt']} is there twice")
    return table


def join(scores: pd.DataFrame, truth: pd.DataFrame, *, score: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """Put scores beside what was measured; chromosome names may differ by "chr".

    Args:
        scores: from `chromhub score`, by `read_table`.
        truth: by `read_table`.
        score: column of `scores`.

    Returns:
        The rows of `truth` with a column `predicted`, and how many were left out: `not scored` (not there, or with
        another status than "ok").

    Raises:
        ValueError: no such score, or no variant in common.
    """
    if score not in scores:
        known = [str(column) for column in scores.columns if column not in (*_KEY, "id", "status", NORMALISED)]
        raise ValueError(f"the scores have no column {score!r}; they have {', '.join(known)}")
    if "predicted" in truth:
        raise ValueError("the measured variants have a column 'predicted', where the score is to be put: rename it")
    names = match_chroms(truth["chrom"], scores["chrom"], what="the measured variants with the scored ones")
    key = [_CHROM, *_KEY[1:]]  # either table may spell a chromosome in two ways
    renamed = truth.assign(**{_CHROM: [chrom_key(names.get(chrom, chrom)) for chrom in map(str, truth["chrom"])]})
    known = scores[_KEY[1:]].assign(
        **{_CHROM: [chrom_key(chrom) for chrom in scores["chrom"]], "predicted": _numbers(scores, score, gaps=True)}
    )
    table = renamed.merge(known.drop_duplicates(key), on=key, how="left").drop(columns=_CHROM)
    table["chrom"] = [names.get(chrom, chrom) for chrom in table["chrom"]]
    there = ~np.isnan(table["predicted"].to_numpy())
    if not there.any():
        raise ValueError(
            f"none of the {len(truth)} measured variants has been scored: are positions and alleles alike?"
        )
    return table.loc[there].reset_index(drop=True), {"not scored": int(np.count_nonzero(~there))}


def evaluate_variants(
    scores: pd.DataFrame, truth: pd.DataFrame, how: Truth, *, score: str, seed: int = 0
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Compare scores with what was measured.

    Args:
        scores: by `read_table`.
        truth: by `read_table`.
        how: the kind of truth, and its columns.
        score: column of `scores`.
        seed: of the bootstrap and of the random baseline.

    Returns:
        A row a variant with `predicted` and `truth` (log2 odds ratio, effect or label), and what variants.json holds:
        `kind`, `score`, `n`, `dropped`, `measures` with `value`, `low`, `high` and `random`, and `beside` the same of
        the other score.

    Raises:
        ValueError: a column is missing or holds no numbers, or no variant is left.
    """
    table, dropped = join(scores, truth, score=score)
    lost = lost_rows(
        "the measured variants",
        kept=len(table),
        read=len(truth),
        unit="variants",
        lost=["the others have no score", *_unknown_chroms(truth, scores)],
    )
    if how.kind == "counts":
        counts = {name: _numbers(table, name) for name in COUNTS if name in table}
        kept, filtered = informative_variants(table.assign(**counts), how.rule)
        table, dropped = kept.assign(truth=kept["log_odds"]), {**dropped, **filtered}
    else:
        column = how.column or how.kind
        values = _numbers(table, column, gaps=True)
        there = ~np.isnan(values)
        if how.kind == "label" and not np.isin(values[there], [-1, 0, 1]).all():
            raise ValueError(f"labels must be 1 or 0 (or -1), but column {column!r} holds other numbers")
        dropped[f"no {how.kind}"] = int(np.count_nonzero(~there))
        table = table.assign(truth=(values > 0).astype(float) if how.kind == "label" else values)
        table = table.loc[there].reset_index(drop=True)
    if table.empty:
        raise ValueError(f"no variant is left to compare; left out: {dropped}")
    found: dict[str, Any] = {"kind": how.kind, "score": score, "n": len(table), "dropped": dropped}
    if how.kind == "label":
        found["positives"] = int(table["truth"].to_numpy().sum())
    found["measures"] = _measures(table["predicted"].to_numpy(), table["truth"].to_numpy(), how.kind, seed)
    if lost:
        found["warnings"] = [lost]
    if how.beside is not None:
        other = _numbers(table, how.beside)
        found["beside"] = {"score": how.beside, "measures": _measures(other, table["truth"].to_numpy(), how.kind, seed)}
    return table, found


def _unknown_chroms(truth: pd.DataFrame, scores: pd.DataFrame) -> list[str]:
    """Return what to say of chromosomes without a scored variant; nothing where there is none."""
    there = {chrom_key(chrom) for chrom in scores["chrom"]}
    unknown = [chrom for chrom in dict.fromkeys(truth["chrom"]) if chrom_key(chrom) not in there]
    return [f"none is scored on {shown(unknown)}"] if unknown else []


def bootstrap(
    measure: Callable[..., Mapping[str, float]], *columns: np.ndarray, seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """Return each number of `measure` with its 95 % percentile interval over resampled rows.

    Args:
        measure: from arrays to numbers by name.
        *columns: (n,) each.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(columns[0]), (_BOOTSTRAPS, len(columns[0])))
    again = pd.DataFrame([measure(*(column[rows] for column in columns)) for rows in draws])
    found = {}
    for name, value in measure(*columns).items():
        values = again[name].dropna()
        low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (np.nan, np.nan)
        found[name] = {key: finite_or_none(float(x)) for key, x in (("value", value), ("low", low), ("high", high))}
    return found


def _measures(predicted: np.ndarray, truth: np.ndarray, kind: Kind, seed: int) -> dict[str, dict[str, float | None]]:
    if kind == "label":
        found = bootstrap(_ranking, np.abs(predicted), truth > 0, seed=seed)
        random = {"auroc": 0.5, "auprc": float((truth > 0).mean())}
    else:
        found = bootstrap(_agreement, predicted, truth, seed=seed)
        chance = variant_agreement(predicted, truth, seed=seed)
        random = {name: chance.get(f"random_{name}", 0.0) for name in found}
    return {name: {**numbers, "random": random[name]} for name, numbers in found.items()}


def _ranking(sizes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return {"auroc": auroc(sizes, labels), "auprc": average_precision(sizes, labels)}


def _agreement(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {**direction_metrics(predicted, truth), "spearman": spearman(predicted, truth)}


def _numbers(table: pd.DataFrame, column: str, *, gaps: bool = False) -> np.ndarray:
    """Return a column as (n,) float64; a missing one is an error, as is an empty cell without `gaps`."""
    if column not in table:
        raise ValueError(f"the measured variants have no column {column!r}; they have {', '.join(table.columns)}")
    cells = [str(cell) for cell in table[column]]
    numbers = np.asarray(pd.to_numeric(pd.Series(cells, dtype=str), errors="coerce"), np.float64)
    empty = ("", ".", "NA") if gaps else ()
    for cell, number in zip(cells, numbers, strict=True):
        if np.isnan(number) and cell not in empty:
            raise ValueError(f"column {column!r} must hold numbers, got {cell!r}")
    return numbers
