"""Sequence variants from VCF, TSV, or `chr1:12345:A>G` on the command line.

Files are read line by line, plain, gzip or bgzip, LF or CRLF; memory does not grow with them. Positions in files and on
the command line are 1-based, as in VCF; a `Variant` is 0-based. A VCF record with several ALT alleles becomes as many
variants. What is legal but no plain sequence change (symbolic alleles, `*`, a missing ALT) is kept, for the caller to
report; what is no legal line is an error with its place.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .bed import integer
from .compressed import open_binary

Kind = Literal["sequence", "symbolic", "overlapping", "no_alt", "unknown_base"]
_TYPED = re.compile(r"^(.+):([\d,_]+):([A-Za-z-]*)[>:]([A-Za-z,*-]*)$")
_BASES = frozenset("ACGT")
_LETTERS = frozenset("ACGTNRYSWKMBDHV")
NORMALISED = "normalised"  # column of scores: CHROM:POSITION:REF>ALT, an indel at the left end of its repeat
_NAMES = {  # of TSV columns
    "chrom": ("chrom", "#chrom", "chr", "#chr", "chromosome"),
    "pos": ("pos", "position"),
    "ref": ("ref", "allele1", "reference"),
    "alt": ("alt", "allele2", "alternate"),
    "id": ("id", "name", "rsid", "snp"),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One alternative allele of one record.

    Attributes:
        chrom: name in the file.
        start: of the REF allele, 0-based.
        ref: upper-case bases, maybe none.
        alt: upper-case bases, maybe none, or what the file has where it is no plain sequence.
        name: of the record, "." without one.
        record: index of the record in the file, from 0.
        kind: "sequence", or why it is none.
    """

    chrom: str
    start: int
    ref: str
    alt: str
    name: str = "."
    record: int = 0
    kind: Kind = "sequence"

    @property
    def end(self) -> int:
        """First base behind the REF allele, 0-based."""
        return self.start + len(self.ref)

    def trimmed(self) -> tuple[int, str, str]:
        """Return start, REF and ALT without the bases that both alleles share, first at their ends."""
        start, ref, alt = self.start, self.ref, self.alt
        if ref == alt:
            return start, ref, alt
        while ref and alt and ref[-1] == alt[-1]:
            ref, alt = ref[:-1], alt[:-1]
        while ref and alt and ref[0] == alt[0]:
            start, ref, alt = start + 1, ref[1:], alt[1:]
        return start, ref, alt


def parse_variant(text: str, record: int = 0) -> list[Variant]:
    """Read "chr1:12345:A>G" (1-based; several ALT alleles by commas; `-` for no base) as variants.

    Raises:
        ValueError: not of this form.
    """
    found = _TYPED.match(text.strip())
    if found is None:
        raise ValueError(f"a variant must be CHROM:POSITION:REF>ALT, e.g. chr1:12345:A>G, got {text!r}")
    chrom, position, ref, alts = found.groups()
    start = int(re.sub("[,_]", "", position) or 0) - 1
    return list(_alleles(chrom, start, ref, alts, ".", record, f"{text!r}"))


def read_variants(path: str | Path) -> Iterator[Variant]:
    """Read a VCF, or a TSV with a header that names chrom, pos, ref and alt (and maybe id), in the order of the file.

    Raises:
        FileNotFoundError: no such file.
    ValueError: a BCF, no header, a carriage return within a line, a line with too few columns, a position that is
            no integer or below 0, or an allele of letters that are no bases.
    """
    path = Path(path)
    with open_binary(path) as file:
        columns, record = None, 0
        for number, raw in enumerate(file, 1):
            if number == 1:
                _refuse_bcf(path, raw)
            line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
            if not line.strip() or line.startswith("##"):
                continue
            cells = line.split("\t")
            place = f"{path}, line {number}"
            if "\r" in line:  # the end of a line for many readers, who would put later values into wrong rows
                raise ValueError(
                    f"{place}: must hold no carriage return but at its end: remove it, as by `tr -d '\\r'`"
                )
            if columns is None:
                columns = variant_header(cells, place)
                continue
            if len(cells) <= max(columns.values()):
                raise ValueError(
                    f"{place}: must have at least {max(columns.values()) + 1} tab-separated columns, got {line[:80]!r}"
                )
            start = integer(cells[columns["pos"]], place, "the position") - 1
            if start < -1:
                raise ValueError(f"{place}: the position must not be negative, got {start + 1}")
            name = cells[columns["id"]] if "id" in columns else "."
            ref, alts = cells[columns["ref"]], cells[columns["alt"]]
            yield from _alleles(cells[columns["chrom"]], start, ref, alts, name or ".", record, place)
            record += 1
        if columns is None:
            raise ValueError(f"{path} holds no header line: give a VCF, or a TSV that names chrom, pos, ref and alt")


def is_vcf(path: str | Path) -> bool:
    """Tell whether a file starts as a VCF.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a BCF.
    """
    with open_binary(Path(path)) as file:
        start = file.read(16)
    _refuse_bcf(path, start)
    return start.startswith((b"##fileformat=VCF", b"#CHROM\tPOS\tID"))


def variants_of(given: list[str] | Path) -> Callable[[], Iterator[Variant]]:
    """Return what yields the variants anew each time it is called: of a file, or of texts as of `parse_variant`."""
    if isinstance(given, Path):
        return lambda: read_variants(given)
    parsed = [variant for record, text in enumerate(given) for variant in parse_variant(text, record)]
    return lambda: iter(parsed)


def _refuse_bcf(path: str | Path, start: bytes) -> None:
    if start.startswith(b"BCF"):
        raise ValueError(
            f"{path} is a BCF file, which is not read: `bcftools view {path} > NAME.vcf` turns it into VCF"
        )


def variant_header(cells: list[str], place: str) -> dict[str, int]:
    """Return where the columns chrom, pos, ref, alt (and id, where there is one) are in a header line.

    Raises:
        ValueError: one of them is missing.
    """
    if cells[0] == "#CHROM" and cells[1:5] == ["POS", "ID", "REF", "ALT"]:
        return {"chrom": 0, "pos": 1, "id": 2, "ref": 3, "alt": 4}
    found = {}
    lower = [cell.strip().lower() for cell in cells]
    for column, names in _NAMES.items():
        place_of = [lower.index(name) for name in names if name in lower]
        if place_of:
            found[column] = place_of[0]
        elif column != "id":
            raise ValueError(
                f"{place}: the header must name chrom, pos, ref and alt, tab-separated, but has no {column!r}: "
                f"{' '.join(cells)[:80]!r}"
            )
    return found


def _alleles(chrom: str, start: int, ref: str, alts: str, name: str, record: int, place: str) -> Iterator[Variant]:
    """Yield a variant for each ALT allele of a record."""
    ref = "" if ref == "-" else ref.upper()
    if not set(ref) <= _LETTERS:
        raise ValueError(f"{place}: REF must be bases, got {ref[:40]!r}")
    for alt in alts.split(","):
        alt = alt.strip()
        kind: Kind = "sequence"
        if alt in (".", "<NON_REF>"):
            kind = "no_alt"
        elif alt in ("*", "<*>"):
            kind = "overlapping"
        elif alt.startswith("<") or "[" in alt or "]" in alt or (len(alt) > 1 and (alt[0] == "." or alt[-1] == ".")):
            kind = "symbolic"
        else:
            alt = "" if alt == "-" else alt.upper()
            if not set(alt) <= _LETTERS:
                raise ValueError(f"{place}: ALT must be bases, a symbolic allele, `*` or `.`, got {alt[:40]!r}")
            if not set(ref) | set(alt) <= _BASES:
                kind = "unknown_base"
        yield Variant(chrom, start, ref, alt, name, record, kind)
