"""The tensors of a safetensors file by name, type and shape, and whether they are those of a model; no weight is read.

A loader that finds a tensor missing draws it at random, and says so in a warning at most.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..datasets_scripts.plain_files import check_regular, read_json

WEIGHTS, ADAPTER_WEIGHTS = "model.safetensors", "adapter_model.safetensors"
INDEX = "model.safetensors.index.json"  # of weights in several files
_NUM_NAMED = 3  # tensors that an error names
_FLOATS = {"F64", "F32", "F16", "BF16"}
_PICKLES = ("pytorch_model.bin", "adapter_model.bin")


@dataclass(frozen=True)
class TensorKind:
    """What a file says of a tensor, or a model wants of it: shape, and whether it holds real numbers."""

    shape: tuple[int, ...]
    is_real: bool

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def weights_files(folder: Path, *, adapter: bool) -> list[Path]:
    """Return the files of a folder that hold its weights.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the list of several files is damaged.
    """
    file = folder / (ADAPTER_WEIGHTS if adapter else WEIGHTS)
    if file.exists():
        return [file]
    if not adapter and (folder / INDEX).exists():
        names = read_json(folder / INDEX).get("weight_map")
        if not isinstance(names, dict) or not all(
            isinstance(name, str) and name == Path(name).name and name.endswith(".safetensors")
            for name in names.values()
        ):
            raise ValueError(f"{folder / INDEX} is damaged: its weight_map must name files beside it; restore the file")
        return [folder / name for name in sorted(set(names.values()))]
    pickles = [name for name in _PICKLES if (folder / name).exists()]
    also = f"; {pickles[0]} is a pickle, which can run code and is not read" if pickles else ""
    raise FileNotFoundError(f"{folder} holds no weights ({file.name}); restore the file{also}")


def read_tensors(file: Path) -> dict[str, TensorKind]:
    """Return what a file's head says of its tensors; the library holds the head against the file's length.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no whole safetensors file.
    """
    check_regular(file)
    file.open("rb").close()  # of one that it may not read, safetensors says that it does not exist
    try:
        with safe_open(file, framework="numpy") as weights:
            slices = {name: weights.get_slice(name) for name in weights.keys()}  # noqa: SIM118 - it is no dictionary
            return {
                name: TensorKind(tuple(part.get_shape()), part.get_dtype() in _FLOATS) for name, part in slices.items()
            }
    except (SafetensorError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"{file} is no whole safetensors file ({error}); restore or copy it again") from None


def read_weights(folder: Path, *, adapter: bool) -> dict[str, TensorKind]:
    """Return the tensors of all weights files of a folder.

    Raises:
        FileNotFoundError: no weights, or one of their files is missing.
        ValueError: a damaged file.
    """
    found: dict[str, TensorKind] = {}
    for file in weights_files(folder, adapter=adapter):
        found |= read_tensors(file)
    return found


def kinds_of(state: Mapping[str, torch.Tensor]) -> dict[str, TensorKind]:
    """Return what a model's state wants of a file."""
    return {name: TensorKind(tuple(value.shape), value.is_floating_point()) for name, value in state.items()}


def check_tensors(found: Mapping[str, TensorKind], wanted: Mapping[str, TensorKind], *, where: Path, what: str) -> None:
    """Refuse weights that are not a model's, tensor by tensor.

    Args:
        found: in the file.
        wanted: by the model.
        where: the file or folder, for the error.
        what: the model, for the error.

    Raises:
        ValueError: a tensor is missing, left over, or of another shape or type.
    """
    faults = []
    if missing := [name for name in wanted if name not in found]:
        faults.append(f"{len(missing)} of {len(wanted)} tensors are missing ({_named(missing)})")
    if strange := [name for name in found if name not in wanted]:
        faults.append(f"{len(strange)} belong to no part of it ({_named(strange)})")
    both = [name for name in wanted if name in found]
    if others := [name for name in both if found[name].shape != wanted[name].shape]:
        name = others[0]
        faults.append(
            f"{len(others)} have another shape ({name} {list(found[name].shape)} for {list(wanted[name].shape)})"
        )
    elif others := [name for name in both if found[name].is_real != wanted[name].is_real]:
        faults.append(f"{len(others)} hold another type of number ({_named(others)})")
    if faults:
        raise ValueError(f"the weights in {where} are not those of {what}: {'; '.join(faults)}; restore the files")


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED:,} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(name[:120] for name in sorted(names)[:_NUM_NAMED]) + more
