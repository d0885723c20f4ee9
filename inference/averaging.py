"""What predictions are averaged over: both strands, and models such as those of several folds."""

from collections.abc import Sequence
from typing import Any

from ..modeling import AtacForTrackPrediction
from ..modeling.classification import is_exclusive
from .load import Classifier, output_names

Models = AtacForTrackPrediction | Sequence[AtacForTrackPrediction]
BOTH_STRANDS = True  # what `average_rc` is where a caller does not say; attributions and motifs read one strand
_ALIKE = ("input_length", "target_length", "bin_size", "num_tracks", "target_summary", "target_transform")


def as_models(models: Models) -> list[AtacForTrackPrediction]:
    """Return one track model, or several that are averaged, as a list.

    Raises:
        ValueError: no model, one in training mode, or grids or tracks that differ.
    """
    models = [models] if isinstance(models, AtacForTrackPrediction) else list(models)
    _check(models, _ALIKE)
    first = models[0].config
    for other in models[1:]:
        if first.num_tracks > 1 and list(first.track_names or ()) != list(other.config.track_names or ()):
            raise ValueError(
                "models that are averaged must have the same tracks in the same order, got "
                f"{', '.join(first.track_names or ())} and {', '.join(other.config.track_names or ())}"
            )
    return models


def as_classifiers(models: Classifier | Sequence[Classifier]) -> list[Classifier]:
    """Return one classifier, or several whose logits are averaged, as a list.

    Raises:
        ValueError: no model, one in training mode, or windows, kinds of labels or labels that differ.
    """
    models = list(models) if isinstance(models, Sequence) else [models]
    _check(models, ("input_length", "num_labels"))
    if len({is_exclusive(model.config) for model in models}) > 1:
        raise ValueError(
            "models that are averaged must agree in whether their labels exclude one another; set `problem_type` in "
            "their configurations alike"
        )
    first = output_names(models[0])
    for other in map(output_names, models[1:]):
        if len(first) > 1 and first != other:
            raise ValueError(
                f"models that are averaged must have the same labels in the same order, got {', '.join(first)} and "
                f"{', '.join(other)}"
            )
    return models


def _check(models: Sequence[Any], alike: Sequence[str]) -> None:
    """Check that there is a model, that all are ready, and agree in these fields of their configurations."""
    if not models:
        raise ValueError("there must be at least one model, got none")
    if any(model.training for model in models):
        raise ValueError("a model must be in evaluation mode; call model.eval() first")
    first = models[0].config
    for other in models[1:]:
        for field in alike:
            if getattr(first, field) != getattr(other.config, field):
                raise ValueError(
                    f"models that are averaged must agree in `{field}`, got {getattr(first, field)} and "
                    f"{getattr(other.config, field)}"
                )
