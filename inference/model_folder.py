"""A model's folder, opened: what it holds, down to the base of its base, each file read by one validated reader.

No code of a folder or of a repository on the Hub runs, and none is fetched: classes are chromhub's own, chosen by
config.json, and weights are safetensors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError, StrictDataclassError
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from pydantic import Field
from transformers import PreTrainedConfig

from ..datasets_scripts.digests import check_digests
from ..datasets_scripts.plain_files import PlainRecord, read_json
from ..modeling import (
    AtacConfig,
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    ChromTransferConfig,
    ChromTransferForSequenceClassification,
    ChromTransferModel,
    ClasterConfig,
    ClasterForProfileRegression,
)
from .names import ADAPTER_CONFIG, CONFIG, Place, is_hub_id, looks_like_path, resolve
from .weights_file import ADAPTER_WEIGHTS, INDEX, WEIGHTS

RECORD = "provenance.json"  # what a run leaves beside its weights; see `provenance`
# Of each type of configuration its classes; the first is that of one which names none.
CLASSES: dict[type[PreTrainedConfig], tuple[Any, ...]] = {
    AtacConfig: (AtacForTrackPrediction, AtacForSequenceClassification),
    ChromTransferConfig: (ChromTransferForSequenceClassification, ChromTransferModel),
    ClasterConfig: (ClasterForProfileRegression,),
}
MAX_RANK = 4096
_MAX_LABELS = 100_000
_MAX_CHAIN = 16  # adapters on adapters
_RECORDS = (CONFIG, ADAPTER_CONFIG, RECORD)
_FILES = (*_RECORDS, WEIGHTS, INDEX, "model-*-of-*.safetensors", ADAPTER_WEIGHTS)
# What transformers would follow to other files, to code or to libraries; no model of chromhub's has it.
_FOREIGN = ("auto_map", "quantization_config", "transformers_weights", "fusion_config", "attn_implementation")


@dataclass(frozen=True)
class ModelFolder:
    """A model or an adapter.

    Args:
        place: where it lies.
        path: folder on this machine, maybe in the Hub's cache.
        config: of the model; an adapter's is its base's.
        adapter: the adapter's own; None of a whole model.
        base: what the adapter sits on; None of a whole model, or where the base was not asked for.
    """

    place: Place
    path: Path
    config: PreTrainedConfig
    adapter: PeftConfig | None = None
    base: "ModelFolder | None" = None

    @property
    def model_class(self) -> Any:
        """The class that the weights were saved with."""
        return class_of(self.config)

    @property
    def base_name(self) -> str:
        """What an adapter's configuration calls its base, "" of a whole model."""
        return "" if self.adapter is None else str(self.adapter.base_model_name_or_path)


class AdapterRecord(PlainRecord):
    """What adapter_config.json must say; PEFT reads the rest.

    Args:
        base_model_name_or_path: folder or Hub id of the base.
        revision: of the base, where it is on the Hub.
        peft_type: method, e.g. "LORA".
        r: rank of a LoRA.
        lora_alpha: scale of its update.
        target_modules: names of layers, or a pattern.
        modules_to_save: names of layers that were trained whole.
        rank_pattern: ranks of some layers.
    """

    base_model_name_or_path: str = Field(min_length=1)
    revision: str | None = None
    peft_type: str = Field(min_length=1)
    r: int = Field(default=8, ge=1, le=MAX_RANK)
    lora_alpha: float = 8
    target_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    rank_pattern: dict[str, int] | None = None


def open_model(
    name: str | Path, *, revision: str | None = None, weights: bool = True, ask_hub: bool = True
) -> ModelFolder:
    """Open a model by any of its names, with the bases below it; weights are not read.

    Args:
        name: as `names.resolve` takes it.
        revision: branch, tag or commit on the Hub.
        weights: have them on this machine, where they are to be read next.
        ask_hub: fetch the base of an adapter in a folder from the Hub; if not, it must lie in the Hub's cache. What is
            itself named by its Hub id may always be fetched.

    Raises:
        FileNotFoundError: no such folder, or no model in it.
        ValueError: a damaged file, a model of another kind, or an adapter whose bases come round to itself.
        OSError: the Hub cannot be reached, has no such model, or may not be asked.
    """
    place = resolve(name)
    return _open(place, revision, weights, ask_hub or place.folder is None, above=())


def read_config(folder: Path) -> PreTrainedConfig:
    """Read the configuration of a whole model.

    Raises:
        FileNotFoundError: there is none.
        ValueError: damaged, or of a model that is none of chromhub's.
    """
    file = folder / CONFIG
    values = read_json(file)
    kinds: dict[Any, type[PreTrainedConfig]] = {kind.model_type: kind for kind in CLASSES}
    model_type = values.get("model_type")
    kind = kinds.get(model_type) if isinstance(model_type, str) else None
    if kind is None:
        raise ValueError(f"{str(folder)!r} holds a model of type {model_type!r:.80}, which is none of chromhub's")
    names = values.get("architectures")
    if not (names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names))):
        raise ValueError(f"{file} is damaged: architectures must be a list of names, got {names!r:.80}")
    num_labels = values.get("num_labels", 1)
    if type(num_labels) is not int or not 1 <= num_labels <= _MAX_LABELS:
        raise ValueError(f"{file} is damaged: num_labels must be 1 to {_MAX_LABELS:,}, got {num_labels!r:.40}")
    try:
        config = kind.from_dict({key: value for key, value in values.items() if key not in _FOREIGN})
        labels: Any = getattr(config, "id2label", None)
        if labels is not None:
            dict(labels)  # a damaged one may be anything
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of a constructor is a fault of the file
        raise ValueError(f"{file} describes no model: {_reason(error)}; restore the file") from None
    class_of(config, where=str(file))
    return config


def class_of(config: PreTrainedConfig, *, where: str = CONFIG) -> Any:
    """Return the class of model that a configuration was saved with, or the first of its type.

    Raises:
        ValueError: it names a class that its type does not have.
    """
    kinds = next(kinds for kind, kinds in CLASSES.items() if isinstance(config, kind))
    if not config.architectures:
        return kinds[0]
    named = {kind.__name__: kind for kind in kinds}
    if config.architectures[0] not in named:
        raise ValueError(
            f"{where} names the class {config.architectures[0]!r:.80}, which is none of {', '.join(named)}"
        )
    return named[config.architectures[0]]


def read_adapter(folder: Path) -> PeftConfig:
    """Read the configuration of an adapter.

    Raises:
        FileNotFoundError: there is none.
        ValueError: damaged, or without a base.
    """
    file = folder / ADAPTER_CONFIG
    values = read_json(file)
    if not values.get("base_model_name_or_path"):
        raise ValueError(f"{file} must name its base in base_model_name_or_path, found none")
    record = AdapterRecord.check(values, str(file))
    if record.peft_type not in PEFT_TYPE_TO_CONFIG_MAPPING:
        raise ValueError(f"{file} is damaged: {record.peft_type!r:.80} is no method of PEFT; restore the file")
    if bad := [rank for rank in (record.rank_pattern or {}).values() if not 1 <= rank <= MAX_RANK]:
        raise ValueError(f"{file} is damaged: a rank must be 1 to {MAX_RANK}, got {bad[0]}; restore the file")
    try:
        return PeftConfig.from_pretrained(str(folder))
    except Exception as error:  # noqa: BLE001 - as for a model's
        raise ValueError(f"{file} describes no adapter: {_reason(error)}; restore the file") from None


def _open(place: Place, revision: str | None, weights: bool, ask_hub: bool, above: tuple[str, ...]) -> ModelFolder:
    """Open what lies at a place, and the bases below it.

    Args:
        place: where.
        revision: of it on the Hub.
        weights: fetch them.
        ask_hub: the Hub may be asked.
        above: the adapters that sit on it, by `Place.key`.
    """
    if place.key in above or len(above) >= _MAX_CHAIN:
        loop = " on ".join([*above, place.key][:4])
        raise ValueError(
            f"the adapter {above[0]!r} has no model at its end, since its bases name one another ({loop}); "
            f"name a whole model in its {ADAPTER_CONFIG}"
        )
    folder = place.folder or fetch(place.name, revision, weights=weights, ask_hub=ask_hub)
    is_adapter, is_whole = (folder / ADAPTER_CONFIG).exists(), (folder / CONFIG).exists()
    if not is_adapter and not is_whole:
        raise FileNotFoundError(
            f"{place.name!r} holds no model (no {CONFIG} or {ADAPTER_CONFIG}); was its training finished?"
        )
    if is_adapter and is_whole:
        raise ValueError(f"{place.name!r} holds {CONFIG} and {ADAPTER_CONFIG}; keep a model or an adapter, not both")
    check_digests(folder)
    if is_whole:
        return ModelFolder(place, folder, read_config(folder))
    adapter = read_adapter(folder)
    name = str(adapter.base_model_name_or_path)
    below = _base_place(name, place)
    base = _open(below, adapter.revision, weights, ask_hub, (*above, place.key))
    return ModelFolder(place, folder, base.config, adapter, base)


def _base_place(name: str, adapter: Place) -> Place:
    """Return where an adapter's base lies; what comes from the Hub does not reach into this machine."""
    if adapter.folder is None:
        if not is_hub_id(name):
            raise ValueError(
                f"the adapter {adapter.name} on the Hub names its base {name!r}, which is no Hub id ORG/NAME; "
                "ask its author to name the base on the Hub"
            )
        return Place(name, None)
    if looks_like_path(name) and not Path(name).expanduser().is_dir():
        raise FileNotFoundError(
            f"the base of {adapter.name!r} is {name!r}, which is no folder; was it moved or deleted?"
        )
    try:
        return resolve(name)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"the base of {adapter.name!r}: {error}") from None


def fetch(repo_id: str, revision: str | None = None, *, weights: bool = False, ask_hub: bool = True) -> Path:
    """Return the folder in the Hub's cache that holds a model's records and, if asked for, its weights.

    Only named files are fetched, no code among them. Where the Hub cannot be reached this ends at once, while a fetch
    of single files tries again for half a minute each.

    Args:
        repo_id: ORG/NAME.
        revision: branch, tag or commit.
        weights: fetch them too.
        ask_hub: if not, take what the cache has.

    Raises:
        FileNotFoundError: the Hub has no such model.
        OSError: it cannot be reached, or may not be asked, and the cache has nothing.
    """
    patterns: list[str] = [*(_FILES if weights else _RECORDS)]
    try:
        return Path(
            snapshot_download(repo_id, revision=revision, allow_patterns=patterns, local_files_only=not ask_hub)
        )
    except RepositoryNotFoundError:
        raise FileNotFoundError(
            f"{repo_id} is neither a folder here nor a model on the Hub that you may read; check the name"
        ) from None
    except (HfHubHTTPError, EntryNotFoundError, OSError) as error:
        if not ask_hub:
            raise OSError(
                f"{repo_id} is not in the Hub's cache, and the Hub is not asked for it here; "
                f"fetch it first with `hf download {repo_id}`"
            ) from None
        at = f" at {revision}" if revision else ""
        raise OSError(f"{repo_id}{at} cannot be taken from the Hub ({_reason(error)}); try again online") from None


def _reason(error: BaseException) -> str:
    """Say why, in one line; of a configuration's own rule only the rule."""
    is_rule = isinstance(error, StrictDataclassError)
    if is_rule and error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    is_plain = is_rule or isinstance(error, (ValueError, OSError))
    return text if is_plain and text else f"{type(error).__name__} {text}".strip()


def chain_of(model: ModelFolder) -> Iterator[ModelFolder]:
    """Yield a model, its base, and so on."""
    link: ModelFolder | None = model
    while link is not None:
        yield link
        link = link.base
