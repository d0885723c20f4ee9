"""What a store is made from, checked at the door, and what became of each input."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .bigwig import SUMMARIES, Summary
from .folds import Split
from .store import ALIGNMENT

_BIGWIG_SUFFIXES = (".bw", ".bigwig")
_FINGERPRINTED = 1 << 20  # bytes at either end of a file


@dataclass(frozen=True)
class TrackSource:
    """One track's file.

    Attributes:
        name: letters, digits and `_ . + -`; the track's name in the store and the models made from it.
        path: a bigWig, or fragments.
        kind: which of the two.
        tn5_shift: bp added to the first and the last base of a fragment.
    """

    name: str
    path: Path
    kind: Literal["bigwig", "fragments"] = "bigwig"
    tn5_shift: tuple[int, int] = (0, 0)

    @classmethod
    def parse(
        cls, text: str, *, kind: Literal["bigwig", "fragments"] = "bigwig", tn5_shift: tuple[int, int] = (0, 0)
    ) -> "TrackSource":
        """Read "NAME=PATH" or "PATH"; the default name is the file's without its suffix."""
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            path = text
            name = Path(path).name.removesuffix(".gz")
            name = name.rsplit(".", 1)[0] if "." in name[1:] else name
        return cls(name, Path(path), kind, tn5_shift)


@dataclass(frozen=True)
class StoreInputs:
    """What a store is made from.

    Attributes:
        fasta: the genome.
        tracks: at least one.
        split: a JSON file, "asap-0" to "asap-4", a `Split`, or None: "asap-0" for a genome with chr1 to chr22.
        peaks: narrowPeak or BED; None for a store that is evaluated genome-wide only.
        blacklist: BED of regions never used.
        unmappable: BED of regions without unique reads.
        mask_regions: "chrom:start-end" or "chrom", joined to the blacklist.
        bin_size: bp per bin, a power of two up to 4096.
        summary: of the bases of a bin; None: "max" for bigWigs (Grover et al. 2026), "sum" for fragments.
        genome: name of the assembly.
        chroms: chromosomes to take; None takes all.
    """

    fasta: Path
    tracks: tuple[TrackSource, ...]
    split: Path | str | Split | None = None
    peaks: Path | None = None
    blacklist: Path | None = None
    unmappable: Path | None = None
    mask_regions: tuple[str, ...] = ()
    bin_size: int = 4
    summary: Summary | None = None
    genome: str = ""
    chroms: tuple[str, ...] | None = None


@dataclass
class InputReport:
    """What was read from one input, what was kept, and why the rest was dropped.

    Attributes:
        input: "fasta", "track NAME", "peaks", "blacklist", "unmappable", "mask regions" or "split".
        file: name of the file, or "".
        unit: what is counted: "chromosomes", "fragments", "peaks", "intervals", "entries".
        read: number in the file.
        kept: number in the store.
        dropped: number left out, by reason.
        notes: what else a user should know.
        num_bytes: size of the file.
        sha256: of the file's first and last MiB; with the size it tells files apart without reading them whole.
    """

    input: str
    file: str = ""
    unit: str = "intervals"
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    num_bytes: int = 0
    sha256: str = ""

    @classmethod
    def of(cls, name: str, path: Path, unit: str = "intervals") -> "InputReport":
        """Begin the report of a file with its size and digest."""
        digest = hashlib.sha256()
        size = path.stat().st_size
        with path.open("rb") as file:
            digest.update(file.read(_FINGERPRINTED))
            file.seek(max(_FINGERPRINTED, size - _FINGERPRINTED))
            digest.update(file.read())
        return cls(name, path.name, unit, num_bytes=size, sha256=digest.hexdigest())

    def drop(self, reason: str, number: int) -> None:
        """Add to the count of one reason."""
        if number:
            self.dropped[reason] = self.dropped.get(reason, 0) + number


def check_inputs(inputs: StoreInputs) -> Summary:
    """Check the options and that every file is there; return the summary to use.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: an option out of its range, or a track's name or file type.
    """
    if not inputs.tracks:
        raise ValueError("a store needs at least one track: give --track a.bw or --fragments a.bed.gz")
    if inputs.bin_size < 1 or ALIGNMENT % inputs.bin_size:
        raise ValueError(f"--bin-size must be a power of two from 1 to {ALIGNMENT}, got {inputs.bin_size}")
    if inputs.summary is not None and inputs.summary not in SUMMARIES:
        raise ValueError(f"--summary must be one of {', '.join(SUMMARIES)}, got {inputs.summary!r}")
    names = [track.name for track in inputs.tracks]
    for name in names:
        if not re.fullmatch(r"[\w+-][\w.+-]*", name, re.ASCII):
            raise ValueError(
                f"a track's name must be letters, digits and _ . + -, got {name!r}: name it, as in --track name=path"
            )
        if names.count(name) > 1:
            raise ValueError(f"two tracks are called {name!r}: name them apart, as in --track name=path")
    for track in inputs.tracks:
        is_bigwig = track.path.name.lower().endswith(_BIGWIG_SUFFIXES)
        if track.kind == "bigwig" and not is_bigwig:
            raise ValueError(
                f"--track must be a bigWig (.bw, .bigWig), got {track.path}: for fragments use --fragments"
            )
        if track.kind == "fragments" and is_bigwig:
            raise ValueError(f"--fragments must be a BED-like file, got {track.path}: for a bigWig use --track")
    paths = [inputs.fasta, *(track.path for track in inputs.tracks), inputs.peaks, inputs.blacklist, inputs.unmappable]
    for path in paths:
        if path is not None and not Path(path).is_file():
            raise FileNotFoundError(f"{path} does not exist or is not a file")
    if inputs.summary is not None:
        return inputs.summary
    kinds = {track.kind for track in inputs.tracks}
    if len(kinds) > 1:
        raise ValueError("bigWig and fragment tracks in one store need --summary max, mean or sum, which holds for all")
    return "sum" if kinds == {"fragments"} else "max"
