"""Models whose predictions are averaged, such as those of several folds."""

from collections.abc import Sequence

from ..modeling import AtacForTrackPrediction

Models = AtacForTrackPrediction | Sequence[AtacForTrackPrediction]
_ALIKE = ("input_length", "target_length", "bin_size", "num_tracks", "target_summary", "target_transform")


def as_models(models: Models) -> list[AtacForTrackPrediction]:
    """Return one model, or several that are averaged, as a list.

    Raises:
        ValueError: no model, one in training mode, or grids or tracks that differ.
    """
    models = [models] if isinstance(models, AtacForTrackPrediction) else list(models)
    if not models:
        raise ValueError("there must be at least one model, got none")
    if any(model.training for model in models):
        raise ValueError("a model must be in evaluation mode; call model.eval() first")
    first = models[0].config
    for other in models[1:]:
        for field in _ALIKE:
            if getattr(first, field) != getattr(other.config, field):
                raise ValueError(
                    f"models that are averaged must agree in `{field}`, got {getattr(first, field)} and "
                    f"{getattr(other.config, field)}"
                )
        if first.num_tracks > 1 and list(first.track_names or ()) != list(other.config.track_names or ()):
            raise ValueError(
                "models that are averaged must have the same tracks in the same order, got "
                f"{', '.join(first.track_names or ())} and {', '.join(other.config.track_names or ())}"
            )
    return models
