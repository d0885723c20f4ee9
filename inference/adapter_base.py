"""Which weights an adapter belongs to: a digest of its base's, recorded with the adapter and compared at every load."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from transformers.utils.hub import cached_file
from transformers.utils.peft_utils import find_adapter_config_file

from .names import resolve

_QUIET: dict[str, Any] = {
    "_raise_exceptions_for_missing_entries": False,
    "_raise_exceptions_for_connection_errors": False,
    "_raise_exceptions_for_gated_repo": False,
}
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
    name = _located(str(name))
    digest = hashlib.sha256()
    seen: list[str] = []
    while name and (config := find_adapter_config_file(name, revision=revision)):
        if name in seen:  # it names itself, which the loader refuses
            return None
        seen.append(name)
        if not _add_tensors(digest, _files(name, "adapter_model", revision)):
            return None
        values = json.loads(Path(config).read_text(encoding="utf-8"))
        name, revision = _located(str(values.get("base_model_name_or_path") or "")), values.get("revision")
    if not name:
        return None
    return digest.hexdigest()[:16] if _add_tensors(digest, _files(name, "model", revision)) else None


def check_base(
    adapter: str | Path,
    base: str | Path,
    *,
    revision: str | None = None,
    base_revision: str | None = None,
    record: str = "provenance.json",
) -> None:
    """Refuse an adapter on other weights than those it was trained on; one without a record is taken as it is.

    Args:
        adapter: folder or Hub id.
        base: what it names as its base.
        revision: of the adapter.
        base_revision: of the base.
        record: where the adapter keeps the digest.

    Raises:
        ValueError: the base has changed.
    """
    file = cached_file(str(adapter), record, revision=revision, **_QUIET)
    if file is None:
        return
    try:
        values = json.loads(Path(file).read_text(encoding="utf-8"))
    except ValueError:  # whoever reads the record says so
        return
    wanted = values.get("base_digest") if isinstance(values, dict) else None
    found = weights_digest(base, revision=base_revision) if wanted else None
    if found is not None and found != wanted:
        raise ValueError(
            f"the adapter {str(adapter)!r} was trained on a base with the weights {wanted}, and {str(base)!r} holds "
            f"others now ({found}): put the base back as it was, or train the adapter anew"
        )


def _located(name: str) -> str:
    """Return the folder that a name stands for on this machine, else the name."""
    try:
        return str(resolve(name).folder or name)
    except (FileNotFoundError, ValueError):
        return ""


def _files(name: str, stem: str, revision: str | None) -> list[Path]:
    """Return the weights files of a folder, or of a model on the Hub from its cache."""
    if Path(name).is_dir():
        return sorted([*Path(name).glob(f"{stem}.safetensors"), *Path(name).glob(f"{stem}-*-of-*.safetensors")])
    if file := cached_file(name, f"{stem}.safetensors", revision=revision, **_QUIET):
        return [Path(file)]
    index = cached_file(name, f"{stem}.safetensors.index.json", revision=revision, **_QUIET)
    if index is None:
        return []
    names = sorted(set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()))
    files = [cached_file(name, file, revision=revision, **_QUIET) for file in names]
    return [Path(file) for file in files if file is not None]


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
