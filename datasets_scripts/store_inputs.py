"""What a store is made from, checked at the door, and what became of each input."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .barcodes import cell_types
from .bed import parse_region
from .bigwig import SUMMARIES, Summary
from .chrom_names import lost_rows, shown
from .folds import Split
from .interval_signal import PEAK_VALUES, PeakValue
from .reads import DUPLICATES, ReadRules
from .store_files import ALIGNMENT
from .track_kinds import KINDS, READ_KINDS, Kind, recognise_by_start, recognise_kind

_FINGERPRINTED = 1 << 20  # bytes at either end of a file
_CPM = 1e6
_MOST_DEPTH = 1e15  # far more than any experiment has, and far from what float32 holds
_BY_CHOICE = {  # reasons why rows are left out that nobody needs a warning of
    *("chromosome not chosen", "in an excluded region", "another cell type", "barcode not in the table"),
    "the other mate of a pair",
}
_ASSAY = re.compile(r"[A-Za-z0-9][\w .,+/()&-]{0,59}")  # it goes into cards as it is
_TWO_BIT = (b"\x43\x27\x41\x1a", b"\x1a\x41\x27\x43")  # its first bytes, in either byte order


def name_and_path(text: str) -> tuple[str, Path]:
    """Split "NAME=PATH" or "PATH"; the default name is the file's without its suffix."""
    name, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        path = text
        name = re.sub(r"\.b?gz$", "", Path(path).name)
        name = name.rsplit(".", 1)[0] if "." in name[1:] else name
    return name, Path(path)


@dataclass(frozen=True)
class TrackSource:
    """One track's file, and how it is read.

    Attributes:
        name: letters, digits and `_ . + -`; the track's name in the store and the models made from it.
        path: the file.
        kind: its format; `TrackSource.parse` recognises it.
        tn5_shift: bp added to the first and the last base of a read or fragment.
        rules: which reads count.
        exclude: "chrom" or "chrom:start-end" where nothing counts (chrM, rDNA); the signal is 0 there.
        depth: the signal is scaled to this sum over the genome (1e6: counts per million); None leaves it as it is.
        peak_value: of peaks, 1 inside ("one"), their signalValue ("signal") or the number at their name's end ("name").
        barcodes: table of barcodes and cell types, for fragments with barcodes; `pseudobulks` makes a track of each.
        cell_type: the one that is this track.
        spool: folder in which `read_once` left the file's reads.
    """

    name: str
    path: Path
    kind: Kind = "bigwig"
    tn5_shift: tuple[int, int] = (0, 0)
    rules: ReadRules = field(default_factory=ReadRules)
    exclude: tuple[str, ...] = ()
    depth: float | None = None
    peak_value: PeakValue = "one"
    barcodes: Path | None = None
    cell_type: str = ""
    spool: Path | None = None

    @classmethod
    def parse(cls, text: str, *, reads: bool = False, kind: Kind | None = None, **options: Any) -> "TrackSource":
        """Read "NAME=PATH" or "PATH".

        Args:
            text: the option's value.
            reads: the file holds reads or fragments (`recognise_kind`).
            kind: the format; None recognises it.
            **options: further attributes.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a file that is not recognised.
        """
        name, path = name_and_path(text)
        return cls(name, path, kind or recognise_kind(path, reads=reads), **options)

    @property
    def is_reads(self) -> bool:
        """Whether insertions are counted."""
        return self.kind in READ_KINDS

    @property
    def normalisation(self) -> str:
        """What is done to the signal: "none", "cpm" or "to DEPTH"."""
        return "none" if self.depth is None else "cpm" if self.depth == _CPM else f"to {self.depth:.15g}"

    def pseudobulks(self, *, prefix: bool) -> "list[TrackSource]":
        """Return a track for each cell type of the barcode table.

        Args:
            prefix: tracks are called NAME.TYPE, not TYPE.

        Raises:
            ValueError: what `cell_types` refuses.
        """
        if self.barcodes is None:
            return [self]
        found = []
        for cell_type in cell_types(self.barcodes):
            name = f"{self.name}.{cell_type}" if prefix and cell_type else cell_type or self.name
            found.append(replace(self, name=name, cell_type=cell_type))
        return found

    def describe(self) -> dict[str, Any]:
        """Return how the file is read, for a store's description."""
        found: dict[str, Any] = {"kind": self.kind, "tn5_shift": list(self.tn5_shift)}
        found["normalisation"] = self.normalisation
        if self.is_reads:
            found |= asdict(self.rules)
        if self.kind == "peaks":
            found["peak_value"] = self.peak_value
        if self.barcodes is not None:
            found["cell_type"] = self.cell_type
        return found | ({"exclude": list(self.exclude)} if self.exclude else {})


def parse_normalise(text: str) -> float | None:
    """Read --normalise: "none", "cpm", or the depth to scale to.

    Raises:
        ValueError: anything else.
    """
    if text in ("none", "cpm"):
        return _CPM if text == "cpm" else None
    try:
        depth = float(text)
    except ValueError:
        depth = 0.0
    if not 0 < depth <= _MOST_DEPTH:
        raise ValueError(
            f"--normalise must be none, cpm or a depth above 0 and up to {_MOST_DEPTH:g}, such as 2e7, got {text!r}"
        )
    return depth


@dataclass(frozen=True)
class StoreInputs:
    """What a store is made from.

    Attributes:
        fasta: the genome; several files, one after the other, are one genome.
        tracks: at least one.
        split: a JSON file, "asap-0" to "asap-4", a `Split`, or None: "asap-0" for a genome with chr1 to chr22.
        peaks: narrowPeak or BED; None takes the peaks of the tracks that are peaks, all together, if any is.
        blacklist: BED of regions never used.
        unmappable: BED of regions without unique reads.
        mask_regions: "chrom:start-end" or "chrom", joined to the blacklist.
        bin_size: bp per bin, a power of two up to 4096.
        summary: of the bases of a bin; None: "max" for signal (Grover et al. 2026), "sum" for reads.
        genome: name of the assembly.
        chroms: chromosomes to take; None takes all.
        assay: what was measured, e.g. "ATAC-seq", for cards; "" where it is not said.
    """

    fasta: Path | tuple[Path, ...]
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
    assay: str = ""

    @property
    def fasta_files(self) -> tuple[Path, ...]:
        """The files of the genome."""
        return self.fasta if isinstance(self.fasta, tuple) else (self.fasta,)


@dataclass
class InputReport:
    """What was read from one input, what was kept, and why the rest was dropped.

    Attributes:
        input: "fasta", "track NAME", "peaks", "blacklist", "unmappable", "mask regions" or "split".
        file: name of the file, or "".
        unit: what is counted: "chromosomes", "fragments", "alignments", "peaks", "intervals", "entries".
        read: number in the file.
        kept: number in the store.
        dropped: number left out, by reason.
        notes: what else a user should know.
        facts: what was found of the track: "depth" (insertions, or the sum of a signal over the genome's bp) and the
            "scale" that its values were multiplied by, where it is normalised.
        num_bytes: size of the file.
        sha256: of the file's first and last MiB; with the size it tells files apart without reading them whole.
        warnings: what a user must know: most of the file was lost, and what of it.
    """

    input: str
    file: str = ""
    unit: str = "intervals"
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)
    num_bytes: int = 0
    sha256: str = ""
    warnings: list[str] = field(default_factory=list)

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

    @classmethod
    def of_all(cls, name: str, paths: tuple[Path, ...], unit: str = "intervals") -> "InputReport":
        """Begin the report of one input that lies in one or several files; their digests become one."""
        first, *others = (cls.of(name, path, unit) for path in paths)
        if others:
            digests = "".join(report.sha256 for report in (first, *others))
            first.sha256 = hashlib.sha256(digests.encode()).hexdigest()
            first.file = ", ".join(path.name for path in paths)
            first.num_bytes += sum(report.num_bytes for report in others)
        return first

    def drop(self, reason: str, number: int) -> None:
        """Add to the count of one reason."""
        if number:
            self.dropped[reason] = self.dropped.get(reason, 0) + number

    def check_loss(self, unknown_chroms: Iterable[str] = ()) -> None:
        """Warn where less than half is kept of what was not left out by choice.

        Args:
            unknown_chroms: names in the file that the genome lacks.
        """
        by_choice = sum(self.dropped.get(reason, 0) for reason in _BY_CHOICE)
        lost = [f"{number:,} {reason}" for reason, number in self.dropped.items() if reason not in _BY_CHOICE]
        if unknown := list(unknown_chroms):
            lost.append(f"the genome lacks {shown(unknown)}")
        what = f"{self.input} {self.file}".strip()
        if text := lost_rows(what, kept=self.kept, read=self.read - by_choice, unit=self.unit, lost=lost):
            self.warnings.append(text)


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
    if inputs.assay and not _ASSAY.fullmatch(inputs.assay):
        raise ValueError(f"--assay must be up to 60 letters, digits and _ . , + - / & (), got {inputs.assay!r}")
    names = [track.name for track in inputs.tracks]
    for name in names:
        if not re.fullmatch(r"[\w+-][\w.+-]*", name, re.ASCII):
            raise ValueError(
                f"a track's name must be letters, digits and _ . + -, got {name!r}: name it, as in --track name=path"
            )
        if names.count(name) > 1:
            raise ValueError(f"two tracks are called {name!r}: name them apart, as in --track name=path")
    paths = [
        *inputs.fasta_files,
        *(track.path for track in inputs.tracks),
        *(track.barcodes for track in inputs.tracks),
    ]
    for path in [*paths, inputs.peaks, inputs.blacklist, inputs.unmappable]:
        if path is not None and not Path(path).is_file():
            raise FileNotFoundError(f"{path} does not exist or is not a file")
    for fasta in inputs.fasta_files:
        with Path(fasta).open("rb") as file:
            if file.read(4) in _TWO_BIT:
                raise ValueError(f"{fasta} is a 2bit file: make a FASTA of it, as by `twoBitToFa`, and give that")
    for track in inputs.tracks:
        _check_track(track)
    if inputs.summary is not None:
        return inputs.summary
    kinds = {track.is_reads for track in inputs.tracks}
    if len(kinds) > 1:
        raise ValueError(
            "tracks of signal and of reads in one store need --summary max, mean or sum, which holds for all"
        )
    return "sum" if kinds == {True} else "max"


def _check_track(track: TrackSource) -> None:
    """Check a track's options, one by one and against its format."""
    if track.kind not in KINDS:
        raise ValueError(f"track {track.name}: --kind must be one of {', '.join(KINDS)}, got {track.kind!r}")
    is_bigwig = recognise_by_start(track.path) == "bigwig"
    if is_bigwig and track.kind != "bigwig":
        raise ValueError(f"track {track.name}: {track.path} is a bigWig, not a {track.kind} file: leave --kind out")
    if track.rules.duplicates not in DUPLICATES:
        raise ValueError(f"--duplicates must be one of {', '.join(DUPLICATES)}, got {track.rules.duplicates!r}")
    if not 0 <= track.rules.min_mapping_quality <= 254:
        raise ValueError(f"--min-mapq must be from 0 to 254, got {track.rules.min_mapping_quality}")
    if track.peak_value not in PEAK_VALUES:
        raise ValueError(f"--peak-value must be one of {', '.join(PEAK_VALUES)}, got {track.peak_value!r}")
    if track.depth is not None and not 0 < track.depth <= _MOST_DEPTH:
        raise ValueError(f"track {track.name}: its depth must be above 0 and up to {_MOST_DEPTH:g}, got {track.depth}")
    if track.depth is not None and track.kind == "peaks":
        raise ValueError(f"track {track.name}: peaks have no depth to be normalised by: leave --normalise out")
    if track.barcodes is not None and track.kind != "fragments":
        raise ValueError(f"track {track.name}: --barcodes needs fragments with barcodes, got a {track.kind} file")
    if track.barcodes is not None and track.rules.duplicates == "collapse":
        raise ValueError(
            f"track {track.name}: fragments of single cells are collapsed in each cell already, and --duplicates "
            "collapse would merge cells: leave it out"
        )
    for text in track.exclude:
        parse_region(text)
