"""Grover et al.'s test of variant scores: does a model know which allele is more open in the cells that carry both?

A heterozygous SNV is informative where reads of open chromatin (ATAC) carry the alleles in another ratio than reads of
the genome (WGS) do. The paper keeps SNVs whose WGS allele fraction lies in [0.4, 0.6], whose two-sided Fisher exact
test on (REF, ALT) x (WGS, ATAC) has P < 0.01, and whose odds ratio lies outside [0.67, 1.33]. (Its Methods say inside,
its Results outside; only outside makes sense.) Then the direction of the predicted change is compared with that
observed, and its size with the log odds ratio.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .ranking import spearman

COUNTS = ("wgs_ref", "wgs_alt", "atac_ref", "atac_alt")


@dataclass(frozen=True)
class CountFilter:
    """Which SNVs are informative; the defaults are the paper's.

    Attributes:
        p_value: of Fisher's exact test, at most this (excluded).
        odds_ratios: range that is too close to 1, both ends in it.
        allele_fractions: of ALT in the WGS reads, both ends included.
    """

    p_value: float = 0.01
    odds_ratios: tuple[float, float] = (0.67, 1.33)
    allele_fractions: tuple[float, float] = (0.4, 0.6)


def fisher_exact(wgs_ref: int, wgs_alt: int, atac_ref: int, atac_alt: int) -> float:
    """Return the two-sided p-value of a 2 x 2 table: the sum over tables with its margins that are no likelier."""
    row, column, total = wgs_ref + wgs_alt, wgs_ref + atac_ref, wgs_ref + wgs_alt + atac_ref + atac_alt
    cells = np.arange(max(0, row + column - total), min(row, column) + 1)
    log_p = np.array([_log_choose(column, k) + _log_choose(total - column, row - k) for k in cells.tolist()])
    log_p -= _log_choose(total, row)
    own = log_p[wgs_ref - cells[0]]
    return float(min(1.0, np.exp(log_p[log_p <= own + 1e-7]).sum()))  # rounding must not part equal probabilities


def log_odds_ratio(wgs_ref: int, wgs_alt: int, atac_ref: int, atac_alt: int) -> float:
    """Return log2 of ALT : REF in ATAC over ALT : REF in WGS, positive where ALT is more open.

    Half a read is added to each count where one of them is 0 (Haldane 1956, Anscombe 1956).
    """
    half = 0.5 if 0 in (wgs_ref, wgs_alt, atac_ref, atac_alt) else 0.0
    return math.log2((atac_alt + half) / (atac_ref + half)) - math.log2((wgs_alt + half) / (wgs_ref + half))


def informative_variants(table: pd.DataFrame, rule: CountFilter | None = None) -> tuple[pd.DataFrame, dict[str, int]]:
    """Keep the variants whose counts say that one allele is more open.

    Args:
        table: columns wgs_ref, wgs_alt, atac_ref, atac_alt (reads), and others.
        rule: the paper's when None.

    Returns:
        The rows kept with `log_odds` and `fisher_p`, and how many were left out by reason.

    Raises:
        ValueError: a column is missing, or a count is negative or no integer.
    """
    rule = rule or CountFilter()
    if missing := [column for column in COUNTS if column not in table]:
        raise ValueError(f"the table of allele counts must have columns {', '.join(COUNTS)}, but lacks {missing[0]}")
    counts = table[list(COUNTS)].to_numpy()
    if not np.array_equal(counts, np.floor(counts)) or (counts < 0).any():
        raise ValueError("allele counts must be whole numbers of reads, 0 or more")
    counts = counts.astype(np.int64)
    depth = counts[:, :2].sum(axis=1)
    fraction = np.divide(counts[:, 1], depth, out=np.full(len(counts), np.nan), where=depth > 0)
    low, high = rule.allele_fractions
    balanced = (fraction >= low) & (fraction <= high)
    p = np.array([fisher_exact(*row) for row in counts.tolist()])
    odds = np.array([log_odds_ratio(*row) for row in counts.tolist()])
    far = (2**odds < rule.odds_ratios[0]) | (2**odds > rule.odds_ratios[1])
    keep = balanced & (p < rule.p_value) & far
    dropped = {
        "WGS allele fraction": int((~balanced).sum()),
        "Fisher's exact test": int((balanced & ~(p < rule.p_value)).sum()),
        "odds ratio": int((balanced & (p < rule.p_value) & ~far).sum()),
    }
    return table.assign(log_odds=odds, fisher_p=p).loc[keep].reset_index(drop=True), dropped


def direction_metrics(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Compare the signs of predicted and observed changes; positive (ALT more open) is the positive class.

    Args:
        predicted: (V,) scores, e.g. logfc; 0 counts as not positive.
        true: (V,) log odds ratios.

    Returns:
        `balanced_accuracy`, `f1`, `mcc` (0 where one side has a single class), NaN where they are not defined.
    """
    says, is_so = np.asarray(predicted) > 0, np.asarray(true) > 0
    tp, tn = int((says & is_so).sum()), int((~says & ~is_so).sum())
    fp, fn = int((says & ~is_so).sum()), int((~says & is_so).sum())
    sensitivity = tp / (tp + fn) if tp + fn else math.nan
    specificity = tn / (tn + fp) if tn + fp else math.nan
    scale = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return {
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else math.nan,
        "mcc": (tp * tn - fp * fn) / scale if scale else 0.0,
    }


def variant_agreement(
    predicted: np.ndarray, log_odds: np.ndarray, *, num_random: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Return direction metrics and Spearman's rho of scores against log odds, and what chance gives.

    Args:
        predicted: (V,) scores.
        log_odds: (V,).
        num_random: random baselines, each a 0 or 1 per variant at the observed share of positives; their mean is
            returned under `random_NAME`.
        seed: of the baselines.

    Raises:
        ValueError: no variant, or another number of scores than of log odds.
    """
    predicted, log_odds = np.asarray(predicted, np.float64), np.asarray(log_odds, np.float64)
    if len(predicted) != len(log_odds) or not len(predicted):
        raise ValueError(f"scores and log odds must be as many, and some, got {len(predicted)} and {len(log_odds)}")
    rng = np.random.default_rng(seed)
    share = float((log_odds > 0).mean())
    random = pd.DataFrame(
        [direction_metrics((rng.random(len(log_odds)) < share) - 0.5, log_odds) for _ in range(num_random)]
    ).mean()
    found = {"n": len(predicted), **direction_metrics(predicted, log_odds), "spearman": spearman(predicted, log_odds)}
    return {**found, **{f"random_{name}": float(value) for name, value in random.items()}}


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
