"""One rule for chromosome names that differ between files: chr1 and 1, chrM and MT.

Every name is looked up by itself: as it is; with "chr" added or taken away; by what it stands for (`chrom_key`), as
Mito and MtDNA, or chrUn_KI270742v1 of UCSC and KI270742.1. Roman and Arabic numbers are the same chromosome only where
one side counts in Roman numbers and has a partner for every Arabic number of the other.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence

_MITOCHONDRION = {"m", "mt", "mito", "mtdna", "mitochondrion", "mitochondrion_genome", "dmel_mitochondrion_genome"}
_PLASTID = {"c", "pt", "chloroplast", "plastid"}
_UCSC_CONTIG = re.compile(r"(?:[^_]+_)([a-z]{2,4}\d{6,})(?:v(\d+))?(?:_(?:random|alt|fix|hap\d*))?", re.IGNORECASE)
_CONTIG = re.compile(r"([a-z]{2,4}_?\d{6,})(?:\.(\d+))?", re.IGNORECASE)
_WHOLE_CHROMS = ("NC", "CM", "CP", "OX", "OU")  # accessions of whole chromosomes (RefSeq, GenBank), not of contigs
_PIECES = re.compile(r"_random|_alt|_fix|decoy|^HLA|Un_|scaffold|contig|EBV", re.IGNORECASE)
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI")


def chrom_key(name: str) -> str:
    """Return what a name stands for: "1" of chr1, "M" of chrMT and Mito, "KI270706.1" of chr1_KI270706v1_random."""
    if found := _UCSC_CONTIG.fullmatch(name) or _CONTIG.fullmatch(name):
        return f"{found[1].upper()}.{found[2] or 1}"
    bare = name[3:] if name[:3].lower() == "chr" and len(name) > 3 else name
    lower = bare.lower()
    if lower in _MITOCHONDRION:
        return "M"
    if lower in _PLASTID and (bare != name or lower != "c"):
        return "Pt"
    return bare.upper() if re.fullmatch(r"\d+[a-z]?|[ivxyzwu]+", lower) else bare


def match_chroms(wanted: Iterable[str], available: Iterable[str], *, what: str) -> dict[str, str]:
    """Pair the names of one file with the names of another, name by name.

    Two spellings of one chromosome ("VI" and "chrVI" in one VCF) have the same partner. A synonym of the mitochondrion
    has none where another name of the file fits better: where chrM and chrMT are two sequences they stay apart.

    Args:
        wanted: names to look up.
        available: names to find them among.
        what: what is being paired, for the message ("peaks of a.bed with the genome").

    Returns:
        Wanted name -> available name, in the order of `wanted`; names without a partner are left out.

    Raises:
        ValueError: no name has a partner, or only contigs and the mitochondrion have, as where one file calls the
            chromosomes 1, 2, 3 and the other NC_000001.11.
    """
    wanted, available = list(dict.fromkeys(wanted)), list(dict.fromkeys(available))
    pairs = pair_chroms(wanted, available)
    if not pairs:
        raise ValueError(
            f"no chromosome name in common for {what}: {shown(wanted)} against {shown(available)}; "
            "tried the names as they are and with chr added or taken away: rename one side"
        )
    lost = [name for name in wanted if name not in pairs and _is_whole(name)]
    free = set(available) - set(pairs.values())
    others = [name for name in available if name in free and _is_whole(name)]
    kept = [name for name in pairs if _is_whole(name)]
    if lost and others and not kept and not {_shape(name) for name in lost} & {_shape(name) for name in others}:
        raise ValueError(
            f"no chromosome in common for {what} but {shown(pairs)}: {shown(lost)} against {shown(others)} follow two "
            "conventions: rename one side"
        )
    return pairs


def names_in_file(pairs: Mapping[str, str], *, what: str) -> dict[str, str]:
    """Turn the pairs of `match_chroms` around, for a file of which each chromosome is read under one name.

    Raises:
        ValueError: the file has two names for one chromosome.
    """
    names: dict[str, str] = {}
    for name, chrom in pairs.items():
        if chrom in names:
            raise ValueError(
                f"{what} has two names for one chromosome, {names[chrom]} and {name}, both {chrom} of the genome: "
                "leave one out of it"
            )
        names[chrom] = name
    return names


def check_sizes(
    sizes: Mapping[str, int],
    pairs: Mapping[str, str],
    genome_sizes: Mapping[str, int],
    *,
    used: Container[str],
    what: str,
    remedy: str,
    other: str = "the FASTA",
) -> list[str]:
    """Compare the lengths of a file's chromosomes with the genome's.

    Args:
        sizes: bp of the file's chromosomes.
        pairs: from `match_chroms`.
        genome_sizes: bp of the genome's.
        used: chromosomes of the genome that are read; others may differ (chrM of another version, left out).
        what: the file.
        remedy: what to give instead.
        other: where the genome's lengths come from.

    Returns:
        A note for each chromosome of another length that is not read.

    Raises:
        ValueError: one that is read has another length.
    """
    notes = []
    for name, chrom in pairs.items():
        size = sizes.get(name, genome_sizes[chrom])
        if size == genome_sizes[chrom]:
            continue
        if chrom in used:
            raise ValueError(
                f"{what} says {name} has {size} bp, {other}'s {chrom} has {genome_sizes[chrom]}: they are of "
                f"different assemblies, {remedy}"
            )
        notes.append(f"{name} has {size:,} bp, {other}'s {chrom} {genome_sizes[chrom]:,}: it is not read")
    return notes


def shown(names: Iterable[str], limit: int = 8) -> str:
    """Return the first names, and how many more there are, for a message."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"[{', '.join(names[:limit])}{more}]"


def lost_rows(what: str, *, kept: int, read: int, unit: str, lost: Iterable[str]) -> str | None:
    """Return the sentence that is due where less than half of what was read is kept; None where it is not.

    Args:
        what: the file or the table.
        kept: rows kept.
        read: rows that could have been.
        unit: what the rows are.
        lost: reasons or names, with their numbers, for the message.
    """
    if 2 * kept >= read:
        return None
    return f"{what}: only {kept:,} of {read:,} {unit} are kept ({', '.join(lost)}): is it of the same genome?"


def lost_of_table(what: str, chroms: Sequence[str], pairs: Mapping[str, str], *, unit: str) -> str | None:
    """Return the sentence that is due where less than half of a table's rows lie on chromosomes with a partner.

    Args:
        what: the table.
        chroms: of each row.
        pairs: from `match_chroms`.
        unit: what the rows are.
    """
    lost = [chrom for chrom in chroms if chrom not in pairs]
    names = shown(dict.fromkeys(lost))
    return lost_rows(
        what, kept=len(chroms) - len(lost), read=len(chroms), unit=unit, lost=[f"lost are those on {names}"]
    )


def pair_chroms(wanted: list[str], available: list[str]) -> dict[str, str]:
    """Pair each name with the nearest there is, by the rule of this file; names without a partner are left out.

    For names that a user chose; those of a whole file go through `match_chroms`, which sees a lost convention.
    """
    there = set(available)
    by_key: dict[str, list[str]] = {}
    for name in available:
        by_key.setdefault(chrom_key(name), []).append(name)
    renumbered = _renumbered(wanted, available)
    pairs: dict[str, str] = {}
    for name in wanted:
        spellings = (name, "chr" + name, name.removeprefix("chr"))
        if exact := next((spelling for spelling in spellings if spelling in there), None):
            pairs[name] = exact
    taken = set(pairs.values())
    for name in wanted:
        if name in pairs:
            continue
        key = chrom_key(name)
        same = by_key.get(key) or by_key.get(renumbered.get(key, ""), [])
        if len(same) != 1 or (key == "M" and same[0] in taken):
            continue
        pairs[name] = same[0]
        taken.add(same[0])
    return {name: pairs[name] for name in wanted if name in pairs}


def _renumbered(wanted: Iterable[str], available: Iterable[str]) -> dict[str, str]:
    """Return key of a wanted name -> key in the other numbers; nothing where the two sides do not count so."""
    here, there = ({chrom_key(name) for name in names} for names in (wanted, available))
    counts = {side: bool(keys & set(_ROMAN[1:4])) for side, keys in (("here", here), ("there", there))}
    if counts["here"] == counts["there"]:
        return {}
    roman, arabic = (here, there) if counts["here"] else (there, here)
    pairs = {r: str(n) for n, r in enumerate(_ROMAN, 1) if r in roman and (r != "X" or "IX" in roman)}  # X: a sex's
    if {key for key in arabic if key.isdigit()} - set(pairs.values()):
        return {}
    return pairs if counts["here"] else {number: key for key, number in pairs.items()}


def _is_whole(name: str) -> bool:
    """Tell whether a name is that of a chromosome, not of a contig or an organelle."""
    key = chrom_key(name)
    if key in ("M", "Pt") or _PIECES.search(name):
        return False
    return not _CONTIG.fullmatch(name) or name[:2].upper() in _WHOLE_CHROMS


def _shape(name: str) -> str:
    """Return a name with its numbers made alike: chr# of chr12, chrX and chrXII."""
    return re.sub(r"\d+[A-Za-z]?|(?<![A-Za-z])[IVXYZWU]+$|(?<=^chr)[IVXYZWU]+$", "#", name)
