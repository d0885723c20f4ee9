"""pyBigWig, or pybigtools where that has no wheel (Windows, macOS on arm64), behind one face."""

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

Library = Literal["pyBigWig", "pybigtools"]
_PYBIGTOOLS_ERRORS = ("BBIReadError", "PanicException")  # the second is no Exception and cannot be imported
Run = tuple[str, int, np.ndarray, int]  # chromosome, first bp, one value a bin, bp per bin


class BigWigFile(Protocol):
    """An open bigWig."""

    def chroms(self) -> dict[str, int]:
        """Return the size in bp of each chromosome."""
        ...

    def values(self, chrom: str, start: int, end: int) -> np.ndarray:
        """Return the values of a region on the chromosome, (end - start,) float32, NaN where there are none."""
        ...


def installed_library() -> Library:
    """Return the library to use.

    Raises:
        ValueError: neither is installed.
    """
    for library in ("pyBigWig", "pybigtools"):
        if importlib.util.find_spec(library) is not None:
            return library
    raise ValueError("bigWig files need pyBigWig or pybigtools: pip install pybigtools")


@contextmanager
def open_bigwig(path: Path, library: Library | None = None) -> Iterator[BigWigFile]:
    """Yield the open file; what the library finds wrong with it becomes a ValueError.

    Args:
        path: an existing file.
        library: the one to use; None takes the installed one.
    """
    try:
        if (library or installed_library()) == "pyBigWig":
            import pyBigWig

            file = pyBigWig.open(str(path))
            try:
                yield _PyBigWigFile(file)
            finally:
                file.close()
        else:
            import pybigtools

            with pybigtools.open(str(path)) as file:
                yield _PyBigToolsFile(file)
    except BaseException as error:
        if not isinstance(error, RuntimeError) and type(error).__name__ not in _PYBIGTOOLS_ERRORS:
            raise
        raise ValueError(f"{path} is truncated or damaged ({error}): copy or download it again") from error


def write_runs(path: Path, chrom_sizes: Mapping[str, int], runs: Iterable[Run], library: Library | None = None) -> None:
    """Write runs of bins as a bigWig.

    Args:
        path: the file to make.
        chrom_sizes: bp of each chromosome; pybigtools leaves those without values out of the header.
        runs: ordered as `chrom_sizes` and by position.
        library: the one to use; None takes the installed one.

    Raises:
        RuntimeError: the file could not be written.
    """
    if (library or installed_library()) == "pyBigWig":
        import pyBigWig

        file = pyBigWig.open(str(path), "w")
        try:
            file.addHeader([(chrom, int(size)) for chrom, size in chrom_sizes.items()])
            for chrom, start, values, span in runs:
                file.addEntries(chrom, start, values=values, span=span, step=span)
        finally:
            file.close()
        return
    import pybigtools

    entries, named = _Entries(runs), path.with_name(f"{path.name}.bw")  # pybigtools goes by the name
    try:
        pybigtools.open(str(named), "w").write({chrom: int(size) for chrom, size in chrom_sizes.items()}, iter(entries))
        if entries.error is not None:
            raise entries.error
        if not entries.is_done:  # it prints what went wrong
            raise RuntimeError("pybigtools stopped writing")
        named.replace(path)
    finally:
        named.unlink(missing_ok=True)


class _PyBigWigFile:
    def __init__(self, file: Any) -> None:
        self.file = file

    def chroms(self) -> dict[str, int]:
        return dict(self.file.chroms())

    def values(self, chrom: str, start: int, end: int) -> np.ndarray:
        return np.asarray(self.file.values(chrom, start, end, numpy=True), np.float32)


class _PyBigToolsFile:
    def __init__(self, file: Any) -> None:
        self.file = file

    def chroms(self) -> dict[str, int]:
        return dict(self.file.chroms())

    def values(self, chrom: str, start: int, end: int) -> np.ndarray:
        return np.asarray(self.file.values(chrom, start, end, fillna=float("nan")), np.float32)


class _Entries:
    """Entries of runs one by one; pybigtools swallows what they raise, so it is kept here."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs = runs
        self.error: Exception | None = None
        self.is_done = False

    def __iter__(self) -> Iterator[tuple[str, int, int, float]]:
        try:
            for chrom, start, values, span in self.runs:
                for i, value in enumerate(values.tolist()):
                    yield chrom, start + i * span, start + (i + 1) * span, value
        except Exception as error:
            self.error = error
            raise
        self.is_done = True
