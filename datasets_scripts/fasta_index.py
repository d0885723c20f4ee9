"""Whether a `.fai` index is of the FASTA it lies beside.

Dates do not tell: `cp -p`, archives and mirrors keep them. So the index is held against the bytes: between two
sequences there must be one header line with the next one's name, and lines must end where the index has them end.
"""

import gzip
import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from .compressed import is_gzip

_LONGEST_GAP = 1 << 20  # bytes between two sequences: a header line
_MOST_LINES = 20_000  # whose ends are looked at
_BLANKS = b" \t\r\n"
_ENDS = (b"\r", b"\n", b">")
_ReadAt = Callable[[int, int], bytes]


def fits_index(fasta: Path, index: Path) -> bool:
    """Return whether an index tells where the sequences of a FASTA, plain or bgzip, lie.

    Args:
        fasta: the file; with bgzip its `.gzi` is looked at, too.
        index: the `.fai`.
    """
    try:
        entries = [_entry(line) for line in index.read_text(encoding="utf-8").splitlines()]
        with fasta.open("rb") as file:
            read_at = _bgzip_reader(file, fasta) if is_gzip(fasta) else _plain_reader(file)
            return _fits(entries, read_at)
    except (OSError, EOFError, ValueError, zlib.error, struct.error, IndexError):  # no index, or of no such file
        return False


def _entry(line: str) -> tuple[str, int, int, int, int]:
    name, *numbers = line.split("\t")
    length, offset, bases, width = (int(text) for text in numbers[:4])
    if length < 0 or offset < 2 or bases < 1 or width < bases:
        raise ValueError("not an index")
    return name, length, offset, bases, width


def _fits(entries: list[tuple[str, int, int, int, int]], read_at: _ReadAt) -> bool:
    end, most = 0, max(1, _MOST_LINES // max(1, len(entries)))
    for name, length, offset, bases, width in sorted(entries, key=lambda entry: entry[2]):
        if not 0 < offset - end <= _LONGEST_GAP or not _is_header(read_at(end, offset - end), name, first=end == 0):
            return False
        whole_lines = (length - 1) // bases if length else 0
        for line in islice(range(0, whole_lines, max(1, whole_lines // most)), most):
            stop = read_at(offset + line * width + bases - 1, width - bases + 1)
            if stop[:1] in _ENDS or stop[1:] not in (b"\n", b"\r\n"):
                return False
        if length:
            end = offset + whole_lines * width + (length - 1) % bases + 1
            if (last := read_at(end - 1, 1)) in _ENDS or not last:
                return False
        else:
            end = offset
    return bool(entries) and not read_at(end, _LONGEST_GAP).strip(_BLANKS)


def _is_header(text: bytes, name: str, *, first: bool) -> bool:
    """Return whether bytes between two sequences are the end of one and one header line of the next."""
    line = text.lstrip(_BLANKS)
    starts = first or text[:1] in (b"\r", b"\n")
    words = line[1:].split()
    is_line = line[:1] == b">" and line.endswith(b"\n") and line.count(b"\n") == 1
    return starts and is_line and bool(words) and words[0] == name.split()[0].encode()


def _plain_reader(file: BinaryIO) -> _ReadAt:
    return lambda offset, size: _read(file, offset, size)


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _bgzip_reader(file: BinaryIO, path: Path) -> _ReadAt:
    """Return what reads decompressed bytes through the `.gzi`: pairs of compressed and decompressed offsets."""
    table = path.with_name(f"{path.name}.gzi").read_bytes()
    (count,) = struct.unpack_from("<Q", table)
    pairs = [(0, 0), *struct.iter_unpack("<QQ", table[8 : 8 + 16 * count])]
    starts = [start for _, start in pairs]
    if pairs[-1][0] >= os.fstat(file.fileno()).st_size:
        raise ValueError("not the index")

    def read_at(offset: int, size: int) -> bytes:
        packed, start = pairs[bisect_right(starts, offset) - 1]
        file.seek(packed)
        with gzip.GzipFile(fileobj=file) as blocks:
            blocks.seek(offset - start)
            return blocks.read(size)

    return read_at
