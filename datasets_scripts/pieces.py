"""Parts of a store that are finished and what each was made from, so that none is made twice."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .listed_files import check_listed, is_inside
from .plain_files import read_json
from .store_inputs import InputReport

MANIFEST = "pieces.json"


def file_key(path: str | Path) -> list[Any]:
    """Return the size, time of change and digest of both ends of a file: together they tell whether it changed."""
    report = InputReport.of("", Path(path))
    return [report.num_bytes, Path(path).stat().st_mtime_ns, report.sha256]


def piece_key(*ingredients: Any) -> str:
    """Return 16 hex digits that change when any of the ingredients (JSON, or paths of files) does."""
    text = json.dumps(ingredients, sort_keys=True, default=_jsonable)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Pieces:
    """The finished parts of a folder that is being filled, kept in its pieces.json after each of them.

    Args:
        folder: being filled; parts that an earlier run finished there are taken up.
        old: a finished folder whose parts may be shared (hard links, or copies where there are none).

    Raises:
        ValueError: a list names a file outside its folder.

    Attributes:
        num_kept: parts that were not made again.
    """

    def __init__(self, folder: Path, old: Path | None = None) -> None:
        self.folder = folder
        self.num_kept = 0
        self._old = old
        self._done = read_pieces(folder)
        self._made_here = set(self._done)
        self._shared = {} if old is None else read_pieces(old)

    def take(self, name: str, key: str) -> dict[str, Any] | None:
        """Return what is known of a part made from the same ingredients, its files in place; None: it must be made."""
        found = self._done.get(name)
        if found is None or not _is_whole(found, key, self.folder):
            self._forget(name)
            found = self._shared.get(name)
            if self._old is None or found is None or not _is_whole(found, key, self._old):
                return None
            for file in found["files"]:
                share(self._old / file, self.folder / file)
            self._done[name] = found
            self._save()
        self.num_kept += 1
        return found["value"]

    def record(self, name: str, key: str, value: dict[str, Any], *, files: Iterable[str]) -> None:
        """Note that a part is finished."""
        self._done[name] = {"key": key, "files": list(files), "value": value}
        self._made_here.add(name)
        self._save()

    def keep_only(self, names: Iterable[str]) -> None:
        """Drop every other part with its files, and put the list in the order of the names."""
        names = [name for name in names if name in self._done]
        for name in set(self._done) - set(names):
            self._forget(name)
        self._done = {name: self._done[name] for name in names}
        self._save()

    def has_made(self, prefix: str) -> bool:
        """Return whether a part whose name starts so was made here, by this run or an earlier one."""
        return any(name.startswith(prefix) for name in self._made_here)

    def _forget(self, name: str) -> None:
        for file in self._done.pop(name, {"files": []})["files"]:
            if is_inside(self.folder, path := self.folder / file):  # not by way of a link
                path.unlink(missing_ok=True)
        self._made_here.discard(name)

    def _save(self) -> None:
        partial = self.folder / f".{MANIFEST}"
        partial.write_text(json.dumps(self._done, indent=1) + "\n", encoding="utf-8")
        (self.folder / MANIFEST).unlink(missing_ok=True)  # may be another folder's too
        partial.replace(self.folder / MANIFEST)


def read_pieces(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the parts of a folder by name; none where it keeps no list, or one that is damaged.

    Raises:
        ValueError: it names a file outside the folder.
    """
    try:
        found = read_json(folder / MANIFEST)
    except (FileNotFoundError, ValueError):  # no JSON, no text, no file
        return {}
    pieces = {name: piece for name, piece in found.items() if _is_piece(piece)}
    for piece in pieces.values():
        for file in piece["files"]:
            check_listed(file, listed_in=folder / MANIFEST)
    return pieces


def _is_piece(piece: Any) -> bool:
    """Tell whether a part of the list is what `Pieces.record` writes; one that is not is made again."""
    return (
        isinstance(piece, dict)
        and isinstance(piece.get("key"), str)
        and isinstance(piece.get("value"), dict)
        and isinstance(piece.get("files"), list)
        and all(isinstance(file, str) for file in piece["files"])
    )


def _is_whole(piece: dict[str, Any], key: str, folder: Path) -> bool:
    return piece["key"] == key and all((folder / file).is_file() for file in piece["files"])


def share(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _jsonable(value: Any) -> Any:
    return file_key(value) if isinstance(value, Path) else str(value)
