"""The files of a store: where a chromosome lies in them, and reading them whole.

What is damaged is refused in one sentence that names the file and says to build the store again.
"""

import ctypes
import hashlib
import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from . import plain_files
from .plain_files import PlainRecord

PADDING = 32_768  # bp of N around every chromosome
TABLES = ("gaps", "peaks", "blacklist", "unmappable")  # of intervals, each a .tsv
MAX_BP = 1 << 40  # of a chromosome; the largest known has 10^11
MAX_BIN = 1 << 20  # bp
_REMEDY = "build the store again"
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


class ChromRecord(PlainRecord):
    """One chromosome in store.json."""

    name: str = Field(min_length=1)
    size: int = Field(ge=1, le=MAX_BP)
    digest: str


class TrackRecord(PlainRecord):
    """One track in store.json."""

    name: str = Field(min_length=1)
    dtype: Literal["uint8", "uint16", "float16", "float32"] = "float32"
    masked_bp: int = Field(default=0, ge=0)
    metadata: dict[str, str] = Field(default_factory=dict)


class StoreRecord(PlainRecord):
    """What store.json must hold."""

    genome: str
    bin_size: int = Field(ge=1, le=MAX_BIN)
    summary: Literal["max", "mean", "sum"]
    chroms: list[ChromRecord] = Field(min_length=1)
    tracks: list[TrackRecord]
    fingerprint: str


def read_description(file: Path, *, form: str, version: int) -> dict[str, Any]:
    """Read store.json.

    Args:
        file: where it lies.
        form: the format that it must name.
        version: of that.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: no JSON object, or one of another format, of another version, or not what `StoreRecord` says.
    """
    found = read_json(file)
    if (found.get("format"), found.get("version")) != (form, version):
        raise ValueError(
            f"{file} must say {form} version {version}, got {found.get('format')} version {found.get('version')}: "
            "build the store again"
        )
    StoreRecord.check(found, str(file), remedy=_REMEDY)
    return found


def fingerprint_of(description: Mapping[str, Any], folder: Path) -> str:
    """Return 16 hex digits of what store.json holds, and of the tables, the masks and the split."""
    files = [folder / f"{name}.tsv" for name in TABLES] + [folder / "split.json"]
    masks = [folder / "tracks" / f"{track['name']}.mask.tsv" for track in description["tracks"]]
    files += [mask for mask in masks if mask.is_file()]
    told = {key: value for key, value in description.items() if key != "fingerprint"}
    digest = hashlib.sha256(json.dumps(told).encode())
    for file in files:
        check_present(file)
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def check_fingerprint(description: Mapping[str, Any], folder: Path) -> None:
    """Refuse a store whose description, tables, masks or split are not those that it was built with.

    Raises:
        FileNotFoundError: one of them is missing.
        ValueError: one has changed.
    """
    if (found := fingerprint_of(description, folder)) != description["fingerprint"]:
        for name in TABLES:
            read_table(folder / f"{name}.tsv")  # which says what is wrong in one that is no table any more
        raise ValueError(
            f"{folder} is damaged: store.json, a table, a mask or split.json has changed since it was built "
            f"(fingerprint {found}, recorded {description['fingerprint']}); build the store again"
        )


def read_json(file: Path, kind: type = dict) -> Any:
    """Read a JSON file of a store.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: no JSON, or of another kind.
    """
    check_present(file)
    return plain_files.read_json(file, kind, remedy=_REMEDY)


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
