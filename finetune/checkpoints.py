"""Checkpoints of an unfinished run: which are whole, and where to go on."""

import json
import shutil
from pathlib import Path
from typing import Any

_WEIGHTS = ("model.safetensors", "adapter_model.safetensors")
_STATE = "trainer_state.json"


def is_whole(checkpoint: str | Path) -> bool:
    """Tell a whole checkpoint from one that a kill cut short.

    The Trainer writes into the folder's final name: weights, optimizer, schedule, random state, and trainer_state.json
    last. One being written lacks that file or its end; one being deleted lacks any.
    """
    folder = Path(checkpoint)
    if not any((folder / name).is_file() for name in _WEIGHTS):
        return False
    if not all((folder / name).is_file() for name in ("optimizer.pt", "scheduler.pt")):
        return False
    if not any(folder.glob("rng_state*.pth")):
        return False
    try:
        json.loads((folder / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def list_checkpoints(folder: str | Path) -> list[Path]:
    """Return the checkpoint folders under `folder`, whole or not, by step."""
    found = [path for path in Path(folder).glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def last_whole(folder: str | Path) -> Path | None:
    """Return the newest whole checkpoint under `folder`, or None."""
    return next((path for path in reversed(list_checkpoints(folder)) if is_whole(path)), None)


def remove_broken(folder: str | Path) -> list[str]:
    """Delete the checkpoints that are not whole and return their names."""
    broken = [path for path in list_checkpoints(folder) if not is_whole(path)]
    for path in broken:
        shutil.rmtree(path)
    return [path.name for path in broken]


def read_state(checkpoint: str | Path) -> dict[str, Any]:
    """Return a whole checkpoint's trainer_state.json."""
    return json.loads((Path(checkpoint) / _STATE).read_text(encoding="utf-8"))


def is_finished(checkpoint: str | Path) -> bool:
    """Tell whether training had ended, by its last step or by patience, when `checkpoint` was written."""
    state = read_state(checkpoint)
    control = state.get("stateful_callbacks", {}).get("TrainerControl", {})
    return state["global_step"] >= state["max_steps"] or control.get("args", {}).get("should_training_stop", False)
