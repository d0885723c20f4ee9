"""BED-like text, plain or gzip -> tables of some million lines at a time.

What a line is, and what parts its columns, is `bed.py`'s rule: tabs where a line has any, else blanks; only a `#` that
starts a line makes it a comment.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from .bed import column_rows, is_data
from .compressed import open_binary

_CHUNK = 2_000_000  # lines read at a time
_BLOCK = 1 << 22  # bytes looked at together
_NOT_DATA = re.compile(rb"^(?:#[^\n]*|(?:track|browser)(?:[^\S\n][^\n]*)?|[^\S\n]+)(?:\n|\Z)", re.MULTILINE)
_MAY_BE_NOT_DATA = (b"#", b"track", b"browser", b" ", b"\t", b"\r")  # starts of lines
TYPES: dict[str, Any] = {"text": "category", "bp": np.int64, "number": np.float64}

Check = Callable[[list[str], str], None]


def read_chunks(
    path: Path,
    columns: Mapping[str, tuple[int, str]],
    *,
    is_right: Callable[[pd.DataFrame], bool],
    check: Check,
    what: str,
) -> Iterator[pd.DataFrame]:
    """Yield some columns of a BED-like file, chunk by chunk; a malformed line is named.

    Lines that are empty or start with `#`, `track` or `browser` are skipped wherever they stand, LF and CRLF are alike,
    and columns are parted by tabs or blanks, by one of them in the whole file.

    Args:
        path: the file, plain or gzip.
        columns: name -> (index, "text", "bp" or "number"), in the order of the index.
        is_right: whether a chunk keeps the format's rules.
        check: raises ValueError when a line, given as its columns and "file, line n", does not.
        what: the file's format, for the message.

    Raises:
        ValueError: a line that breaks the rules, or a damaged gzip.
    """
    first = first_line(path)
    if first is None:
        return
    with open_binary(path) as file:
        try:
            for table in pd.read_csv(
                io.BufferedReader(_DataLines(file)),
                sep="\t" if "\t" in first else r"\s+",
                header=None,
                names=list(columns),
                usecols=[index for index, _ in columns.values()],
                dtype={name: TYPES[kind] for name, (_, kind) in columns.items()},
                chunksize=_CHUNK,
                na_filter=False,
                quoting=csv.QUOTE_NONE,
                encoding_errors="replace",
                lineterminator="\n",
            ):
                if not is_right(table):
                    raise ValueError("a line breaks its rules")
                yield table
        except (ValueError, TypeError, OverflowError) as error:  # pandas' parser errors are ValueErrors
            for row, place in column_rows(path):  # finds the line and says what is wrong with it
                check(row, place)
            raise ValueError(
                f"{path} cannot be read as {what}, are all its columns parted by tabs, or all by blanks? ({error})"
            ) from error


class _DataLines(io.RawIOBase):
    """The bytes of a BED-like file without the lines that hold no data, and with LF for CRLF."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._rest = file, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = self._file.read(_BLOCK)
            if not block:
                return 0
            self._rest = _data_lines(block + self._file.readline())
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


def _data_lines(block: bytes) -> bytes:
    """Return whole lines without those that hold no data."""
    if b"\r\n" in block:
        block = block.replace(b"\r\n", b"\n")
    if any(block.startswith(start) or b"\n" + start in block for start in _MAY_BE_NOT_DATA):
        return _NOT_DATA.sub(b"", block)
    return block


def first_line(path: Path) -> str | None:
    """Return the first line that holds data, its end taken away; None in a file without."""
    with open_binary(path) as file:
        for raw in file:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if is_data(line):
                return line
    return None


def first_rows(path: Path, count: int) -> list[list[str]]:
    """Return the columns of the first lines that hold data, at most `count`."""
    return [columns for columns, _ in islice(column_rows(path), count)]


def first_row(path: Path) -> list[str]:
    """Return the columns of the first line that holds data; none in an empty file."""
    return next((columns for columns, _ in column_rows(path)), [])
