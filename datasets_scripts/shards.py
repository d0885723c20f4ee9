"""Windows exported to Parquet shards, in a folder or on the Hub: what there is, and where.

README.md                            the dataset card, whose `configs` `load_dataset` reads
shards.json                          the layout of a row and the list of shards
windows.parquet                      part, chrom, start, end of every window, in the order of the shards
data/PART-00000-of-00004.parquet     one row a window (row_layout.py)
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
from pydantic import Field, model_validator

from .atomic import heal
from .folds import PARTS, Part, Split
from .listed_files import check_listed
from .plain_files import PlainRecord, read_json
from .row_layout import RowLayout

FORMAT = "chromhub-shards"
VERSION = 2  # 1 had codes as binary values
LAYOUT_FILE = "shards.json"
WINDOWS_FILE = "windows.parquet"
_MAX_GROUPS = 1_000_000  # of a file
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class ShardFile:
    """One Parquet file.

    Attributes:
        path: below the folder.
        num_windows: rows.
        group_windows: rows of each row group but the last, which may have fewer.
    """

    path: str
    num_windows: int
    group_windows: int

    @property
    def group_sizes(self) -> list[int]:
        """Rows of each row group."""
        full, rest = divmod(self.num_windows, self.group_windows)
        return [self.group_windows] * full + ([rest] if rest else [])


class FileRecord(PlainRecord):
    """One Parquet file in shards.json."""

    path: str = Field(min_length=1)
    num_windows: int = Field(ge=0)
    group_windows: int = Field(ge=1)

    @model_validator(mode="after")
    def _check_groups(self) -> Self:
        if self.num_windows // self.group_windows > _MAX_GROUPS:
            raise ValueError(f"a file has at most {_MAX_GROUPS:,} row groups")
        return self


class ShardsRecord(PlainRecord):
    """What shards.json must hold; the layout checks itself."""

    layout: dict[str, Any]
    files: dict[Part, list[FileRecord]]
    reports: dict[str, dict[str, Any]]
    plan: dict[str, Any]
    fingerprint: str

    @model_validator(mode="after")
    def _check_reports(self) -> Self:
        if missing := [part for part in self.files if part not in self.reports]:
            raise ValueError(f"reports lack the part {missing[0]}")
        return self


class Shards:
    """Exported windows, opened with `Shards.open`; `Described`, as a store is.

    Attributes:
        name: the folder, or the Hub id.
        revision: the commit on the Hub; None for a folder.
        layout: what a row holds.
        files: the shards of each part that there is.
        reports: of the choice of windows, by part.
        plan: which training windows were chosen.
        fingerprint: 16 hex digits that change when any of the content does.
    """

    def __init__(self, name: str, description: dict[str, Any], *, root: Path, revision: str | None) -> None:
        self.name = name
        self.revision = revision
        where = f"{name}/{LAYOUT_FILE}"
        ShardsRecord.check(description, where, remedy="export it again")
        if fingerprint_of(description) != description["fingerprint"]:
            raise ValueError(f"{where} is damaged: it has changed since the export; export it again")
        try:
            self.layout = RowLayout.from_dict(description["layout"])
            self.files: dict[Part, list[ShardFile]] = {
                part: [ShardFile(**file) for file in description["files"][part]]
                for part in PARTS
                if part in description["files"]
            }
            for file in (file for files in self.files.values() for file in files):
                check_listed(file.path, listed_in=f"{name}/{LAYOUT_FILE}")
            self.reports: dict[str, dict[str, Any]] = description["reports"]
            self.plan: dict[str, Any] = description["plan"]
            self.fingerprint: str = description["fingerprint"]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{name}/{LAYOUT_FILE} is damaged ({type(error).__name__} {error}): export it again"
            ) from None
        self._root = root  # the folder, or where the Hub's cache has shards.json

    @classmethod
    def open(cls, name: str | Path, *, revision: str | None = None) -> "Shards":
        """Open an exported folder, or a dataset on the Hub, of which only two small files are fetched now.

        Args:
            name: folder, or ORG/NAME.
            revision: branch, tag or commit on the Hub; read from one commit, whatever is pushed meanwhile.

        Raises:
            FileNotFoundError: no such folder or dataset, or one that `chromhub data export` did not make.
            ValueError: of another version, or damaged.
            OSError: the Hub cannot be reached and the dataset is not in the cache.
        """
        folder = Path(name).expanduser()
        heal(folder)
        if not folder.exists() and is_dataset_id(str(name)):
            file = _download(str(name), LAYOUT_FILE, revision)
            return cls(str(name), _read(file, str(name)), root=file.parent, revision=file.parent.name)
        if not (folder / LAYOUT_FILE).is_file():
            raise FileNotFoundError(
                f"{name} holds no exported windows (no {LAYOUT_FILE}): make them with `chromhub data export`"
            )
        return cls(str(folder), _read(folder / LAYOUT_FILE, str(name)), root=folder, revision=None)

    @property
    def genome(self) -> str:
        """Name of the assembly, or ""."""
        return self.layout.genome

    @property
    def assay(self) -> str:
        """What the tracks measure, or ""."""
        return self.layout.assay

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Bp of each chromosome."""
        return self.layout.chrom_sizes

    @property
    def chrom_digests(self) -> dict[str, str]:
        """First 16 hex digits of the SHA-256 of each chromosome's codes."""
        return self.layout.chrom_digests

    @property
    def bin_size(self) -> int:
        """Bp per bin."""
        return self.layout.bin_size

    @property
    def summary(self) -> str:
        """How the bases of a bin make its value."""
        return self.layout.summary

    @property
    def track_names(self) -> list[str]:
        """Of the tracks, in the order of the signal's axis T."""
        return self.layout.track_names

    @property
    def split(self) -> Split:
        """Training, validation and test intervals."""
        return self.layout.split

    def part_files(self, part: Part) -> list[ShardFile]:
        """Return the shards of a part.

        Raises:
            ValueError: it was exported without.
        """
        if part not in self.files:
            raise ValueError(f"{self.name} has no {part} part: it has {', '.join(self.files)}")
        return self.files[part]

    def windows(self, part: Part) -> pd.DataFrame:
        """Return the windows of a part in the order of the rows, columns chrom, start, end, without margins."""
        total = sum(file.num_windows for file in self.part_files(part))
        path = self._root / WINDOWS_FILE
        if self.revision is not None and not path.is_file():
            path = _download(self.name, WINDOWS_FILE, self.revision)
        if not path.is_file():
            raise FileNotFoundError(f"{self.name} is damaged: {WINDOWS_FILE} is missing; export it again")
        table = pq.read_table(path, filters=[("part", "==", part)])
        if len(table) != total:
            raise ValueError(
                f"{self.name} is damaged: {WINDOWS_FILE} lists {len(table)} {part} windows and {LAYOUT_FILE} {total}; "
                "export it again"
            )
        chroms = table["chrom"].combine_chunks().dictionary_encode()  # millions of windows, few names
        names = np.array(chroms.dictionary.to_pylist(), object)
        return pd.DataFrame(
            {
                "chrom": names[chroms.indices.to_numpy()],
                "start": table["start"].to_numpy().astype(np.int64),
                "end": table["end"].to_numpy().astype(np.int64),
            }
        )

    def open_file(self, file: ShardFile) -> pq.ParquetFile:
        """Open a shard; on the Hub, its row groups are fetched as they are read.

        Raises:
            FileNotFoundError: it is missing.
            ValueError: it is no Parquet file, or not the one that `shards.json` lists.
        """
        try:
            if self.revision is None:
                shard = pq.ParquetFile(self._root / file.path, memory_map=True)
            else:
                where = f"datasets/{self.name}@{self.revision}/{file.path}"
                shard = pq.ParquetFile(HfFileSystem().open(where, block_size=1 << 20), pre_buffer=True)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{self.name} is damaged: {file.path} is missing; copy or export it again"
            ) from None
        except (ValueError, OSError) as error:  # pyarrow's own errors are ValueErrors
            if self.revision is not None and not isinstance(error, ValueError):
                raise
            raise ValueError(f"{self.name}/{file.path} is no whole Parquet file: {error}; export it again") from None
        found = [shard.metadata.row_group(i).num_rows for i in range(shard.num_row_groups)]
        if found != file.group_sizes or not shard.schema_arrow.equals(self.layout.schema, check_metadata=False):
            raise ValueError(
                f"{self.name}/{file.path} is not the shard that {LAYOUT_FILE} lists ({file.num_windows} windows of "
                f"{self.layout.row_length} bp): export it again"
            )
        return shard

    def check_whole(self, *parts: Part) -> None:
        """Look at the end of every file of some parts, where a truncated one shows; those on the Hub are left alone.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is truncated, damaged or another one.
        """
        if self.revision is not None:
            return
        path = self._root / WINDOWS_FILE
        try:
            pq.ParquetFile(path).close()
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.name} is damaged: {WINDOWS_FILE} is missing; export it again") from None
        except ValueError as error:  # pyarrow's own errors are ValueErrors
            raise ValueError(f"{path} is truncated or damaged ({error}): export it again") from None
        for part in parts:
            for file in self.part_files(part):
                self.open_file(file).close()


def fingerprint_of(description: dict[str, Any]) -> str:
    """Return 16 hex digits of what shards.json holds, but for the fingerprint itself."""
    told = {key: value for key, value in description.items() if key != "fingerprint"}
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def is_dataset_id(name: str) -> bool:
    """Tell whether a name may be a dataset's on the Hub: what lies in a folder that is here is a path."""
    return _HUB_ID.fullmatch(name) is not None and not Path(name.split("/")[0]).exists()


def _download(name: str, file: str, revision: str | None) -> Path:
    """Return where the Hub's cache has a file of a dataset: .../snapshots/COMMIT/FILE."""
    try:
        # which ends at once where there is no network, while a fetch of one file tries again for half a minute
        folder = snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=[file])
    except LocalEntryNotFoundError:
        raise OSError(
            f"the dataset {name} is not in the cache and the Hub cannot be reached; try again online"
        ) from None
    except RepositoryNotFoundError:
        raise FileNotFoundError(
            f"{name} is neither a folder here nor a dataset on the Hub that you may read; check the name"
        ) from None
    if not (Path(folder) / file).is_file():
        raise FileNotFoundError(f"the dataset {name} has no {file}: chromhub did not make it")
    return Path(folder) / file


def _read(path: Path, name: str) -> dict[str, Any]:
    """Return what shards.json holds."""
    try:
        description = read_json(path, remedy="export it again")
    except ValueError as error:
        raise ValueError(f"{name}/{LAYOUT_FILE} is damaged ({error})") from None
    found = description.get("format"), description.get("version")
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"{name}/{LAYOUT_FILE} must say {FORMAT} version {VERSION}, got {found[0]} version {found[1]}: export again"
        )
    return description
