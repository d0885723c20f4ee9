"""A trained model from a run folder or from the Hub."""

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging
from transformers.utils.hub import cached_file
from transformers.utils.peft_utils import find_adapter_config_file

from ..datasets_scripts.atomic import heal
from ..datasets_scripts.listed_files import check_listed
from ..modeling import (
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    ChromTransferForSequenceClassification,
    ClasterForProfileRegression,
)
from .adapter_base import check_base

Classifier = AtacForSequenceClassification | ChromTransferForSequenceClassification
_CLASSIFIERS = (AtacForSequenceClassification, ChromTransferForSequenceClassification)

RECORD = "provenance.json"  # what a run leaves beside its weights; see `provenance`


def looks_like_path(name: str) -> bool:
    """Tell a local path from a Hub id such as "org/name": an existing path, or one that starts like a path."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists()


def local_path(name: str | Path) -> Path | None:
    """Return where a model lies on this machine; None of one on the Hub."""
    return Path(name).expanduser() if looks_like_path(str(name)) else None


def load_model(name: str | Path, *, revision: str | None = None) -> AtacForTrackPrediction:
    """Load a track model in evaluation mode; arguments and errors as of `load_any`."""
    model = load_any(name, revision=revision)
    if not isinstance(model, AtacForTrackPrediction):
        raise ValueError(f"{str(name)!r} holds a {type(model).__name__}, not an AtacForTrackPrediction")
    return model


def load_classifier(name: str | Path, *, revision: str | None = None) -> Classifier:
    """Load a classifier in evaluation mode; arguments and errors as of `load_any`."""
    model = load_any(name, revision=revision)
    if not isinstance(model, _CLASSIFIERS):
        raise ValueError(f"{str(name)!r} holds a {type(model).__name__}, not a classifier")
    return model


def load_sequence_model(name: str | Path, *, revision: str | None = None) -> AtacForTrackPrediction | Classifier:
    """Load a track model or a classifier in evaluation mode; arguments and errors as of `load_any`."""
    model = load_any(name, revision=revision)
    if isinstance(model, ClasterForProfileRegression):
        raise ValueError(
            f"{str(name)!r} reads a landscape of chromatin, not sequence: use chromhub evaluate or chromhub perturb"
        )
    return model


def load_landscape_model(name: str | Path, *, revision: str | None = None) -> ClasterForProfileRegression:
    """Load a landscape model in evaluation mode; arguments and errors as of `load_any`."""
    model = load_any(name, revision=revision)
    if not isinstance(model, ClasterForProfileRegression):
        raise ValueError(f"{str(name)!r} holds a {type(model).__name__}, not a ClasterForProfileRegression")
    return model


def load_any(
    name: str | Path, *, revision: str | None = None
) -> AtacForTrackPrediction | ClasterForProfileRegression | Classifier:
    """Load a track model, a landscape model or a classifier in evaluation mode.

    An adapter comes merged into its base, with its own tracks and genome.

    Args:
        name: folder or Hub id of a full model or of a LoRA adapter.
        revision: branch, tag or commit on the Hub.

    Raises:
        FileNotFoundError: `name` is a path without a model.
        ValueError: it holds a model of another kind, or an adapter whose base has changed since.
    """
    name = str(name)
    heal(name)
    if looks_like_path(name):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f"no model folder {name!r}; give a run folder or a Hub id such as org/name")
        if not any((folder / file).exists() for file in ("config.json", "adapter_config.json")):
            raise FileNotFoundError(
                f"{name!r} holds no model (no config.json or adapter_config.json); was its training finished?"
            )
        _check_shards(folder)
        for weights in folder.glob("*.safetensors"):
            weights.open("rb").close()  # of one that it may not read, safetensors says that it does not exist
        name = str(folder)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        if find_adapter_config_file(name, revision=revision):
            adapter = PeftConfig.from_pretrained(name, revision=revision)
            base = load_any(str(adapter.base_model_name_or_path), revision=adapter.revision)
            base_name = str(adapter.base_model_name_or_path)
            check_base(name, base_name, revision=revision, base_revision=adapter.revision, record=RECORD)
            model: Any = PeftModel.from_pretrained(base, name, revision=revision).merge_and_unload()
            name_outputs(model, name, revision=revision)
        else:
            # AutoModel would start a new track head on a classifier's body
            made_as = AutoConfig.from_pretrained(name, revision=revision).architectures or [""]
            is_classifier = made_as[0].endswith("ForSequenceClassification")
            auto = AutoModelForSequenceClassification if is_classifier else AutoModel
            model = auto.from_pretrained(name, revision=revision, dtype=torch.float32)
            vars(model.config).pop("auto_map", None)  # names code on the Hub; what is saved later has none beside it
    finally:
        if shown:
            logging.enable_progress_bar()
    if not isinstance(model, (AtacForTrackPrediction, ClasterForProfileRegression, *_CLASSIFIERS)):
        raise ValueError(f"{name!r} holds a {type(model).__name__}, not an AtacForTrackPrediction or a classifier")
    return model.eval()


def _check_shards(folder: Path) -> None:
    """Refuse a list of weights files that names one outside its folder.

    Raises:
        ValueError: it does, or is no such list.
    """
    for file in folder.glob("*.safetensors.index.json"):
        try:
            names = set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{file} is damaged ({type(error).__name__} {error}): save the model again") from None
        for name in names:
            check_listed(name, listed_in=file)


def output_names(model: Any) -> list[str]:
    """Return the names of a model's tracks, of a classifier's labels, in order."""
    config: Any = model.config
    if isinstance(model, _CLASSIFIERS):
        return [str(config.id2label[i]) for i in range(config.num_labels)]
    return list(config.track_names or ())


def name_outputs(model: Any, adapter: str, *, revision: str | None = None) -> None:
    """Give a model the tracks (a classifier: labels) and genome of an adapter; its base's configuration has its own.

    Args:
        model: base with the adapter; its configuration is changed.
        adapter: folder or Hub id; without a record of its training nothing is changed.
        revision: of the adapter.

    Raises:
        ValueError: the record is no JSON.
    """
    file = cached_file(
        adapter,
        RECORD,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    if file is None:
        return
    try:
        record = json.loads(Path(file).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not valid JSON ({error}); restore the file that training wrote") from None
    tracks = list(record.get("tracks", ()))
    if isinstance(model, _CLASSIFIERS):
        if len(tracks) != model.config.num_labels:
            return
        model.config.id2label = dict(enumerate(tracks))
        model.config.label2id = {name: i for i, name in enumerate(tracks)}
    elif len(tracks) == model.config.num_tracks:
        model.config.track_names = tracks
    else:
        return
    model.config.genome = record.get("genome") or model.config.genome
