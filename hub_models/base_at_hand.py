"""The model that a run started from, where it lies on this machine: nothing is fetched."""

from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from ..inference.load import load_any
from ..inference.model_folder import chain_of, open_model
from ..inference.names import RUNS, is_model, looks_like_path
from ..inference.provenance import Provenance, find_provenance
from ..inference.untuned_base import UntunedBase
from ..modeling import ClasterForProfileRegression
from .registry import FOLDER

_CONFIGS = ("config.json", "adapter_config.json")
_WEIGHTS = {"config.json": "model.safetensors", "adapter_config.json": "adapter_model.safetensors"}


def base_at_hand(run: str | Path) -> UntunedBase | str:
    """Load the base of a run.

    It is looked for under the name that the run's record gives: as a path, among the models that come with chromhub,
    and in the Hub's cache. A model of that name that was trained on other data than the recorded base is not it.

    Args:
        run: folder or Hub id.

    Returns:
        The base, or why there is none.
    """
    try:
        provenance = find_provenance(run)
    except OSError:
        provenance = None
    if provenance is None:
        return "the run has no record of a base"
    if provenance.base_model is None:
        return "the run was trained from scratch"
    name = provenance.base_model
    folder = _folder(name)
    if folder is None:
        return f"the base {_short(name)} is not on this machine"
    recorded, found = provenance.base, Provenance.load(folder)
    if recorded is not None and (found is None or found.data_fingerprint != recorded.data_fingerprint):
        return f"the model that lies where the base {_short(name)} was is another one"
    try:
        model = load_any(folder)
    except (OSError, ValueError) as error:
        return f"the base {_short(name)} cannot be loaded: {error}"
    if isinstance(model, ClasterForProfileRegression):
        return f"the base {_short(name)} reads a landscape"
    return UntunedBase(_short(name), model)


def _folder(name: str) -> Path | None:
    """Return where a model lies with all that it needs, or None."""
    folder = None
    if looks_like_path(name) and any((Path(name).expanduser() / file).is_file() for file in _CONFIGS):
        folder = Path(name).expanduser()
    elif any((FOLDER / Path(name).name / file).is_file() for file in _CONFIGS):
        folder = FOLDER / Path(name).name
    elif "/" not in name and is_model(RUNS / name):
        folder = RUNS / name
    elif not looks_like_path(name):
        folder = _cached(name)
    if folder is None:
        return None
    try:  # loading an adapter loads its base by name, which must not ask the Hub
        links = list(chain_of(open_model(folder, weights=False, ask_hub=False)))
    except (OSError, ValueError):
        return None
    return folder if all(link.place.folder is not None for link in links) else None


def _cached(name: str) -> Path | None:
    """Return the snapshot of a Hub id whose configuration and weights are both in the cache."""
    if name.count("/") != 1:
        return None
    for config, weights in _WEIGHTS.items():
        paths = [try_to_load_from_cache(name, file) for file in (config, weights)]
        if all(isinstance(path, str) for path in paths):
            return Path(str(paths[0])).parent
    return None


def _short(name: str) -> str:
    """Return a Hub id whole and of a folder its name alone."""
    return Path(name).name if looks_like_path(name) else name
