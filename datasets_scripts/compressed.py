"""Open plain and gzip files alike, and say where a damaged one is."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast


def is_gzip(path: str | Path) -> bool:
    """Return whether the file starts with gzip's magic number; its name does not matter."""
    with Path(path).open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def open_binary(path: str | Path) -> Iterator[BinaryIO]:
    """Yield the decompressed bytes of a plain, gzip or bgzip file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the gzip stream is cut short or damaged, which shows only while reading.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist or is not a file")
    with gzip.open(path, "rb") if is_gzip(path) else path.open("rb") as file:
        try:
            yield cast(BinaryIO, file)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{path} is a truncated or damaged gzip file ({error}): copy or download it again"
            ) from error
