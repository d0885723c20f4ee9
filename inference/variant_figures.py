"""Pictures of variants: what a model predicts of both alleles, and the difference, with the variant's place marked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..datasets_scripts.atomic import check_own_folder
from ..datasets_scripts.variants import Variant
from .figures import BLUE, GREY, ORANGE
from .track_alleles import TrackAlleles
from .variant_scorer import VariantScorer

_DPI = 150
_MOST_TRACKS = 3  # of a figure
_NARROW = 0.02  # of the width: what is not wider is marked by a line
_FILES = ["[0-9]*_*_*.png"]


@dataclass(frozen=True)
class VariantFigures:
    """Which figures are wanted.

    Attributes:
        folder: to make.
        count: variants drawn, those with the largest log2 fold change in either direction.
    """

    folder: Path
    count: int = 10


def check_figures(figures: VariantFigures, scorer: VariantScorer, output: Path, *, overwrite: bool) -> None:
    """Check that figures can be drawn and their folder be made.

    Raises:
        FileExistsError: the folder exists and `overwrite` is not given, or it holds other files.
        ValueError: the models are classifiers, or `output` would lie in the folder.
    """
    if not isinstance(scorer.alleles, TrackAlleles):
        raise ValueError(
            "figures of variants show predicted tracks, which a classifier has none of: leave out --figures"
        )
    if figures.folder.resolve() in (output.resolve(), *output.resolve().parents):
        raise ValueError(
            f"{output} must lie outside {figures.folder}, which is for figures alone: choose another folder"
        )
    check_own_folder(figures.folder, overwrite, _FILES)


def draw_variants(scorer: VariantScorer, variants: Sequence[Variant], folder: Path) -> list[str]:
    """Predict variants again, one by one, and draw each as RANK_CHROM_POSITION.png.

    Args:
        scorer: of track models.
        variants: in the order of their ranks; their status is "ok".
        folder: that exists.

    Returns:
        The names of the files.
    """
    names = []
    assert isinstance(scorer.alleles, TrackAlleles)
    for rank, variant in enumerate(variants, 1):
        predictions, lengths = scorer.predict([variant])
        (profiles,) = scorer.alleles.profiles(predictions, lengths)
        (log_folds,) = scorer.alleles.scores(predictions, lengths)["logfc"]
        chrom = re.sub(r"[^A-Za-z0-9.-]", "-", variant.chrom)
        names.append(f"{rank:0{len(str(len(variants)))}d}_{chrom}_{variant.start + 1}.png")
        outputs, placed = scorer.alleles.outputs, scorer.normalised(variant)
        draw_variant(placed, profiles, log_folds, folder / names[-1], track_names=outputs, given=variant)
    return names


def draw_variant(
    variant: Variant,
    profiles: np.ndarray,
    log_folds: np.ndarray,
    path: Path,
    *,
    track_names: Sequence[str],
    given: Variant | None = None,
) -> None:
    """Draw a variant: for each track the profiles of both alleles in log1p, and below them the difference.

    Bases are those compared, at their places in the genome (1-based, as in a VCF); deleted ones are a gap. Of more than
    three tracks those with the largest fold changes are drawn.

    Args:
        variant: where it is drawn, normalised.
        profiles: (2, T, W) raw units, REF and ALT, from `TrackAlleles.profiles`.
        log_folds: (T,) log2.
        path: PNG to write.
        track_names: T names.
        given: as it was written, for the title; None where that is `variant`.
    """
    given = given or variant
    start, ref, alt = variant.trimmed()
    half = profiles.shape[-1] // 2
    gap = len(ref) if len(ref) != len(alt) else 0
    edges = np.arange(start - half, start + gap + half + 1) + 0.5  # base p of a VCF from p - 0.5 to p + 0.5
    shown = np.log1p(np.maximum(profiles, 0))
    shown = np.insert(shown, [half] * gap, np.nan, axis=-1)
    chosen = sorted(np.argsort(-np.abs(log_folds), kind="stable")[:_MOST_TRACKS].tolist())
    ratios = [ratio for _ in chosen for ratio in (2, 1)]
    figure = Figure(figsize=(9, 0.9 + 3.3 * len(chosen)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(ratios), 1, squeeze=False, sharex=True, height_ratios=ratios)[:, 0]
    for row, track in enumerate(chosen):
        profile, difference = axes[2 * row], axes[2 * row + 1]
        low, high = shown[:, track]
        profile.stairs(low, edges, baseline=None, color=BLUE, lw=2.6, label="REF")
        profile.stairs(high, edges, baseline=None, color=ORANGE, lw=1.2, label="ALT")  # REF shows on both sides of it
        profile.set_ylim(0, 1.08 * max(float(np.nanmax(shown[:, track])), 1e-6))
        profile.set_ylabel("log1p(signal)")
        change = f": logfc {log_folds[track]:+.3f}" if len(log_folds) > 1 else ""
        profile.set_title(f"{track_names[track]}{change}", loc="left", fontsize="medium")
        change = high - low
        difference.stairs(np.maximum(change, 0), edges, fill=True, color=ORANGE)
        difference.stairs(np.minimum(change, 0), edges, fill=True, color=BLUE)
        difference.axhline(0, color=GREY, lw=0.8)
        top = 1.15 * max(float(np.nanmax(np.abs(change))), 1e-6)
        difference.set_ylim(-top, top)
        difference.set_ylabel("ALT - REF\nlog1p")
        difference.yaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    first, last = edges[half], edges[half] + len(ref)  # of an insertion the place between two bases
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        if last - first > _NARROW * (edges[-1] - edges[0]):
            axis.axvspan(first, last, color=GREY, alpha=0.3, lw=0, label="variant")
        else:
            axis.axvline((first + last) / 2, color=GREY, lw=1.4, ls=":", label="variant")
    axes[0].legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=3, borderaxespad=0)
    name = "" if given.name in (".", "") else f"  {given.name}"
    largest = log_folds[np.abs(log_folds).argmax()]
    change = f"{_short(given.ref)}>{_short(given.alt)}"
    word = "logfc" if len(log_folds) == 1 else "largest logfc"
    of = f"  ({len(chosen)} of {len(log_folds)} tracks)" if len(chosen) < len(log_folds) else ""
    figure.suptitle(f"{given.chrom}:{given.start + 1} {change}{name}   {word} {largest:+.3f}{of}")
    axes[-1].set(xlim=(edges[0], edges[-1]), xlabel=f"position on {variant.chrom} (bp)")
    axes[-1].xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda position, _: f"{position:,.0f}"))
    figure.savefig(path, dpi=_DPI, format="png")


def _short(allele: str) -> str:
    """Return an allele as people write it, a long one cut."""
    return f"{allele[:8]}...({len(allele)} bp)" if len(allele) > 16 else allele or "-"
