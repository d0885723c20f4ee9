"""Where a model lies by the name that somebody gives: one rule for every command, every record and every base.

In this order: an existing path; the name of a model that comes with chromhub; the name of a run in runs/; a Hub id
ORG/NAME. Only the last asks the network, and nothing that may be a path with a slip in it is taken for one.
"""

import difflib
import logging
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..datasets_scripts.atomic import heal

SHIPPED = Path(str(resources.files("chromhub.hub_models")))  # ready-to-push models lie here, one folder each
RUNS = Path("runs")  # below the working directory, where the examples write
CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"  # either makes a folder a model's
ORDER = "a model is given as an existing folder, the name of a shipped model, a run in runs/, or a Hub id ORG/NAME"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_log = logging.getLogger("chromhub")


@dataclass(frozen=True)
class Place:
    """Where a model lies.

    Args:
        name: as it was given.
        folder: on this machine; None of a model on the Hub.
    """

    name: str
    folder: Path | None

    @property
    def key(self) -> str:
        """What tells the place from any other."""
        return self.name if self.folder is None else str(self.folder.resolve())


def looks_like_path(name: str) -> bool:
    """Tell a local path from a Hub id such as "org/name": an existing path, or one that starts like a path."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists()


def is_hub_id(name: str) -> bool:
    """Tell whether a name has the form of a Hub id, whatever lies on this machine."""
    return _HUB_ID.fullmatch(name) is not None and ".." not in name and "--" not in name


def is_model(folder: Path) -> bool:
    """Tell whether a folder holds the configuration of a model or of an adapter."""
    return (folder / CONFIG).exists() or (folder / ADAPTER_CONFIG).exists()


def shipped_names() -> list[str]:
    """Return the names of the models that come with chromhub."""
    return sorted(path.name for path in SHIPPED.iterdir() if is_model(path))


def resolve(name: str | Path) -> Place:
    """Return where a model lies; the network is not asked.

    Raises:
        FileNotFoundError: a path that does not exist.
        ValueError: a name that is nothing of what a model may be given as.
    """
    text = str(name)
    path = Path(text).expanduser()
    if text:
        heal(path)
    if text and path.is_dir():
        return Place(text, path)
    if text and path.exists():
        raise ValueError(f"{text!r} is a file, not the folder of a model; give the folder that it lies in")
    if isinstance(name, Path) or not text or looks_like_path(text) or text.endswith("/"):
        raise FileNotFoundError(f"no model folder {text!r}; {ORDER}")
    if "/" not in text:
        for folder in (SHIPPED / text, RUNS / text):
            if is_model(folder):
                return Place(text, folder)
        raise ValueError(f"no model is registered as {text!r}; {_hint(text)}")
    if Path(text.split("/")[0]).is_dir():  # `runs/yaest`: a Hub id of that form would be asked for in vain, or found
        raise FileNotFoundError(
            f"no model folder {text!r}, and {text.split('/')[0]!r} is a folder here, so it is no Hub id; {ORDER}"
        )
    if not is_hub_id(text):
        raise ValueError(f"{text!r} is no name of a model; {ORDER}")
    _log.info("%s is no folder here: taking it from the Hub", text)
    return Place(text, None)


def _hint(name: str) -> str:
    """Say what was meant, or what there is."""
    known = shipped_names() + sorted(path.name for path in RUNS.glob("*") if is_model(path))
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}? {ORDER}" if near else f"use one of {', '.join(known)}, a folder, or ORG/NAME"
