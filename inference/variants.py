"""The two alleles of a variant as a model reads them, and why some are not read.

A variant is first normalised on the genome (Tan et al. 2015): stripped of the bases that both alleles share, and an
insertion or a deletion in a repeat put where the repeat begins, so that every way to write it gives the same windows.
What is left starts at the base that Grover et al. put their SNVs on: index `input_length` / 2 - 1 of the window. Both
alleles share the left flank base by base; to the right of an insertion or a deletion the window of ALT holds other
bases of the genome than that of REF, so that both are full.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..datasets_scripts.chrom_names import match_chroms
from ..datasets_scripts.fasta import Fasta, decode, encode
from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.variants import Variant
from ..modeling import AtacConfig
from .predict import cut_windows
from .variant_scores import SMOOTHING_REACH

_STEP = 64  # bp of a repeat looked at first
OK = "ok"
STATUSES = {
    OK: "scored",
    "ref_mismatch": "REF is not what the genome has there",
    "unknown_chrom": "the genome has no such chromosome",
    "off_end": "the position lies off the chromosome",
    "symbolic": "a symbolic allele or a breakend",
    "overlapping": "the allele `*`, deleted by another variant",
    "no_alt": "no alternative allele",
    "unknown_base": "an allele with a letter that is not A, C, G or T",
    "too_long": "alleles longer than the model's window holds beside the bases compared",
}


class GenomeBases:
    """Bases of a store or a FASTA, by chromosome and position.

    Args:
        source: the genome.
        chroms: names that will be asked for, as the variants have them; "chr1" and "1" are one name.
    """

    def __init__(self, source: GenomeStore | Fasta, chroms: Iterable[str]) -> None:
        self.source = source
        self.sizes = source.chrom_sizes
        chroms = list(chroms)
        self._names = match_chroms(chroms, self.sizes, what="variants with the genome") if chroms else {}

    def known(self, chrom: str) -> str | None:
        """Return the genome's name of a chromosome; None where it has none."""
        return self._names.get(chrom)

    def fetch(self, chrom: str, start: int, end: int) -> np.ndarray:
        """Return codes (end - start,) uint8 of a chromosome under the genome's name, N beyond its ends."""
        if isinstance(self.source, Fasta):
            return encode(self.source.fetch(chrom, start, end))
        return cut_windows(self.source.codes(chrom), np.array([start]), end - start)[0]


Fetch = Callable[[str, int, int], np.ndarray]


def normalised(variant: Variant, chrom: str, fetch: Fetch) -> Variant:
    """Return a variant without shared bases, an indel at the left end of the places where it can be written.

    As `bcftools norm` and vt do it (Tan et al. 2015, doi 10.1093/bioinformatics/btv112), but for the base before an
    indel, which VCF writes and this leaves out.

    Args:
        variant: of plain sequence; its REF allele is the genome's.
        chrom: its chromosome under the genome's name.
        fetch: as `GenomeBases.fetch`.
    """
    start, ref, alt = variant.trimmed()
    bases = ref or alt
    if bool(ref) == bool(alt):  # a substitution has one place
        return replace(variant, start=start, ref=ref, alt=alt)
    step = _STEP
    while start > 0:
        before = decode(fetch(chrom, max(0, start - step), start))
        shift = 0
        while shift < len(before) and before[-1 - shift] == bases[-1 - shift % len(bases)]:
            shift += 1
        turn = shift % len(bases)
        bases = bases[len(bases) - turn :] + bases[: len(bases) - turn]
        start -= shift
        if shift < len(before):
            break
        step *= 2
    return replace(variant, start=start, ref=bases if ref else "", alt="" if ref else bases)


def normalised_text(variant: Variant, chrom: str, fetch: Fetch) -> str:
    """Return a variant as CHROM:POSITION:REF>ALT (1-based), normalised, with an indel's base before it as in VCF."""
    placed = normalised(variant, chrom, fetch)
    start, ref, alt = placed.start, placed.ref, placed.alt
    if not ref or not alt:
        at = start - 1 if start else start + len(ref)  # an indel of the first base is written with the one behind it
        anchor = decode(fetch(chrom, at, at + 1))
        ref, alt = (anchor + ref, anchor + alt) if start else (ref + anchor, alt + anchor)
        start = max(0, start - 1)
    return f"{variant.chrom}:{start + 1}:{ref}>{alt}"


def first_base(input_length: int) -> int:
    """Return the index in a window that is not shifted of a variant's first base."""
    return input_length // 2 - 1


def allele_windows(
    variant: Variant,
    chrom: str,
    fetch: Fetch,
    *,
    input_length: int,
    shifts: Sequence[int] = (0,),
) -> np.ndarray:
    """Return the windows of both alleles, (S, 2, input_length) uint8 codes: REF, then ALT.

    Args:
        variant: of plain sequence, `normalised`.
        chrom: its chromosome under the genome's name.
        fetch: as `GenomeBases.fetch`.
        input_length: bp of a window.
        shifts: S numbers of bp by which windows are moved.
    """
    start, ref, alt = variant.trimmed()
    begin = start - first_base(input_length)
    first, last = begin + min(shifts), begin + max(shifts) + input_length + max(0, len(ref) - len(alt))
    genome = fetch(chrom, first, last)
    changed = np.concatenate([genome[: start - first], encode(alt), genome[start - first + len(ref) :]])
    cuts = [begin + shift - first for shift in shifts]
    return np.stack([[codes[cut : cut + input_length] for codes in (genome, changed)] for cut in cuts])


@dataclass(frozen=True)
class AlleleGrid:
    """Where windows of alleles lie, and which of their bins are looked at.

    Attributes:
        config: of the model.
        window: bp around a variant that are compared, half on each side.
        shifts: bp by which windows are moved to average over, multiples of the bin size.

    Raises:
        ValueError: a shift off the bins, or more than the target holds.
    """

    config: AtacConfig
    window: int = 512
    shifts: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        bin_size, target = self.config.bin_size, self.config.target_length
        if (
            not self.shifts
            or any(shift % bin_size for shift in self.shifts)
            or len(set(self.shifts)) < len(self.shifts)
        ):
            raise ValueError(
                f"shifts must be different multiples of the model's bin size of {bin_size} bp, got {list(self.shifts)}"
            )
        if self.window < 2 or self.window % 2 or self.longest < 1 or self.crop(self.longest) < 0:
            raise ValueError(
                f"the bases compared around a variant must be an even number, and with the shifts fit the model's "
                f"target of {target} bp, got a window of {self.window} bp and shifts {list(self.shifts)}"
            )

    @property
    def centre(self) -> int:
        """Index in a window that is not shifted of a variant's first base."""
        return first_base(self.config.input_length)

    @property
    def longest(self) -> int:
        """Bp of the longest allele, stripped of shared bases, that can be scored."""
        return self._flank - self._reach

    @property
    def smoothed(self) -> bool:
        """Whether the target holds the bins that smoothed scores read; with bins of 64 bp most targets do not."""
        return self._flank > SMOOTHING_REACH * self.config.bin_size

    @property
    def _flank(self) -> int:
        """Bp of the target to the left of a variant's own bin."""
        return self.centre - self.config.crop_bins * self.config.bin_size - self.config.bin_size

    @property
    def _reach(self) -> int:
        """Bp on each side of a variant that scores read, without the alleles themselves."""
        return max(self.window // 2, SMOOTHING_REACH * self.config.bin_size if self.smoothed else 0)

    @property
    def _most_shifted(self) -> int:
        return max(map(abs, self.shifts)) // self.config.bin_size

    def first_bin(self, longest: int) -> int:
        """Return the first bin of a window without shift that is looked at, where alleles are up to `longest` bp."""
        return (self.centre - self._reach - longest) // self.config.bin_size

    def crop(self, longest: int) -> int:
        """Return the bins left out on each side of every window, shifted or not."""
        return self.first_bin(longest) - self._most_shifted

    def on_one_grid(self, predictions: np.ndarray) -> np.ndarray:
        """Cut predictions of shifted windows (..., S, n bins) to the bins that all have, lying under one another."""
        most, bin_size = self._most_shifted, self.config.bin_size
        length = predictions.shape[-1] - 2 * most
        return np.stack(
            [predictions[..., i, most - shift // bin_size :][..., :length] for i, shift in enumerate(self.shifts)],
            axis=-2,
        )


def variant_status(variant: Variant, genome: GenomeBases, longest: int) -> str:
    """Return why a variant is not scored, or "ok"; see `STATUSES`.

    Args:
        variant: one allele.
        genome: its REF allele is compared with it.
        longest: bp of the longest allele that can be scored.
    """
    if variant.kind != "sequence":
        return variant.kind
    chrom = genome.known(variant.chrom)
    if chrom is None:
        return "unknown_chrom"
    if variant.start < 0 or variant.end > genome.sizes[chrom]:
        return "off_end"
    _, ref, alt = variant.trimmed()
    if max(len(ref), len(alt)) > longest and ref != alt:
        return "too_long"
    if not np.array_equal(genome.fetch(chrom, variant.start, variant.end), encode(variant.ref)):
        return "ref_mismatch"
    return OK
