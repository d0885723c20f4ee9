"""A run's folder: what it may hold before training, and how the finished model appears in it."""

import shutil
from pathlib import Path

from .checkpoints import last_whole, list_checkpoints

CHECKPOINTS = "checkpoints"
_MODEL_FILES = ("config.json", "adapter_config.json")


def is_finished_run(run: str | Path) -> bool:
    """Tell whether `run` holds a finished model."""
    return any((Path(run) / name).is_file() for name in _MODEL_FILES)


def is_run(run: str | Path) -> bool:
    """Tell whether `run` is a folder that training wrote."""
    return (Path(run) / CHECKPOINTS).is_dir() or (Path(run) / "recipe.yaml").is_file()


def check_run(run: str | Path, *, resume: bool, overwrite: bool) -> Path | None:
    """Refuse a folder that training must not touch; change nothing.

    Args:
        run: the run's folder.
        resume: go on from its last whole checkpoint, or from the start where none was made.
        overwrite: a run may lie there already; `clear_run` removes it.

    Returns:
        The checkpoint to go on from.

    Raises:
        FileNotFoundError: `resume` without a run.
        FileExistsError: a run, finished or not, or foreign files lie there.
        ValueError: `resume` together with `overwrite`.
    """
    run = Path(run)
    if resume and overwrite:
        raise ValueError("--resume goes on with a run and --overwrite deletes it; give one")
    if resume:
        if is_finished_run(run):
            raise FileExistsError(f"{run} is finished, so there is nothing to resume; use --overwrite to train it anew")
        if not (run / CHECKPOINTS / "recipe.yaml").is_file():
            raise FileNotFoundError(f"{run} holds no run to resume; train without --resume")
        return last_whole(run / CHECKPOINTS)
    if run.exists() and not run.is_dir():
        raise FileExistsError(f"{run} is a file; choose another folder")
    if not run.exists() or not any(run.iterdir()):
        return None
    if not is_run(run):
        raise FileExistsError(f"{run} holds files that are no run of chromhub; choose another folder")
    if overwrite:
        return None
    if is_finished_run(run):
        raise FileExistsError(f"{run} holds a finished run; use --overwrite or another folder")
    if list_checkpoints(run / CHECKPOINTS):
        raise FileExistsError(f"{run} holds an unfinished run; go on with --resume, or start anew with --overwrite")
    return None


def clear_run(run: str | Path) -> None:
    """Delete an earlier run."""
    if is_run(run):
        shutil.rmtree(run)


def publish_run(staged: str | Path, run: str | Path) -> None:
    """Move finished files from `staged` into `run`, and delete the checkpoints.

    The file that makes a folder a model moves last: whatever stops this half-way leaves a run that can be resumed and
    that nothing takes for a model.
    """
    staged, run = Path(staged), Path(run)
    mode = (staged / "recipe.yaml").stat().st_mode
    for path in sorted(staged.iterdir(), key=lambda path: path.name in _MODEL_FILES):
        path.chmod(mode)  # safetensors makes files that only their owner may read
        path.replace(run / path.name)
    shutil.rmtree(run / CHECKPOINTS)
