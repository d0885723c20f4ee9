"""A sample sheet (CSV, TSV or YAML) -> tracks and what is known of them."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from .interval_signal import PEAK_VALUES
from .store_inputs import TrackSource
from .track_details import TrackDetails
from .track_kinds import KINDS, recognise_kind

METADATA = ("sample", "cell_type", "assembly", "donor", "source", "licence", "description")
COLUMNS = ("name", "path", "kind", "tn5_shift", "peak_value", "mask", "mask_gaps", "tolerance", *METADATA)
_BIGWIG_SUFFIXES = (".bw", ".bigwig")


@dataclass(frozen=True)
class _Row:
    """One sample: text by column, and where it stands."""

    sheet: Path
    line: int
    cells: dict[str, str]

    def error(self, column: str, rule: str) -> ValueError:
        return ValueError(
            f"{self.sheet}, line {self.line}, column {column}: {rule}, got {self.cells.get(column, '')!r}"
        )

    def read(self, column: str, convert: Callable[[str], Any], default: Any, rule: str) -> Any:
        """Return a cell's value, or the default of an empty one."""
        text = self.cells.get(column, "")
        if not text:
            return default
        try:
            return convert(text)
        except ValueError:
            raise self.error(column, rule) from None


def read_sheet(path: str | Path, *, genome: str = "") -> tuple[list[TrackSource], dict[str, TrackDetails]]:
    """Read a sheet of one track a row.

    Columns: `path` (needed; relative to the sheet), `name` or `sample` (one is needed; `sample` names the track where
    `name` is empty), `kind` (by default from the file's name), `tn5_shift` (4/-5), `peak_value` (one, signal, name),
    `mask` (BED of what was not
    measured), `mask_gaps` (bp), `tolerance`, and `cell_type`, `assembly`, `donor`, `source`, `licence`, `description`,
    which the store keeps. A YAML sheet is a list of mappings with these keys.

    Args:
        path: .csv, .tsv, .txt (tabs), .yaml or .yml.
        genome: name of the store's assembly; rows that name another one are refused.

    Returns:
        The tracks in the order of the sheet, and their details by name.

    Raises:
        FileNotFoundError: no such sheet, or a row's file is missing.
        ValueError: another file type, no row, an unknown or missing column, or a bad cell, with line and column.
    """
    sheet = Path(path)
    if not sheet.is_file():
        raise FileNotFoundError(f"sample sheet {sheet} does not exist or is not a file")
    readers = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".yaml": None, ".yml": None}
    if sheet.suffix.lower() not in readers:
        raise ValueError(f"a sample sheet must be one of {', '.join(readers)}, got {sheet}")
    separator = readers[sheet.suffix.lower()]
    rows = list(_yaml_rows(sheet) if separator is None else _table_rows(sheet, separator))
    if not rows:
        raise ValueError(f"{sheet} holds no sample: it needs a row a track, with the columns name and path")
    tracks: list[TrackSource] = []
    details: dict[str, TrackDetails] = {}
    lines: dict[str, int] = {}
    for row in rows:
        track = _track(row)
        if track.name in lines:
            raise row.error("name", f"names must differ, line {lines[track.name]} has this one too")
        assembly = row.cells.get("assembly", "")
        if genome and assembly and assembly != genome:
            raise row.error("assembly", f"must be the store's, {genome}: leave the row out or lift its file over")
        lines[track.name] = row.line
        tracks.append(track)
        details[track.name] = _details(row)
    return tracks, details


def _track(row: _Row) -> TrackSource:
    """Return a row's track."""
    name = row.cells.get("name") or row.cells.get("sample", "")
    if not re.fullmatch(r"[\w+-][\w.+-]*", name, re.ASCII):
        column = "name" if row.cells.get("name") or "sample" not in row.cells else "sample"
        raise row.error(column, "must be letters, digits and _ . + - (give a `name` beside a free-text `sample`)")
    path = _file(row, "path")
    if path is None:
        raise row.error("path", "must name a file")
    shift = row.read("tn5_shift", _shift, (0, 0), "must be two integers such as 4/-5")
    kind = row.cells.get("kind") or _recognised(row, path)
    if kind not in KINDS:
        raise row.error("kind", f"must be one of {', '.join(KINDS)}")
    value = row.cells.get("peak_value") or "one"
    if value not in PEAK_VALUES:
        raise row.error("peak_value", f"must be one of {', '.join(PEAK_VALUES)}")
    return TrackSource(name, path, cast(Any, kind), shift, peak_value=cast(Any, value))


def _recognised(row: _Row, path: Path) -> str:
    """Return the kind of a file whose row does not say it; one with a Tn5 shift is of reads."""
    try:
        return recognise_kind(path, reads=bool(row.cells.get("tn5_shift")))
    except ValueError as error:
        raise row.error("path", str(error)) from error


def _details(row: _Row) -> TrackDetails:
    """Return what a row says beside its track."""
    return TrackDetails(
        metadata={column: row.cells[column] for column in METADATA if row.cells.get(column)},
        mask=_file(row, "mask"),
        mask_gaps=row.read("mask_gaps", int, 0, "must be a number of bp"),
        tolerance=row.read("tolerance", float, 0.0, "must be a number such as 0.0005"),
    )


def _file(row: _Row, column: str) -> Path | None:
    """Return the file a cell names, which must be there."""
    text = row.cells.get(column, "")
    if not text:
        return None
    path = row.sheet.parent / Path(text).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{row.sheet}, line {row.line}, column {column}: {path} does not exist or is no file")
    return path


def _shift(text: str) -> tuple[int, int]:
    first, last = (int(part) for part in re.split(r"[,/; ]+", text.strip("[]() ")))
    return first, last


def _table_rows(sheet: Path, separator: str) -> Iterator[_Row]:
    """Yield the rows of a CSV or TSV file; empty lines and lines that start with # are skipped."""
    with sheet.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=separator)
        header: list[str] | None = None
        try:
            for cells in reader:
                cells = [cell.strip() for cell in cells]
                if not any(cells) or cells[0].startswith("#"):
                    continue
                if header is None:
                    header = [cell.lower() for cell in cells]
                    _check_columns(sheet, reader.line_num, header)
                    continue
                if len(cells) != len(header):
                    raise ValueError(
                        f"{sheet}, line {reader.line_num}: must have {len(header)} cells as its header has, got "
                        f"{len(cells)}: quote cells that hold the separator"
                    )
                yield _Row(sheet, reader.line_num, dict(zip(header, cells, strict=True)))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{sheet}, after line {reader.line_num}: is not a text table ({error})") from error


def _yaml_rows(sheet: Path) -> Iterator[_Row]:
    """Yield the mappings of a YAML list."""
    try:
        root = yaml.compose(sheet.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{sheet} is not YAML: {error}") from error
    if not isinstance(root, yaml.SequenceNode) or not all(isinstance(n, yaml.MappingNode) for n in root.value):
        raise ValueError(f"{sheet} must be a list of mappings: `- name: k562`, and `path: k562.bw` under it")
    for node in root.value:
        line = node.start_mark.line + 1
        cells = {}
        for key, value in node.value:
            items = value.value if isinstance(value, yaml.SequenceNode) else [value]
            if not all(isinstance(item, yaml.ScalarNode) for item in items):
                raise ValueError(f"{sheet}, line {value.start_mark.line + 1}, column {key.value}: must be plain text")
            is_null = len(items) == 1 and items[0].tag.endswith(":null")
            cells[str(key.value)] = "" if is_null else ",".join(str(item.value) for item in items).strip()
        _check_columns(sheet, line, list(cells))
        yield _Row(sheet, line, cells)


def _check_columns(sheet: Path, line: int, columns: list[str]) -> None:
    """Refuse unknown and missing columns."""
    for column in columns:
        if column not in COLUMNS:
            raise ValueError(f"{sheet}, line {line}, column {column!r}: must be one of {', '.join(COLUMNS)}")
        if columns.count(column) > 1:
            raise ValueError(f"{sheet}, line {line}, column {column!r}: comes twice")
    if "path" not in columns or not {"name", "sample"} & set(columns):
        raise ValueError(f"{sheet}, line {line}: must have a column path and one of name, sample, got {columns}")
