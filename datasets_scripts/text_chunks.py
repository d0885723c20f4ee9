"""BED-like text, plain or gzip -> tables of some million lines at a time."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .bed import column_rows
from .compressed import open_binary

_CHUNK = 2_000_000  # lines read at a time
_NOT_DATA = (b"#", b"track", b"browser")
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

    Lines that are empty or start with `#`, `track` or `browser` are skipped, LF and CRLF are alike, and columns are
    parted by tabs or blanks.

    Args:
        path: the file, plain or gzip.
        columns: name -> (index, "text", "bp" or "number"), in the order of the index.
        is_right: whether a chunk keeps the format's rules.
        check: raises ValueError when a line, given as its columns and "file, line n", does not.
        what: the file's format, for the message.

    Raises:
        ValueError: a line that breaks the rules, or a damaged gzip.
    """
    num_header = _num_header_lines(path)
    if num_header is None:
        return
    with open_binary(path) as file:
        try:
            for table in pd.read_csv(
                file,
                sep=r"\s+",
                header=None,
                names=list(columns),
                usecols=[index for index, _ in columns.values()],
                dtype={name: TYPES[kind] for name, (_, kind) in columns.items()},
                skiprows=num_header,
                comment="#",
                chunksize=_CHUNK,
                na_filter=False,
            ):
                if not is_right(table):
                    raise ValueError("a line breaks its rules")
                yield table
        except (ValueError, TypeError, OverflowError) as error:  # pandas' parser errors are ValueErrors
            for row, place in column_rows(path):  # finds the line and says what is wrong with it
                check(row, place)
            raise ValueError(f"{path} cannot be read as {what}: {error}") from error


def first_row(path: Path) -> list[str]:
    """Return the columns of the first line that holds data; none in an empty file."""
    return next((columns for columns, _ in column_rows(path)), [])


def _num_header_lines(path: Path) -> int | None:
    """Return how many lines come before the first that holds data; None when none does."""
    with open_binary(path) as file:
        for number, line in enumerate(file):
            if line.strip() and not line.startswith(_NOT_DATA):
                return number
    return None
