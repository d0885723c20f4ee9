"""A run's folder: what it may hold before training, and how the finished model appears in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..datasets_scripts.atomic import check_place, hidden_name, naming_full_disk
from ..datasets_scripts.output_lock import check_unlocked, output_lock
from ..datasets_scripts.own_files import check_apart, check_outside_data, check_own, clear_own, files_below
from ..datasets_scripts.renames import move, sync, sync_folder
from ..inference.model_files import FOLDER_FILES
from .checkpoints import last_whole, list_checkpoints

CHECKPOINTS = "checkpoints"
_MODEL_FILES = ("config.json", "adapter_config.json")
_UNFINISHED = f"{CHECKPOINTS}/recipe.yaml"
RUN_FILES = (
    *FOLDER_FILES,
    *(_UNFINISHED, f"{CHECKPOINTS}/data.json", f"{CHECKPOINTS}/checkpoint-[0-9]*/**", f"{CHECKPOINTS}/final/*"),
)
_OTHERS = "files that are no run of chromhub"


def is_finished_run(run: str | Path) -> bool:
    """Tell whether `run` holds a finished model."""
    return any((Path(run) / name).is_file() for name in _MODEL_FILES)


def is_run(run: str | Path) -> bool:
    """Tell whether `run` is a folder that training wrote; a recipe alone is anybody's."""
    run = Path(run)
    if (run / _UNFINISHED).is_file():
        return True
    return is_finished_run(run) and any((run / name).is_file() for name in ("recipe.yaml", "provenance.json"))


def check_run(
    run: str | Path,
    *,
    resume: bool,
    overwrite: bool,
    inputs: tuple[str | Path | None, ...] = (),
    is_held: bool = False,
) -> Path | None:
    """Refuse a folder that training must not touch; change nothing.

    Args:
        run: the run's folder.
        resume: go on from its last whole checkpoint, or from the start where none was made.
        overwrite: a run may lie there already, and nothing else; `clear_run` removes it.
        inputs: what is read, such as data and base.
        is_held: this process, or the one that leads it, holds the run's lock.

    Returns:
        The checkpoint to go on from.

    Raises:
        FileNotFoundError: `resume` without a run.
        FileExistsError: a run, finished or not, or foreign files lie there, another process trains there, or it is,
            holds or lies in an input.
        ValueError: `resume` together with `overwrite`.
    """
    run = Path(run)
    if resume and overwrite:
        raise ValueError("--resume goes on with a run and --overwrite deletes it; give one")
    check_apart(run, *inputs)
    check_outside_data(run)
    if not is_held:
        check_unlocked(_lock_of(run), run)
    if (run / CHECKPOINTS).is_symlink():
        raise FileExistsError(
            f"{run / CHECKPOINTS} is a link, and training writes and deletes there: make {run} itself the link"
        )
    if resume:
        if is_finished_run(run):
            raise FileExistsError(f"{run} is finished, so there is nothing to resume; use --overwrite to train it anew")
        if not (run / CHECKPOINTS / "recipe.yaml").is_file():
            raise FileNotFoundError(f"{run} holds no run to resume; train without --resume")
        return last_whole(run / CHECKPOINTS)
    if run.exists() and not run.is_dir():
        raise FileExistsError(f"{run} is a file; choose another folder")
    if not any(name != _lock_of(run).name for name in files_below(run)):
        return None
    if not is_run(run):
        raise FileExistsError(f"{run} holds files that are no run of chromhub; choose another folder")
    if overwrite:
        check_own(run, RUN_FILES, others=_OTHERS)
        return None
    if is_finished_run(run):
        raise FileExistsError(f"{run} holds a finished run; use --overwrite or another folder")
    if list_checkpoints(run / CHECKPOINTS):
        raise FileExistsError(f"{run} holds an unfinished run; go on with --resume, or start anew with --overwrite")
    return None


@contextmanager
def held_run(run: str | Path) -> Iterator[None]:
    """Hold a run's folder, which is made, while it is trained in; a full disk gets its sentence.

    Raises:
        FileExistsError: another process trains there.
        OSError: nothing can be written there.
    """
    run = Path(run)
    check_place(run / CHECKPOINTS)
    new = [path for path in (run, *run.parents) if not path.exists()]
    run.mkdir(parents=True, exist_ok=True)
    try:
        with output_lock(_lock_of(run), run), naming_full_disk(run):
            yield
    except BaseException:
        with suppress(OSError):  # something lies there by now
            for path in new:
                path.rmdir()
        raise


def clear_run(run: str | Path) -> None:
    """Delete the files of an earlier run, and no other."""
    if is_run(run):
        clear_own(Path(run), RUN_FILES)
        with suppress(OSError):  # another file lies there, or the lock
            Path(run).rmdir()


def publish_run(staged: str | Path, run: str | Path) -> None:
    """Move finished files from `staged` into `run`, and delete the checkpoints.

    The file that makes a folder a model moves last: whatever stops this half-way leaves a run that can be resumed and
    that nothing takes for a model.
    """
    staged, run = Path(staged), Path(run)
    mode = (staged / "recipe.yaml").stat().st_mode
    sync(staged)
    for path in sorted(staged.iterdir(), key=lambda path: path.name in _MODEL_FILES):
        path.chmod(mode)  # safetensors makes files that only their owner may read
        if path.name in _MODEL_FILES:
            sync_folder(run)  # what moved before it
        move(path, run / path.name, hidden_name(run / path.name, "partial-00000000"))
    sync_folder(run)
    shutil.rmtree(run / CHECKPOINTS)


def _lock_of(run: Path) -> Path:
    """Return the lock of a run: inside it, since its parent may be another file system, or not writable."""
    return run / ".run.lock"
