"""Changes to a chromatin landscape: marks taken away, scaled, turned round, or copied elsewhere.

P1 and P2 are those of RasmussenLab/CLASTER: an enhancer without H3K27ac, and one as in heterochromatin.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["p1", "p2", "zero", "scale", "flip", "insert"]
KINDS: tuple[Kind, ...] = ("p1", "p2", "zero", "scale", "flip", "insert")


@dataclass(frozen=True)
class Perturbation:
    """What is done to the bins of an element.

    Args:
        kind: "p1" sets H3K27ac to 0; "p2" everything but H3K27me3; "zero" the tracks given; "scale" multiplies by
            `factor`; "flip" turns the bins' order round; "insert" copies the element, times `factor`, to another place.
        tracks: names of the tracks changed; None takes what the kind says, or all of them.
        factor: of "scale" and "insert".
        offset: bp from the landscape's centre to where the copy of "insert" begins.

    Raises:
        ValueError: no such kind, or a field that it does not have.
    """

    kind: Kind
    tracks: tuple[str, ...] | None = None
    factor: float | None = None
    offset: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a perturbation must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.kind == "zero" and not self.tracks:
            raise ValueError("perturbation zero needs the names of the tracks that become 0")
        if (self.kind == "scale") and self.factor is None:
            raise ValueError("perturbation scale needs a factor")
        if self.factor is not None and self.kind not in ("scale", "insert"):
            raise ValueError(f"perturbation {self.kind} has no factor, got {self.factor}")
        if (self.kind == "insert") != (self.offset is not None):
            raise ValueError("an offset in bp is what perturbation insert needs, and no other has")

    def rows(self, names: Sequence[str]) -> list[int]:
        """Return which rows of a landscape with these track names are changed.

        Raises:
            ValueError: a track that the landscape lacks.
        """
        if self.tracks is not None:
            if unknown := [name for name in self.tracks if name not in names]:
                raise ValueError(f"the landscape has no track {unknown[0]!r}; it has {', '.join(names)}")
            return [names.index(name) for name in self.tracks]
        if self.kind not in ("p1", "p2"):
            return list(range(len(names)))
        mark = "h3k27ac" if self.kind == "p1" else "h3k27me3"
        marked = [i for i, name in enumerate(names) if mark in re.sub(r"[^a-z0-9]", "", name.lower())]
        if not marked:
            raise ValueError(
                f"perturbation {self.kind} needs a track of {mark}, and the landscape has {', '.join(names)}; "
                "name the tracks that become 0 with zero"
            )
        return marked if self.kind == "p1" else [i for i in range(len(names)) if i not in marked]

    def apply(self, landscape: np.ndarray, first: int, stop: int, *, names: Sequence[str], bin_size: int) -> np.ndarray:
        """Return a changed copy of a landscape.

        Args:
            landscape: (R, P) raw signal.
            first: first bin of the element.
            stop: the bin after its last.
            names: of the rows.
            bin_size: bp.

        Raises:
            ValueError: the copy of "insert" runs off the landscape.
        """
        changed, rows = np.array(landscape), self.rows(names)
        part = changed[rows, first:stop]
        if self.kind == "scale":
            changed[rows, first:stop] = part * np.float32(self.factor or 0.0)
        elif self.kind == "flip":
            changed[rows, first:stop] = part[:, ::-1]
        elif self.kind == "insert":
            begin = landscape.shape[1] // 2 + (self.offset or 0) // bin_size
            end = begin + stop - first
            if begin < 0 or end > landscape.shape[1]:
                raise ValueError(
                    f"the copy must lie on the landscape's {landscape.shape[1]} bins, got bins {begin} to {end}; "
                    "choose another offset"
                )
            changed[rows, begin:end] = part * np.float32(1.0 if self.factor is None else self.factor)
        else:
            changed[rows, first:stop] = 0
        return changed


def element_bins(
    start: int, end: int, centre: int, *, num_bins: int, bin_size: int, inclusive: bool = True
) -> tuple[int, int] | None:
    """Return the first bin of an element and the one after its last; None where it runs off the landscape.

    Args:
        start: bp.
        end: bp, half-open.
        centre: bp that the central bin's middle lies on.
        num_bins: of the landscape.
        bin_size: bp.
        inclusive: with the bin that the element ends in, as the source's gene-centred script; without it, as its
            enhancer-centred one, but never without any.
    """
    origin = centre - num_bins * bin_size // 2
    first, last = (start - origin) // bin_size, (end - 1 - origin) // bin_size
    stop = last + 1 if inclusive else max((end - origin) // bin_size, first + 1)
    return (first, stop) if first >= 0 and stop <= num_bins else None
