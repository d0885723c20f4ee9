"""A trained model from a run folder or from the Hub."""

from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging
from transformers.utils.peft_utils import find_adapter_config_file

from ..modeling import (
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    ChromTransferForSequenceClassification,
)

Classifier = AtacForSequenceClassification | ChromTransferForSequenceClassification
_CLASSIFIERS = (AtacForSequenceClassification, ChromTransferForSequenceClassification)


def looks_like_path(name: str) -> bool:
    """Tell a local path from a Hub id such as "org/name": an existing path, or one that starts like a path."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists()


def load_model(name: str | Path, *, revision: str | None = None) -> AtacForTrackPrediction:
    """Load a track model in evaluation mode; arguments and errors as of `load_any`."""
    model = load_any(name, revision=revision)
    if not isinstance(model, AtacForTrackPrediction):
        raise ValueError(f"{str(name)!r} holds a {type(model).__name__}, not an AtacForTrackPrediction")
    return model


def load_classifier(name: str | Path, *, revision: str | None = None) -> Classifier:
    """Load a classifier in evaluation mode; arguments and errors as of `load_any`."""
    model = load_any(name, revision=revision)
    if isinstance(model, AtacForTrackPrediction):
        raise ValueError(f"{str(name)!r} holds a {type(model).__name__}, not a classifier")
    return model


def load_any(name: str | Path, *, revision: str | None = None) -> AtacForTrackPrediction | Classifier:
    """Load a track model or a classifier in evaluation mode; an adapter comes merged into its base.

    Args:
        name: folder or Hub id of a full model or of a LoRA adapter.
        revision: branch, tag or commit on the Hub.

    Raises:
        FileNotFoundError: `name` is a path without a model.
        ValueError: it holds a model of another kind.
    """
    name = str(name)
    if looks_like_path(name):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f"no model folder {name!r}; give a run folder or a Hub id such as org/name")
        if not any((folder / file).exists() for file in ("config.json", "adapter_config.json")):
            raise FileNotFoundError(
                f"{name!r} holds no model (no config.json or adapter_config.json); was its training finished?"
            )
        for weights in folder.glob("*.safetensors"):
            weights.open("rb").close()  # of one that it may not read, safetensors says that it does not exist
        name = str(folder)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        if find_adapter_config_file(name, revision=revision):
            adapter = PeftConfig.from_pretrained(name, revision=revision)
            base = load_any(str(adapter.base_model_name_or_path), revision=adapter.revision)
            model = PeftModel.from_pretrained(base, name, revision=revision).merge_and_unload()
        else:
            # AutoModel would start a new track head on a classifier's body
            made_as = AutoConfig.from_pretrained(name, revision=revision).architectures or [""]
            is_classifier = made_as[0].endswith("ForSequenceClassification")
            auto = AutoModelForSequenceClassification if is_classifier else AutoModel
            model = auto.from_pretrained(name, revision=revision, dtype=torch.float32)
    finally:
        if shown:
            logging.enable_progress_bar()
    if not isinstance(model, (AtacForTrackPrediction, *_CLASSIFIERS)):
        raise ValueError(f"{name!r} holds a {type(model).__name__}, not an AtacForTrackPrediction or a classifier")
    return model.eval()
