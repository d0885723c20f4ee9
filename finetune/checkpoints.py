"""Checkpoints of an unfinished run: which are whole, and where to go on."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from ..datasets_scripts.digests import find_changed, write_digests
from ..datasets_scripts.plain_files import PlainRecord, check_regular, read_json
from ..inference.weights_file import ADAPTER_WEIGHTS, WEIGHTS, read_tensors

_STATE = "trainer_state.json"
_ZIPS = ("optimizer.pt", "scheduler.pt")  # as torch writes them; a zip's list of contents is its end


class StateRecord(PlainRecord):
    """What trainer_state.json must hold to go on from."""

    model_config = ConfigDict(allow_inf_nan=True)  # a metric may be no number

    global_step: int = Field(ge=0)
    max_steps: int
    epoch: float | None = None
    log_history: list[dict[str, Any]] = Field(default_factory=list)
    best_global_step: int | None = None
    best_metric: float | None = None
    best_model_checkpoint: str | None = None
    stateful_callbacks: dict[str, Any] = Field(default_factory=dict)


def find_fault(checkpoint: str | Path) -> str | None:
    """Return what a checkpoint lacks, in words, or None of a whole one.

    The Trainer writes into the folder's final name: weights, optimizer, schedule, random state, trainer_state.json, and
    last, when those have reached the disk, the digests of all of them. A kill leaves one that lacks files or their
    ends; a power cut also one whose files are there and empty; one that is being deleted lacks any.
    """
    folder = Path(checkpoint)
    try:
        if changed := find_changed(folder):
            return changed
        weights = [folder / name for name in (WEIGHTS, ADAPTER_WEIGHTS) if (folder / name).exists()]
        if not weights:
            return "its weights are missing"
        randoms = sorted(folder.glob("rng_state*.pth"))
        if not randoms:
            return "rng_state.pth is missing"
        for file in (*(folder / name for name in _ZIPS), *randoms):
            check_regular(file)
            if not zipfile.is_zipfile(file):
                return f"{file.name} has no end ({file.stat().st_size:,} bytes)"
        read_tensors(weights[0])
        read_state(folder)
    except FileNotFoundError as error:
        return f"{Path(error.filename or _STATE).name} is missing"
    except (OSError, ValueError) as error:
        return " ".join(str(error).split())
    return None


def is_whole(checkpoint: str | Path) -> bool:
    """Tell a whole checkpoint from one that a kill or a power cut left."""
    return find_fault(checkpoint) is None


def seal(checkpoint: str | Path) -> None:
    """Write down what a checkpoint holds, once it is on the disk; what is sealed and changes is no longer whole."""
    folder = Path(checkpoint)
    write_digests(folder, [path for path in folder.iterdir() if path.is_file()])


def list_checkpoints(folder: str | Path) -> list[Path]:
    """Return the checkpoint folders under `folder`, whole or not, by step."""
    found = [path for path in Path(folder).glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def last_whole(folder: str | Path) -> Path | None:
    """Return the newest whole checkpoint under `folder` whose best one, which the run ends with, is whole; or None."""
    for path in reversed(list_checkpoints(folder)):
        if not is_whole(path):
            continue
        best = read_state(path)["best_global_step"]
        if best is None or path.name == f"checkpoint-{best}" or is_whole(Path(folder) / f"checkpoint-{best}"):
            return path
    return None


def remove_broken(folder: str | Path) -> dict[str, str]:
    """Delete the checkpoints that are not whole and return their names, each with its fault."""
    faults = {path: fault for path in list_checkpoints(folder) if (fault := find_fault(path))}
    for path in faults:
        shutil.rmtree(path)
    return {path.name: fault for path, fault in faults.items()}


def read_state(checkpoint: str | Path) -> dict[str, Any]:
    """Return a checkpoint's trainer_state.json.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged.
    """
    file = Path(checkpoint) / _STATE
    return StateRecord.check(read_json(file, finite=False), str(file)).model_dump()


def is_finished(checkpoint: str | Path) -> bool:
    """Tell whether training had ended, by its last step or by patience, when `checkpoint` was written."""
    state = read_state(checkpoint)
    control = state["stateful_callbacks"].get("TrainerControl", {})
    return state["global_step"] >= state["max_steps"] or control.get("args", {}).get("should_training_stop", False)
