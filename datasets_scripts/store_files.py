"""The files of a store: where a chromosome lies in them, and reading them whole.

What is damaged is refused in one sentence that names the file and says to build the store again.
"""

import ctypes
import json
import mmap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

PADDING = 32_768  # bp of N around every chromosome
ALIGNMENT = 4096  # bp; chromosome offsets are multiples of it, so bins of every chromosome start on a bin


def next_offset(end: int) -> int:
    """Return where, in flat bp, the chromosome after one that ends at `end` starts, or the array ends."""
    return -(-(end + PADDING) // ALIGNMENT) * ALIGNMENT


def flat_layout(chrom_sizes: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Return the offset of each chromosome in the flat arrays, and their length, in bp."""
    offsets, end = {}, 0
    for chrom, size in chrom_sizes.items():
        offsets[chrom] = next_offset(end)
        end = offsets[chrom] + size
    return offsets, next_offset(end)


def read_description(file: Path, *, form: str, version: int, keys: Iterable[str]) -> dict[str, Any]:
    """Read store.json.

    Args:
        file: where it lies.
        form: the format that it must name.
        version: of that.
        keys: what it must hold.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: no JSON object, or one of another format, of another version, or without one of the keys.
    """
    description = read_json(file)
    found = description if isinstance(description, dict) else {}
    if (found.get("format"), found.get("version")) != (form, version):
        raise ValueError(
            f"{file} must say {form} version {version}, got {found.get('format')} version {found.get('version')}: "
            "build the store again"
        )
    if missing := [key for key in keys if key not in found]:
        raise ValueError(f"{file} is damaged: it lacks {', '.join(missing)}; build the store again")
    return found


def read_json(file: Path) -> Any:
    """Read a JSON file of a store.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: no JSON.
    """
    check_present(file)
    try:
        return json.loads(file.read_text())
    except ValueError as error:  # a JSON or a Unicode error
        raise ValueError(f"{file} is damaged: it is not JSON ({error}); build the store again") from None


def map_array(file: Path, dtype: np.dtype | type | str, length: int) -> np.ndarray:
    """Map a flat array of a store into memory, read-only.

    Args:
        file: .npy.
        dtype: of its values.
        length: how many there must be.

    Returns:
        (length,) of `dtype`.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: truncated, no .npy file, or of another type or length.
        OSError: it cannot be opened.
    """
    check_present(file)
    size = file.stat().st_size
    try:
        with file.open("rb") as opened:
            form = np.lib.format
            one = form.read_magic(opened) == (1, 0)
            shape, _, found = (form.read_array_header_1_0 if one else form.read_array_header_2_0)(opened)
            start = opened.tell()
    except ValueError as error:
        raise ValueError(f"{file} is truncated or damaged ({error}; {size:,} bytes): build the store again") from None
    if found != dtype or shape != (length,):
        raise ValueError(
            f"{file} must hold {length} of {np.dtype(dtype)}, got {shape} of {found}: build the store again"
        )
    end = start + length * found.itemsize
    if size < end:
        raise ValueError(
            f"{file} is truncated or damaged (it must have {end:,} bytes, and has {size:,}): build the store again"
        )
    # By PyTorch, which closes the file once it is mapped: NumPy's maps hold theirs open, and there may be thousands.
    array = torch.from_file(str(file), shared=False, size=end, dtype=torch.uint8).numpy()[start:].view(found)
    array.flags.writeable = False
    return array


def release_pages(array: np.ndarray) -> None:
    """Give back the memory that reading a mapped array has taken up; one in memory stays as it is."""
    if array.flags.owndata or not hasattr(mmap, "MADV_DONTNEED"):
        return
    first = array.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE
    size = array.ctypes.data + array.nbytes - first
    ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), mmap.MADV_DONTNEED)


def read_table(file: Path) -> pd.DataFrame:
    """Read a table of intervals of a store, columns chrom, start, end and maybe summit.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: damaged.
    """
    check_present(file)
    types: Any = {"chrom": str, "start": "int64", "end": "int64", "summit": "int64"}
    try:
        table = pd.read_csv(file, sep="\t", dtype=types, keep_default_na=False)
    except ValueError as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{file} is damaged ({error}): build the store again") from None
    if list(table.columns[:3]) != ["chrom", "start", "end"]:
        raise ValueError(
            f"{file} must have the columns chrom, start and end, got {', '.join(table.columns)}: build the store again"
        )
    return table


def check_present(file: Path) -> None:
    """Refuse a store without one of its files.

    Raises:
        FileNotFoundError: `file` is missing.
    """
    if not file.is_file():
        raise FileNotFoundError(f"the store is damaged: {file} is missing; build the store again")
