"""A table of cell barcodes -> the cell type of each."""

import re
from pathlib import Path

from .chrom_names import shown
from .compressed import open_binary

_HEADERS = ("barcode", "barcodes", "cell", "cell_barcode", "cb", "index", "")


def read_barcodes(path: Path) -> dict[str, str]:
    """Read barcode and cell type, parted by tab or comma; a list of barcodes alone is one type, called "".

    A first line whose first column is called barcode, cell, cb, index or nothing is a header. Further columns are not
    looked at. Quotes around a value are taken away. In the cell types, what a track's name cannot hold becomes `_`.

    Args:
        path: plain or gzip.

    Returns:
        Barcode -> cell type, in the order of the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no barcode, a line without cell type, a barcode with two cell types, or two cell types that would
            have one name.
    """
    types: dict[str, str] = {}
    written: dict[str, str] = {}
    num_columns = 0
    with open_binary(path) as file:
        for number, raw in enumerate(file, 1):
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not line.strip():
                continue
            columns = [text.strip().strip("\"'") for text in line.split("\t" if "\t" in line else ",")]
            if not num_columns:
                num_columns = min(2, len(columns))
                if columns[0].lower() in _HEADERS:
                    continue
            barcode, label = columns[0], columns[1] if len(columns) > 1 else ""
            if not barcode or (num_columns == 2 and not label):
                raise ValueError(f"{path}, line {number}: must have a barcode and a cell type, got {line[:80]!r}")
            name = re.sub(r"[^\w.+-]+", "_", label, flags=re.ASCII) if num_columns == 2 else ""
            if types.setdefault(barcode, name) != name:
                raise ValueError(
                    f"{path}, line {number}: barcode {barcode} must have one cell type, got {types[barcode]} and {name}"
                )
            if num_columns == 2 and written.setdefault(name, label) != label:
                raise ValueError(
                    f"{path}, line {number}: cell types {written[name]!r} and {label!r} would both be called {name}: "
                    "rename one"
                )
    if not types:
        raise ValueError(f"{path} holds no barcode: it must have lines barcode, cell type")
    return types


def cell_types(path: Path) -> list[str]:
    """Return the names of a table's cell types, sorted.

    Raises:
        ValueError: what `read_barcodes` refuses, or more than 1,000 types.
    """
    found = sorted(set(read_barcodes(path).values()))
    if len(found) > 1000:
        raise ValueError(
            f"{path} has {len(found):,} cell types, {shown(found, 3)}: "
            "column 2 must be a cell type, not a cell's own name"
        )
    return found
