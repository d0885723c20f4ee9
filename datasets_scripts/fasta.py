"""FASTA -> base codes: A0 C1 G2 T3, and 4 for N."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyfaidx

from .compressed import open_binary
from .fasta_index import fits_index

BASES = "ACGT"
N_CODE = 4
_IUPAC = "RYSWKMBDHV"
_IUPAC_CODE, _INVALID_CODE = 5, 6
_BLOCK = 1 << 20  # bytes; what fits a core's cache is read, translated and hashed at twice the speed


def _table() -> np.ndarray:
    """Return letter -> code, (256,) uint8."""
    table = np.full(256, _INVALID_CODE, np.uint8)
    for letters, codes in ((BASES, range(4)), ("N", [N_CODE]), (_IUPAC, [_IUPAC_CODE] * len(_IUPAC))):
        for letter, code in zip(letters, codes, strict=True):
            table[ord(letter)] = table[ord(letter.lower())] = code
    return table


_TABLE = _table()
_TABLE_BYTES = _TABLE.tobytes()
_IUPAC_TO_N = bytes.maketrans(bytes([_IUPAC_CODE]), bytes([N_CODE]))


def encode(sequence: str) -> np.ndarray:
    """Return the codes of a DNA string, (L,) uint8; lower case is upper case, every letter but ACGT is 4."""
    return np.minimum(_TABLE[np.frombuffer(sequence.encode(), np.uint8)], N_CODE)


def decode(codes: np.ndarray) -> str:
    """Return the upper-case DNA string of (L,) uint8 codes."""
    return np.frombuffer(b"ACGTN", np.uint8)[codes].tobytes().decode()


class Fasta:
    """A FASTA file: plain, gzip or bgzip, any line length, LF or CRLF, upper or lower case.

    A chromosome's name is the first word of its header line.

    Args:
        path: the file; nothing is opened until it is read.

    Attributes:
        num_iupac: letters other than A C G T N (R, Y, ...) that the last `read_codes` turned into N.

    Raises:
        FileNotFoundError: no such file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"FASTA file {self.path} does not exist")
        self.num_iupac = 0

    def read_codes(self) -> Iterator[tuple[str, np.ndarray]]:
        """Read one chromosome after the other; memory holds one.

        Yields:
            Name and (size,) uint8 codes.

        Raises:
            ValueError: what `read_pieces` refuses.
        """
        for name, pieces in groupby(self.read_pieces(), key=itemgetter(0)):
            yield name, np.concatenate([codes for _, codes in pieces])

    def read_pieces(self) -> Iterator[tuple[str, np.ndarray]]:
        """Read the file piece by piece; those of a chromosome follow one another.

        Yields:
            Name of the chromosome and (n,) uint8 codes of its next bases, n > 0 and about a MiB at most.

        Raises:
            ValueError: text before the first header, a header without name, a name that comes twice, a chromosome
                without bases, a letter that is neither base nor IUPAC code, or a damaged gzip.
        """
        self.num_iupac = 0
        sizes: dict[str, int] = {}
        name = None
        for header, letters in self._segments():
            if header is not None:
                self._check_size(name, sizes)
                name = self._name(header)
                if name in sizes:
                    raise ValueError(f"{self.path} holds chromosome {name!r} twice: names must differ, rename one")
                sizes[name] = 0
            if name is None:
                if letters.strip():
                    raise ValueError(
                        f"{self.path} must start with a header line '>name', got {letters[:20].strip()!r}: is it FASTA?"
                    )
                continue
            codes = letters.translate(_TABLE_BYTES, b"\r\n \t")
            if not codes:
                continue
            if np.frombuffer(codes, np.uint8).max() > N_CODE:
                self._check_letters(name, letters, codes)
                self.num_iupac += codes.count(_IUPAC_CODE)
                codes = codes.translate(_IUPAC_TO_N)
            sizes[name] += len(codes)
            yield name, np.frombuffer(codes, np.uint8)
        if name is None:
            raise ValueError(f"{self.path} holds no sequence: is it FASTA?")
        self._check_size(name, sizes)

    @cached_property
    def chrom_sizes(self) -> dict[str, int]:
        """Size in bp of each chromosome, in the order of the file; reads the whole file once."""
        return {name: len(codes) for name, codes in self.read_codes()}

    def fetch(self, chrom: str, start: int, end: int) -> str:
        """Return the upper-case bases of a region, with N beyond the chromosome's ends.

        An index `.fai` is made beside the file, or in a temporary folder where that is not writable. One that is there
        is held against the file (`fasta_index.py`) and made anew where it is of another.

        Raises:
            ValueError: plain gzip (no random access), an unknown chromosome, or `end` before `start`.
        """
        if end < start:
            raise ValueError(f"a region must end after its start, got {chrom}:{start}-{end}")
        records = self._indexed
        if chrom not in records:
            raise ValueError(f"{self.path} has no chromosome {chrom!r}: it has {', '.join(list(records.keys())[:8])}")
        size = len(records[chrom])
        inside = max(0, start), min(size, end)
        bases = str(records[chrom][inside[0] : inside[1]]) if inside[0] < inside[1] else ""
        left = min(end, 0) - start if start < 0 else 0
        return "N" * left + bases.upper() + "N" * (end - start - left - len(bases))

    @cached_property
    def _indexed(self) -> pyfaidx.Fasta:
        with self.path.open("rb") as file:
            head = file.read(18)
        if head[:2] == b"\x1f\x8b" and not (head[3] & 4 and head[12:14] == b"BC"):
            raise ValueError(
                f"{self.path} is plain gzip, which has no random access: `gunzip` it or repack it with `bgzip`"
            )
        index: dict[str, Any] = {}
        indexes = [self.path.with_name(f"{self.path.name}{suffix}") for suffix in (".fai", ".gzi")]
        is_writable = os.access(self.path.parent, os.W_OK)
        if is_writable and indexes[0].is_file() and not fits_index(self.path, indexes[0]):
            try:
                for stale in indexes:
                    stale.unlink(missing_ok=True)
            except OSError:  # another's
                is_writable = False
        if not is_writable:
            folder = tempfile.mkdtemp(prefix="chromhub-fai-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            index = {"indexname": f"{folder}/{self.path.name}.fai", "gzi_indexname": f"{folder}/{self.path.name}.gzi"}
        try:
            return pyfaidx.Fasta(str(self.path), as_raw=True, **index)
        except ImportError as error:
            raise ValueError(
                f"{self.path} is bgzip, which needs biopython: `pip install biopython` or gunzip it"
            ) from error
        except (pyfaidx.FastaIndexingError, ValueError) as error:
            raise ValueError(f"{self.path} cannot be indexed: {error}") from error

    def _segments(self) -> Iterator[tuple[bytes | None, bytes]]:
        """Yield (header or None where the chromosome goes on, sequence lines) in the order of the file."""
        with open_binary(self.path) as file:
            before = b"\n"  # a header stands at the start of a line
            while block := file.read(_BLOCK):
                if b">" not in block:
                    yield None, block
                else:
                    block += file.readline()  # so that a header is whole
                    first, *records = (before + block).split(b"\n>")
                    if first:
                        yield None, first
                    for record in records:
                        header, _, letters = record.partition(b"\n")
                        yield header, letters
                before = b"\n" if block.endswith(b"\n") else b""

    def _name(self, header: bytes) -> str:
        """Return the first word of a header line."""
        words = header.decode("utf-8", "replace").split()
        if not words or header[:1].isspace():
            raise ValueError(f"{self.path} has a header line without a name: every '>' must be followed by one")
        return words[0]

    def _check_letters(self, name: str, letters: bytes, codes: bytes) -> None:
        """Refuse letters that are neither bases nor IUPAC codes."""
        if _INVALID_CODE in codes:
            letter = next(chr(b) for b in letters if _TABLE[b] == _INVALID_CODE and b not in b"\r\n \t")
            raise ValueError(
                f"{self.path}, chromosome {name}: letters must be bases, N or IUPAC codes, got {letter!r}: is it DNA?"
            )

    def _check_size(self, name: str | None, sizes: Mapping[str, int]) -> None:
        """Refuse a chromosome that ends without a base."""
        if name is not None and not sizes[name]:
            raise ValueError(f"{self.path}: chromosome {name} has no bases: remove its header")
