"""Random variants like those given, for p-values; and where a prediction stands among those at peaks.

A matched variant makes the same change as one that was given (drawn at random), somewhere in the genome where the base
before it and the base it starts at are the same, and of a substitution also the base behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..datasets_scripts.fasta import N_CODE, decode
from ..datasets_scripts.variants import Variant
from .variants import OK, GenomeBases, normalised, variant_status

_BLOCK = 4096  # bp of genome searched at a time
_TRIES = 2000  # blocks


@dataclass
class Sample:
    """A random choice of fixed size from variants of unknown number (Vitter's algorithm R, doi 10.1145/3147.3165).

    Attributes:
        size: variants kept.
        rng: of the choice.
    """

    size: int
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.kept: list[Variant] = []
        self._seen = 0

    def add(self, variant: Variant) -> None:
        """Offer a variant."""
        self._seen += 1
        if len(self.kept) < self.size:
            self.kept.append(variant)
        elif (place := int(self.rng.integers(self._seen))) < self.size:
            self.kept[place] = variant


def matched_variants(
    sample: Sequence[Variant], genome: GenomeBases, *, count: int, longest: int, rng: np.random.Generator
) -> list[Variant]:
    """Draw random variants that match those of a sample.

    Args:
        sample: variants; those whose status is not "ok" are passed over.
        genome: where the random ones lie.
        count: variants wanted.
        longest: as for `variant_status`.
        rng: of the choice.

    Raises:
        ValueError: no variant of the sample can be scored, or the genome has no place for one.
    """
    usable = [variant for variant in sample if variant_status(variant, genome, longest) == OK]
    usable = [variant for variant in usable if variant.ref != variant.alt]
    if not usable:
        raise ValueError("no null distribution can be made: none of the variants looked at can be scored")
    chroms = list(genome.sizes)
    shares = np.array([genome.sizes[chrom] for chrom in chroms], np.float64)
    shares /= shares.sum()
    found = []
    for index in rng.integers(len(usable), size=count):
        template = usable[index]
        for chrom in rng.choice(len(chroms), p=shares, size=_TRIES):
            if (variant := _like(template, genome, chroms[chrom], rng)) is not None:
                found.append(variant)
                break
        else:
            raise ValueError(f"the genome has no place for a random variant like {template.ref}>{template.alt}")
    return found


def _like(template: Variant, genome: GenomeBases, chrom: str, rng: np.random.Generator) -> Variant | None:
    """Return a variant like a template in a random block of a chromosome; None where the block has no place for it."""
    home = genome.known(template.chrom) or ""
    placed = normalised(template, home, genome.fetch)
    ref, alt = placed.ref, placed.alt
    behind = 2 if len(ref) == len(alt) else 1
    context = genome.fetch(home, placed.start - 1, placed.start + behind)
    begin = int(rng.integers(max(1, genome.sizes[chrom] - _BLOCK)))
    block = genome.fetch(chrom, begin, min(begin + _BLOCK, genome.sizes[chrom]))
    reach = max(behind, len(ref)) + 1
    if len(block) <= reach:
        return None
    places = np.ones(len(block) - reach, bool)
    for offset, code in enumerate(context):
        places &= block[offset : offset + len(places)] == code
    for offset in range(len(ref)):
        places &= block[1 + offset : 1 + offset + len(places)] != N_CODE
    candidates = np.flatnonzero(places) + 1
    if not len(candidates):
        return None
    place = int(rng.choice(candidates))
    there = decode(block[place : place + len(ref)])
    return None if there == alt else Variant(chrom, begin + place, there, alt)


def peak_variants(peaks: pd.DataFrame, genome: GenomeBases, *, count: int, rng: np.random.Generator) -> list[Variant]:
    """Return summits of peaks, at most `count` drawn at random, as variants that change nothing.

    Args:
        peaks: columns chrom, summit.
        genome: peaks on no chromosome of it, and on N, are left out.
        count: at most.
        rng: of the choice.
    """
    chosen = peaks.iloc[np.sort(rng.permutation(len(peaks))[:count])]
    found = []
    for chrom, summit in zip(chosen["chrom"], chosen["summit"], strict=True):
        if chrom in genome.sizes and 0 <= summit < genome.sizes[chrom]:
            base = decode(genome.fetch(chrom, int(summit), int(summit) + 1))
            if base != "N":
                found.append(Variant(chrom, int(summit), base, base))
    return found


def p_values(scores: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return (1 + number of the null at least as large in size) / (1 + size of the null), (V,).

    Args:
        scores: (V,), signed scores count by their size.
        null: (K,) sizes, sorted.
    """
    at_least = len(null) - np.searchsorted(null, np.abs(scores), side="left")
    return (1 + at_least) / (1 + len(null))


def quantiles(values: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return the share of a sorted background (K,) that is at most each value, (V,)."""
    return np.searchsorted(background, values, side="right") / len(background)
