"""The classifier a run starts from: a preset, or a base's body with its own head or a new one."""

from typing import Any

import numpy as np
import torch

from ..datasets_scripts.shards import Shards
from ..datasets_scripts.store import GenomeStore
from ..datasets_scripts.window_labels import balanced_weights, labelled_batches
from ..inference.load import Classifier, load_any
from ..modeling import (
    CHROMTRANSFER_PRESETS,
    PRESETS,
    AtacConfig,
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    ChromTransferConfig,
    ChromTransferForSequenceClassification,
    head_modules,
)
from .recipe import Recipe

_PREFIX = "chromtransfer-"
_LENGTHS = ("input_length", "target_length")
_MIDDLE = 320  # bp: two nucleosomes' worth, which told blood cell types apart better than the whole window


def starting_classifier(recipe: Recipe, store: GenomeStore | Shards) -> Classifier:
    """Return the classifier that `recipe` starts from, with one label a track of `store`.

    A base may be a track model or a classifier. A track model gives its stem and core and gets a new head; a classifier
    keeps its head where it has as many labels as the data has tracks and `new_head` does not say otherwise. Where the
    architecture reads any length, `model.input_length` in the recipe may choose another one than the base's.

    New weights are drawn from torch's global generator.

    Raises:
        FileNotFoundError: the base is no model.
        ValueError: an unknown preset or field, or the base does not fit the data.
    """
    if recipe.mode == "scratch":
        return _from_preset(recipe, store)
    assert recipe.base is not None  # the recipe holds it
    base: Any = load_any(recipe.base)
    num_labels, is_track_model = len(store.track_names), isinstance(base, AtacForTrackPrediction)
    if not is_track_model and base.config.num_labels != num_labels and not recipe.new_head:
        raise ValueError(
            f"the base {recipe.base!r} has {base.config.num_labels} labels and the data {recipe.data!r} has "
            f"{num_labels} tracks ({', '.join(store.track_names)}); choose `tracks`, or use --new-head to start a head"
        )
    new_head = is_track_model or recipe.new_head
    if new_head and recipe.mode == "lora":
        raise ValueError(
            "mode lora keeps the base's head, since an adapter is loaded onto the base as it is, got a base or recipe "
            "that needs a new one; fine-tune a classifier of as many labels, or use --mode head or --mode full"
        )
    lengths = _wished_lengths(recipe, base.config)
    kmers = _kmers_of(recipe, lengths.get("input_length", base.config.input_length), base.config)
    if recipe.mode == "lora" and kmers and base.config.kmers != kmers["kmers"]:
        raise ValueError(
            f"mode lora needs a base with the k-mer part {kmers['kmers']}, since an adapter is loaded onto the base as "
            f"it is, got one with {base.config.kmers}; leave kmers out, or use --mode full or --mode head"
        )
    if new_head or lengths or (kmers and base.config.kmers != kmers["kmers"]):
        return _rebuilt(base, _labels_of(store) | lengths | kmers, keep_head=not new_head)
    base.config.update(_labels_of(store))
    return base


def _kmers_of(recipe: Recipe, input_length: int, config: Any) -> dict[str, Any]:
    """Return the field of a configuration that gives it the recipe's k-mer part; {} where the recipe has none."""
    if recipe.kmers is None:
        return {}
    if not isinstance(config, AtacConfig):
        raise ValueError(f"kmers are for models of a stem and a core, got {config.model_type!r}; leave them out")
    widths = recipe.kmers.widths or sorted({min(_MIDDLE, input_length), input_length})
    return {"kmers": {"k": recipe.kmers.k, "widths": list(widths)}}


def set_label_rule(config: Any, recipe: Recipe, train_windows: Any) -> None:
    """Write into a model's configuration how its labels are made and how they weigh in the loss.

    Args:
        config: of the model; changed.
        recipe: the run's.
        train_windows: `LabelledWindows` of the training part without jitter, which "balanced" weights count.

    Raises:
        ValueError: "balanced" weights of labels that are all alike.
    """
    config.label_rule = recipe.labels.model_dump()
    weights = recipe.class_weights
    if weights == "balanced":
        labels = np.concatenate([labels for _, labels in labelled_batches(train_windows)])
        config.class_weights = balanced_weights(labels > 0, ~np.isnan(labels))
    else:
        config.class_weights = None if weights is None else list(weights)


def _labels_of(store: GenomeStore | Shards) -> dict[str, Any]:
    """Return the fields of a configuration that name the labels."""
    names = list(store.track_names)
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
        "problem_type": "multi_label_classification" if len(names) > 1 else None,
        "genome": store.genome,
    }


def _from_preset(recipe: Recipe, store: GenomeStore | Shards) -> Classifier:
    assert recipe.preset is not None  # the recipe holds it
    labels, wishes = _labels_of(store), dict(recipe.model)
    name = recipe.preset.removeprefix(_PREFIX)
    if recipe.preset.startswith(_PREFIX) and name in CHROMTRANSFER_PRESETS:
        _check_known(wishes, ChromTransferConfig, labels)
        chromtransfer = ChromTransferConfig(**{**CHROMTRANSFER_PRESETS[name], **wishes, **labels})
        _kmers_of(recipe, chromtransfer.input_length, chromtransfer)  # which it cannot have
        return ChromTransferForSequenceClassification(chromtransfer)
    if recipe.preset not in PRESETS:
        known = [*PRESETS, *(f"{_PREFIX}{preset}" for preset in CHROMTRANSFER_PRESETS)]
        raise ValueError(f"preset must be one of {sorted(known)}, got {recipe.preset!r}")
    _check_known(wishes, AtacConfig, labels)
    plain = AtacConfig()
    wishes.setdefault("target_length", wishes.get("input_length", plain.input_length))
    wishes |= _kmers_of(recipe, wishes.get("input_length", plain.input_length), plain)
    return AtacForSequenceClassification(AtacConfig.from_preset(recipe.preset, **wishes, **labels))


def _check_known(wishes: dict[str, Any], kind: Any, labels: dict[str, Any]) -> None:
    """Refuse keys of `model` that are no field, or that the data gives."""
    known = set(kind().to_dict()) - set(labels)
    for key in wishes:
        if key not in known:
            raise ValueError(f"`model` in the recipe has no key {key!r}; it takes the fields of {kind.__name__}")


def _wished_lengths(recipe: Recipe, config: Any) -> dict[str, Any]:
    """Return the lengths of `model` that differ from the base's; refuse every other wish that does."""
    changed = {k: v for k, v in recipe.model.items() if not hasattr(config, k) or getattr(config, k) != v}
    for key, wish in changed.items():
        if key not in _LENGTHS or getattr(config, "fixed_length", False):
            raise ValueError(
                f"`model.{key}` is {wish!r} in the recipe and {getattr(config, key, None)!r} in the base "
                f"{recipe.base!r}, which cannot change; leave it out"
            )
    if changed and isinstance(config, AtacConfig):
        changed.setdefault("target_length", changed.get("input_length", config.input_length))
    return changed


def _rebuilt(base: Any, changes: dict[str, Any], *, keep_head: bool) -> Classifier:
    """Return a classifier with the body of `base`, and its head or a fresh one."""
    kind: Any = ChromTransferForSequenceClassification
    if isinstance(base.config, AtacConfig):
        kind, changes = AtacForSequenceClassification, changes | {"mappability_weight": 0.0}
    fields = base.config.to_dict() | changes
    fields.pop("architectures", None)
    fresh = kind(type(base.config).from_dict(fields))
    heads = () if keep_head else tuple(f"{name}." for name in {*head_modules(base), *head_modules(fresh)})
    if "kmers" in changes:  # another part, which starts as nothing
        heads += ("kmer_part.",)
    kept = {name: tensor for name, tensor in base.state_dict().items() if not name.startswith(heads)}
    with torch.no_grad():
        missing, strange = fresh.load_state_dict(kept, strict=False)
    assert not strange, strange
    assert all(name.startswith(heads) for name in missing), missing
    return fresh
