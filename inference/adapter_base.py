"""Which weights an adapter belongs to: a digest of its base's, recorded with the adapter and compared at every load."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from .model_folder import RECORD, fetch
from .names import ADAPTER_CONFIG, resolve

_BLOCK = 1 << 22  # bytes read at a time
_MOST_HEADER = 1 << 27  # bytes; safetensors itself takes no longer header


def weights_digest(name: str | Path, *, revision: str | None = None) -> str | None:
    """Return what names the weights of a model: the same however they are cut into files.

    Args:
        name: folder or Hub id of a model; of an adapter its base counts too.
        revision: on the Hub.

    Returns:
        16 hex digits; None where there are no safetensors to read.
    """
    digest = hashlib.sha256()
    seen: list[Path] = []
    while (folder := _folder(name, revision)) and folder not in seen:  # one that names itself is refused by the loader
        seen.append(folder)
        is_adapter = (folder / ADAPTER_CONFIG).is_file()
        if not _add_tensors(digest, _files(folder, "adapter_model" if is_adapter else "model")):
            return None
        if not is_adapter:
            return digest.hexdigest()[:16]
        values = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        name, revision = str(values.get("base_model_name_or_path") or ""), values.get("revision")
    return None


def check_base(adapter: Path, base: Path) -> None:
    """Refuse an adapter on other weights than those it was trained on; one without a record is taken as it is.

    Args:
        adapter: its folder, with the record that keeps the digest.
        base: folder of the base.

    Raises:
        ValueError: the base has changed.
    """
    try:
        values = json.loads((adapter / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # whoever reads a damaged record says so
        return
    wanted = values.get("base_digest") if isinstance(values, dict) else None
    found = weights_digest(base) if wanted else None
    if found is not None and found != wanted:
        raise ValueError(
            f"the adapter {str(adapter)!r} was trained on a base with the weights {wanted}, and {str(base)!r} holds "
            f"others now ({found}): put the base back as it was, or train the adapter anew"
        )


def _folder(name: str | Path, revision: str | None) -> Path | None:
    """Return where a model lies on this machine, maybe in the Hub's cache; None where there is none of that name."""
    try:
        place = resolve(name)
        return place.folder or fetch(place.name, revision, weights=True)
    except (OSError, ValueError):
        return None


def _files(folder: Path, stem: str) -> list[Path]:
    """Return the weights files of a folder."""
    return sorted([*folder.glob(f"{stem}.safetensors"), *folder.glob(f"{stem}-*-of-*.safetensors")])


def _add_tensors(digest: Any, files: list[Path]) -> bool:
    """Add names, types, shapes and bytes of the tensors of some files, by name; False where there are none."""
    places: dict[str, tuple[Path, int, int, str]] = {}
    for path in files:
        with path.open("rb") as file:
            head = file.read(8)
            size = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            if not 0 < size < _MOST_HEADER:
                return False
            try:
                header = json.loads(file.read(size))
                for name, tensor in header.items():
                    if name != "__metadata__":
                        first, last = tensor["data_offsets"]
                        kind = f"{name}\0{tensor['dtype']}\0{tensor['shape']}\0"
                        places[name] = (path, 8 + size + int(first), int(last) - int(first), kind)
            except (ValueError, KeyError, TypeError, AttributeError):  # damaged, as the loader will say
                return False
    for _, (path, start, length, kind) in sorted(places.items()):
        digest.update(kind.encode())
        with path.open("rb") as file:
            file.seek(start)
            while length > 0 and (block := file.read(min(length, _BLOCK))):
                digest.update(block)
                length -= len(block)
    return bool(places)
