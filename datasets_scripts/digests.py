"""Sizes and SHA-256 of a folder's files, in a file that is written last: what is whole, and what changed since.

A kill or a power cut leaves files that are short, empty or old under their final names; a disk flips bits. Neither
shows in a file's name or date.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from .plain_files import check_regular, read_json

DIGESTS = "digests.json"


def write_digests(folder: str | Path, files: Iterable[Path]) -> None:
    """Write digests.json, after the files that it names have reached the disk.

    Args:
        folder: of the files.
        files: some of its own files.
    """
    folder = Path(folder)
    found = {}
    for file in sorted(files):
        with file.open("rb") as content:
            os.fsync(content.fileno())
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        found[file.name] = {"bytes": file.stat().st_size, "sha256": digest}
    partial = folder / f".{DIGESTS}"
    with partial.open("w", encoding="utf-8") as text:
        text.write(json.dumps(found, indent=1) + "\n")
        text.flush()
        os.fsync(text.fileno())
    partial.replace(folder / DIGESTS)
    handle = os.open(folder, os.O_RDONLY)  # the new names themselves
    try:
        os.fsync(handle)
    except OSError:
        pass  # some file systems cannot, and need not
    finally:
        os.close(handle)


def find_changed(folder: str | Path) -> str | None:
    """Return what differs from a folder's digests.json, in words, or None; a folder without one has nothing to differ.

    Raises:
        ValueError: the list itself is damaged.
    """
    folder = Path(folder)
    if not (folder / DIGESTS).exists():
        return None
    for name, entry in read_json(folder / DIGESTS).items():
        if not _is_entry(name, entry):
            raise ValueError(f"{folder / DIGESTS} is damaged at {name!r:.80}; restore the file")
        file = folder / name
        if not file.exists():
            return f"{name} is missing"
        if (size := check_regular(file)) != entry["bytes"]:
            return f"{name} has {size:,} bytes, and had {entry['bytes']:,}"
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != entry["sha256"]:
                return f"{name} has another content (SHA-256) than it had"
    return None


def check_digests(folder: str | Path) -> None:
    """Refuse a folder whose files are no longer those that its digests.json names.

    Raises:
        ValueError: a file is missing or another one, or the list is damaged.
    """
    if changed := find_changed(folder):
        raise ValueError(
            f"{folder} is not what was written there: {changed}; restore it, or delete {DIGESTS} if the change is meant"
        )


def _is_entry(name: str, entry: object) -> bool:
    """Tell whether an entry names a file of the folder itself."""
    return (
        name == Path(name).name
        and name not in ("", "..")
        and isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("sha256"), str)
    )
