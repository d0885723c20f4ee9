"""Scores of variants as text: parts of rows while they are made, in the end a TSV or the annotated VCF."""

import gzip
import heapq
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from ..datasets_scripts.atomic import finished_file
from ..datasets_scripts.compressed import open_binary
from ..datasets_scripts.variants import NORMALISED, Variant
from .variants import OK, STATUSES

_FIRST = ["chrom", "pos", "id", "ref", "alt", "status", NORMALISED]
_PREFIX = "CHROMHUB"
_ERRORS = "surrogateescape"  # bytes that are no UTF-8 come out as they came in
_STATUS_CELL, _FIRST_SCORE = 6, 8  # of a row of a part: the record's index, `_FIRST`, the scores
_INFO_ID = re.compile(r"##INFO=<ID=([^,>]+)")
_RESERVED = str.maketrans({character: f"%{ord(character):02X}" for character in "%;=, "})  # in INFO (VCF 4.3, 1.2)


def score_columns(names: Iterable[str], track_names: Sequence[str]) -> list[str]:
    """Return the columns of scores: NAME with one track, NAME.TRACK with several."""
    return [name if len(track_names) == 1 else f"{name}.{track}" for name in names for track in track_names]


def write_part(
    path: Path, rows: Sequence[tuple[Variant, str, str]], scores: Mapping[str, np.ndarray], names: Sequence[str]
) -> None:
    """Write a part: the index of the record, then a row as in the final TSV.

    Args:
        path: the file to make.
        rows: each variant, its status, and how it is written when normalised.
        scores: (V, T) by name, V those of `rows` with the status "ok", in order.
        names: of the scores, in the order of the columns.
    """
    numbers = np.concatenate([scores[name] for name in names], axis=1) if scores else np.empty((0, 0))
    lines, scored = [], iter(numbers)
    num_columns = numbers.shape[1]
    for variant, status, text in rows:
        values = [f"{value:.6g}" for value in next(scored)] if status == "ok" else None
        cells = [
            variant.chrom,
            str(variant.start + 1),
            variant.name,
            variant.ref or "-",
            variant.alt or "-",
            status,
            text,
        ]
        lines.append("\t".join([str(variant.record), *cells, *(values or [""] * num_columns)]))
    with finished_file(path) as partial:
        partial.write_text("".join(line + "\n" for line in lines), newline="\n", encoding="utf-8", errors=_ERRORS)


def merge_tsv(parts: Iterable[Path], output: Path, columns: Sequence[str], *, overwrite: bool) -> Counter[str]:
    """Join parts to one TSV (gzip where its name ends so); return how many rows have each status."""
    counts: Counter[str] = Counter()
    with finished_file(output, overwrite) as partial, _text(partial, output.suffix == ".gz") as file:
        file.write("\t".join([*_FIRST, *columns]) + "\n")
        for cells in _rows(parts, len(columns)):
            counts[cells[_STATUS_CELL]] += 1
            file.write("\t".join(cells[1:]) + "\n")
    return counts


def merge_vcf(
    parts: Iterable[Path], vcf: Path, output: Path, columns: Mapping[str, str], *, overwrite: bool
) -> Counter[str]:
    """Write a VCF again with the scores in INFO, one value an ALT allele (Number=A), `.` where there is none.

    What an earlier scoring wrote under the same keys is replaced.

    Args:
        parts: of all its variants, in its order.
        vcf: the file the variants came from.
        output: the file to make; gzip where its name ends so.
        columns: what each score is.
        overwrite: replace an existing file.

    Returns:
        How many alleles have each status.
    """
    counts: Counter[str] = Counter()
    rows = _grouped(_rows(parts, len(columns)))
    names = ["status", *columns, NORMALISED]
    keys = info_keys(names)
    meanings = [f"one of {', '.join(STATUSES)}", *columns.values(), "CHROM:POSITION:REF>ALT as it is scored"]
    for i, (name, key) in enumerate(zip(names, keys, strict=True)):
        if key != f"{_PREFIX}_{name.upper()}":  # the key alone does not tell the track
            meanings[i] += f"; column {name}".replace('"', "'")
    with (
        open_binary(vcf) as lines,
        finished_file(output, overwrite) as partial,
        _text(partial, output.suffix == ".gz") as file,
    ):
        for raw in lines:
            line = raw.decode("utf-8", _ERRORS).rstrip("\r\n")
            if line.startswith("##") or not line.strip():
                if (found := _INFO_ID.match(line)) and found[1] in keys:
                    continue
                file.write(line + "\n" if line else "")
                continue
            cells = line.split("\t")
            if line.startswith("#CHROM"):
                for key, meaning in zip(keys, meanings, strict=True):
                    kind = "String" if key in (keys[0], keys[-1]) else "Float"
                    file.write(f'##INFO=<ID={key},Number=A,Type={kind},Description="chromhub: {meaning}">\n')
                file.write(line + "\n")
                continue
            alleles = next(rows)
            counts.update(allele[_STATUS_CELL] for allele in alleles)
            cells_of = ([allele[_STATUS_CELL], *allele[_FIRST_SCORE:], allele[_FIRST_SCORE - 1]] for allele in alleles)
            values = zip(*cells_of, strict=True)
            notes = [
                f"{key}={','.join(value.translate(_RESERVED) or '.' for value in per_allele)}"
                for key, per_allele in zip(keys, values, strict=True)
            ]
            cells += ["."] * (8 - len(cells))
            before = [] if cells[7] in (".", "") else cells[7].split(";")
            cells[7] = ";".join([*(note for note in before if note.partition("=")[0] not in keys), *notes])
            file.write("\t".join(cells) + "\n")
    return counts


def info_keys(names: Iterable[str]) -> list[str]:
    """Return an INFO key for each name, all different, also for `rep-1` and `rep.1` or `a` and `A`."""
    keys: list[str] = []
    for name in names:
        key = first = f"{_PREFIX}_{re.sub(r'[^A-Za-z0-9_]', '_', name).upper()}"
        number = 1
        while key in keys:
            number += 1
            key = f"{first}_{number}"
        keys.append(key)
    return keys


def _rows(parts: Iterable[Path], num_scores: int) -> Iterator[list[str]]:
    """Yield the cells of each row of the parts."""
    for part in parts:
        with part.open(newline="\n", encoding="utf-8", errors=_ERRORS) as file:
            for line in file:
                cells = line.rstrip("\n").split("\t")
                yield cells + [""] * (_FIRST_SCORE + num_scores - len(cells))


def _grouped(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    """Yield the rows of each record together."""
    group: list[list[str]] = []
    for cells in rows:
        if group and cells[0] != group[0][0]:
            yield group
            group = []
        group.append(cells)
    if group:
        yield group


def largest_variants(parts: Iterable[Path], columns: Sequence[str], name: str, *, count: int) -> list[Variant]:
    """Return the scored variants whose score is largest in size in any track, the largest first; memory holds these.

    Args:
        parts: as `write_part` makes them.
        columns: of scores, from `score_columns`.
        name: of the score.
        count: variants wanted.
    """
    places = [i for i, column in enumerate(columns, _FIRST_SCORE) if column == name or column.startswith(f"{name}.")]
    scored = (cells for cells in _rows(parts, len(columns)) if cells[_STATUS_CELL] == OK)
    largest = heapq.nlargest(count, scored, key=lambda cells: max(abs(float(cells[place])) for place in places))
    return [
        Variant(chrom, int(pos) - 1, ref.replace("-", ""), alt.replace("-", ""), name, int(record))
        for record, chrom, pos, name, ref, alt, *_ in largest
    ]


@contextmanager
def _text(path: Path, zipped: bool) -> Iterator[TextIO]:
    """Open a file for text; gzip without a time stamp, so that equal content is an equal file."""
    if not zipped:
        with path.open("w", newline="\n", encoding="utf-8", errors=_ERRORS) as file:
            yield file
        return
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, newline="\n", encoding="utf-8", errors=_ERRORS) as file,
    ):
        yield file
