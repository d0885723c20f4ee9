"""How much of a gene's predicted transcription a perturbation takes, and how that ranks genes.

Formulas as in RasmussenLab/CLASTER's enhancer-gene analysis: areas are not divided by a gene's length.
"""

import numpy as np
import pandas as pd

SCORES = ("delta", "ratio_to_max", "z", "minus_distance")


def simpson(values: np.ndarray) -> float:
    """Return the area under equally spaced values, spacing 1, by Simpson's rule.

    One value is its own area and two make a trapezoid. Of an even number the last strip is Cartwright's (2017, Journal
    of Mathematical Sciences and Mathematics Education 12:1-9), a parabola through the last three.
    """
    n = len(values)
    if n == 1:
        return float(values[0])
    if n == 2:
        return float(values.sum() / 2)
    odd = values if n % 2 else values[:-1]
    area = (odd[0] + odd[-1] + 4 * odd[1:-1:2].sum() + 2 * odd[2:-1:2].sum()) / 3
    if n % 2 == 0:
        area += (5 * values[-1] + 8 * values[-2] - values[-3]) / 12
    return float(area)


def gene_bins(
    start: int, end: int, tss: int, strand: str, *, origin: int, num_bins: int, bin_size: int, measure: str
) -> tuple[int, int] | None:
    """Return the bins a gene is measured in, first and after the last; None where it is not wholly predicted.

    Args:
        start: bp of the gene.
        end: bp, half-open.
        tss: its start site.
        strand: "+", "-" or ".".
        origin: first bp predicted.
        num_bins: predicted.
        bin_size: bp.
        measure: "gene": from its start to its end; "tss": two bins before the start site to three after it, for
            assays of paused polymerase.
    """
    if measure == "gene":
        first, stop = (start - origin) // bin_size, (end - 1 - origin) // bin_size + 1
    else:
        site = (tss - origin) // bin_size
        first, stop = (site - 3, site + 3) if strand == "-" else (site - 2, site + 4)
    return (first, stop) if first >= 0 and stop <= num_bins else None


def score_genes(effects: pd.DataFrame) -> pd.DataFrame:
    """Return a table of effects with the scores of each gene among those around its element.

    Args:
        effects: columns element, track, base, perturbed, distance (bp, from the element's centre to the start site).

    Returns:
        The same with delta (absolute change), ratio_to_max (of the element's largest), z (standard score among the
        element's genes, 0 for a single one), minus_distance, primary (the most changed gene) and closest.
    """
    table = effects.assign(delta=(effects["base"] - effects["perturbed"]).abs())
    table["minus_distance"] = -table["distance"].abs()
    groups = table.groupby(["element", "track"], sort=False)
    largest, mean, spread = (pd.Series(groups["delta"].transform(name)) for name in ("max", "mean", "std"))  # ddof 1
    table["ratio_to_max"] = (table["delta"] / largest.where(largest > 0)).fillna(0.0)
    table["z"] = ((table["delta"] - mean) / spread.where(spread > 0)).fillna(0.0)
    table["primary"] = False
    table["closest"] = False
    table.loc[groups["delta"].idxmax().to_numpy(), "primary"] = True
    table.loc[groups["minus_distance"].idxmax().to_numpy(), "closest"] = True
    return table


def decay_of_effects(table: pd.DataFrame, edges: np.ndarray) -> pd.DataFrame:
    """Return how effects fall with distance: mean and median ratio_to_max between `edges` in bp."""
    place = np.digitize(table["distance"].abs(), edges) - 1
    rows = []
    for i in range(len(edges) - 1):
        inside = table.loc[place == i, "ratio_to_max"]
        rows.append((int(edges[i]), int(edges[i + 1]), len(inside), inside.mean(), inside.median()))
    return pd.DataFrame(rows, columns=["from_bp", "to_bp", "pairs", "mean", "median"])
