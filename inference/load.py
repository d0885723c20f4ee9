"""A trained model from a run folder or from the Hub: the one door that every command loads through.

A model comes whole or not at all. Its weights file is held against the model before either takes memory: a tensor that
is missing, left over or of another shape is refused by name.
"""

import copy
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from transformers.utils import logging

from ..datasets_scripts.plain_files import read_json
from ..modeling import (
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    ChromTransferForSequenceClassification,
    ClasterForProfileRegression,
)
from .adapter_base import check_base
from .model_folder import RECORD, ModelFolder, open_model
from .weights_file import check_tensors, kinds_of, read_weights

Classifier = AtacForSequenceClassification | ChromTransferForSequenceClassification
_CLASSIFIERS = (AtacForSequenceClassification, ChromTransferForSequenceClassification)


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
        name: folder, shipped name, run in runs/ or Hub id of a full model or of a LoRA adapter, see `names.resolve`.
        revision: branch, tag or commit on the Hub.

    Raises:
        FileNotFoundError: `name` is a path without a model, or a file of it is missing.
        ValueError: it holds a model of another kind, a damaged file, or weights that are not the model's.
        OSError: the Hub has no such model, or cannot be reached.
    """
    return load_opened(open_model(name, revision=revision))


def load_opened(model: ModelFolder) -> AtacForTrackPrediction | ClasterForProfileRegression | Classifier:
    """Load an opened model in evaluation mode; see `load_any`."""
    if model.base is not None:
        loaded: Any = with_adapter(load_opened(model.base), model).merge_and_unload()
        name_outputs(loaded, model.path)
        return loaded.eval()
    kind = model.model_class
    if not issubclass(kind, (AtacForTrackPrediction, ClasterForProfileRegression, *_CLASSIFIERS)):
        raise ValueError(f"{model.place.name!r} holds a {kind.__name__}, not an AtacForTrackPrediction or a classifier")
    check_weights(model)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return kind.from_pretrained(
            model.path,
            config=copy.deepcopy(model.config),
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        ).eval()
    finally:
        if shown:
            logging.enable_progress_bar()


def with_adapter(base: Any, model: ModelFolder) -> PeftModel:
    """Return a loaded base with an opened adapter on it.

    A base on the Hub that the adapter names without a commit may have moved since; that is warned of.

    Raises:
        FileNotFoundError: the adapter has no weights.
        ValueError: they are not those that its configuration asks for.
    """
    assert model.adapter is not None  # `open_model` found one
    assert model.base is not None
    if model.base.place.folder is None and not model.adapter.revision:
        warnings.warn(
            f"the adapter {model.place.name} names its base {model.base_name} without a commit: what it predicts "
            "changes when that base does; set `revision` in its adapter_config.json",
            stacklevel=2,
        )
    check_weights(model)
    check_base(model.path, model.base.path)
    return PeftModel.from_pretrained(base, str(model.path))


def check_weights(model: ModelFolder) -> None:
    """Hold the weights file of an opened model or adapter against what its configuration asks for; none is read.

    Raises:
        FileNotFoundError: there is no weights file.
        ValueError: it is damaged, or its tensors are others.
    """
    found = read_weights(model.path, adapter=model.adapter is not None)
    what = f"a {model.model_class.__name__} of this config.json"
    with torch.device("meta"):
        plain: Any = model.model_class(copy.deepcopy(model.config))
        if model.adapter is None:
            state = plain.state_dict()
        else:
            what = f"the adapter of this adapter_config.json on {model.base_name}"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of PEFT, about layers that it will say again
                    adapted = get_peft_model(plain, copy.deepcopy(model.adapter))  # which may be changed by it
                    state = get_peft_model_state_dict(adapted, save_embedding_layers=False)
            except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of PEFT is a fault of the file
                raise ValueError(
                    f"{model.path / 'adapter_config.json'} does not fit its base {model.base_name}: "
                    f"{' '.join(str(error).split()):.300}"
                ) from None
    check_tensors(found, kinds_of(state), where=model.path, what=what)


def output_names(model: Any) -> list[str]:
    """Return the names of a model's tracks, of a classifier's labels, in order."""
    config: Any = model.config
    if isinstance(model, _CLASSIFIERS):
        return [str(config.id2label[i]) for i in range(config.num_labels)]
    return list(config.track_names or ())


def name_outputs(model: Any, adapter: Path) -> None:
    """Give a model the tracks (a classifier: labels) and genome of an adapter; its base's configuration has its own.

    Args:
        model: base with the adapter; its configuration is changed.
        adapter: its folder; without a record of its training nothing is changed.

    Raises:
        ValueError: the record is damaged.
    """
    file = adapter / RECORD
    if not file.exists():
        return
    record = read_json(file, remedy="restore the file that training wrote")
    tracks, genome = record.get("tracks", []), record.get("genome") or ""
    if not (isinstance(tracks, list) and all(isinstance(name, str) for name in tracks) and isinstance(genome, str)):
        raise ValueError(f"{file} is damaged: tracks must be names and genome a name; restore the file")
    if isinstance(model, _CLASSIFIERS):
        if len(tracks) != model.config.num_labels:
            return
        model.config.id2label = dict(enumerate(tracks))
        model.config.label2id = {name: i for i, name in enumerate(tracks)}
    elif len(tracks) == model.config.num_tracks:
        model.config.track_names = tracks
    else:
        return
    model.config.genome = genome or model.config.genome
