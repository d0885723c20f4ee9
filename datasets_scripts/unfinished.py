"""Parts of a file that takes long to make, kept until it is whole, so that a killed run goes on where it was."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .atomic import check_output, finished_file, making, naming_full_disk, partial_of

_SETTINGS = "settings.json"
PART = "part-"  # how the names of parts start


@contextmanager
def unfinished_parts(
    path: str | Path, settings: Mapping[str, Any], *, overwrite: bool = False, leader: bool = True
) -> Iterator[Path]:
    """Yield a folder `.NAME.partial` for the parts of a file, with those that an earlier run of the same settings left.

    When the block ends well the folder is deleted; after an error or Ctrl-C it is kept if there is a part in it. Parts
    of other settings are deleted first. Write a part with `finished_file`, so that each is whole.

    Args:
        path: the file to be made, by the caller, inside the block.
        settings: all that the parts depend on, as plain values for JSON.
        overwrite: an existing file may be replaced.
        leader: of several processes that make one file, the one that prepares and deletes the folder; the others must
            wait until it has.

    Raises:
        FileExistsError: `path` exists and `overwrite` is not given, or another run is making it.
    """
    path = check_output(path, overwrite)
    folder = partial_of(path)
    if not leader:
        yield folder
        return
    wanted = json.loads(json.dumps(settings))
    with making(path, overwrite):
        if folder.is_symlink():
            raise FileExistsError(f"{folder} is a link, where chromhub's own unfinished folder would lie: delete it")
        folder.mkdir(exist_ok=True)
        if _settings_in(folder) != wanted:
            for left in folder.iterdir():
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
            with finished_file(folder / _SETTINGS) as partial:
                partial.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
        try:
            with naming_full_disk(path):
                yield folder
        except BaseException:
            if not any(folder.glob(f"{PART}*")):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _settings_in(folder: Path) -> Any:
    """Return the settings of the parts in a folder; None where there are none."""
    try:
        return json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
