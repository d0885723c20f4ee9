"""Does a track's Tn5 shift put both strands' cuts on the centre of the transposase's site?

Tn5 duplicates nine bp of its target, and its weak sequence preference is a palindrome around the fifth of them
(Goryshin et al. 1998, 10.1073/pnas.95.18.10716; Adey et al. 2010, 10.1186/gb-2010-11-12-r119). A read starts at the
first of the nine bp, so +4 on the forward and -4 on the reverse strand bring both onto the centre. Where the
palindrome's centre lies relative to the cuts therefore tells what shift is missing, without a model of the motif.
"""

from dataclasses import dataclass, field

import numpy as np

_FLANK = 20  # bp on either side of a cut whose bases are counted
_ARM = 9  # bp on either side of a centre that are compared
_REACH = 8.0  # farthest centre looked for, in bp
_MIN_CUTS = 5_000  # of either strand; below, the composition is noise
_MIN_CORRELATION = 0.75  # real libraries reach 0.96 to 0.99 at the centre and 0.5 beside it
_PER_CHROM = 50_000  # cuts looked at on one chromosome and strand


@dataclass
class CutComposition:
    """Bases around the cuts of a track, in the direction of the read.

    Attributes:
        counts: (2, 41, 4), strand x position -20 to 20 x A C G T.
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros((2, 2 * _FLANK + 1, 4), np.int64))

    def add(self, codes: np.ndarray, forward: np.ndarray, reverse: np.ndarray) -> None:
        """Count the bases around a chromosome's cuts; a place that was cut many times counts once.

        Args:
            codes: (size,) uint8, A0 C1 G2 T3 N4.
            forward: (m,) shifted cuts at the first bases of reads.
            reverse: (n,) at their last bases.
        """
        offsets = np.arange(-_FLANK, _FLANK + 1)
        for strand, cuts in enumerate((forward, reverse)):
            places = np.unique(cuts)
            places = places[(places >= _FLANK) & (places < len(codes) - _FLANK)]
            places = places[:: 1 + len(places) // _PER_CHROM]
            bases = codes[places[:, None] + (-offsets if strand else offsets)]
            for base in range(4):
                self.counts[strand, :, base] += (bases == (3 - base if strand else base)).sum(axis=0)

    def centres(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Return where the palindrome's centre lies, in bp after the cut as the read runs, and its correlation.

        Returns:
            (centre, correlation) of the forward and the reverse strand; centres are multiples of 0.5. None with too
            few cuts.
        """
        if self.counts.sum(axis=2).min() < _MIN_CUTS:
            return None
        forward, reverse = (_centre(counts) for counts in self.counts)
        return forward, reverse


def _centre(counts: np.ndarray) -> tuple[float, float]:
    """Return the centre around which a composition mirrors its own complement best, and the correlation there."""
    share = (counts + 1) / (counts + 1).sum(axis=1, keepdims=True)
    excess = np.log(share / share.mean(axis=0))
    best = (0.0, -1.0)
    offsets = np.arange(-_FLANK, _FLANK + 1)
    for centre in np.arange(-_REACH, _REACH + 0.5, 0.5):
        left = offsets[np.abs(offsets - centre) <= _ARM]
        right = np.rint(2 * centre - left).astype(int)
        one, other = excess[left + _FLANK], excess[right + _FLANK][:, ::-1]  # [::-1] complements A C G T
        norm = np.sqrt((one**2).sum() * (other**2).sum())
        correlation = float((one * other).sum() / norm) if norm else 0.0
        if correlation > best[1]:
            best = (float(centre), correlation)
    return best


def shift_note(composition: CutComposition, shift: tuple[int, int]) -> str:
    """Return one sentence on a track's shift; "" when it is right or there are too few cuts to tell."""
    found = composition.centres()
    if found is None:
        return ""
    (forward, r_forward), (reverse, r_reverse) = found
    seen = f"palindrome r {r_forward:.2f} and {r_reverse:.2f}"
    if min(r_forward, r_reverse) < _MIN_CORRELATION:
        return f"Tn5 shift not checked: no Tn5 motif around the cuts ({seen}); is it ATAC-seq?"
    if forward == reverse == 0:
        return ""
    lies = (forward, 0.0 - reverse)  # on the forward strand, where a read at a last base runs down
    word = "warning" if max(abs(forward), abs(reverse)) > 1 else "hint"
    sentence = (
        f"{word}: with --tn5-shift {shift[0]},{shift[1]} the centre of the Tn5 site lies {lies[0]:+g} bp from first "
        f"and {lies[1]:+g} bp from last bases ({seen}): "
    )
    if forward % 1 or reverse % 1:
        return sentence + "the file mixes two conventions, which no shift mends wholly"
    return sentence + f"--tn5-shift {shift[0] + int(lies[0])},{shift[1] + int(lies[1])} puts both on it"
