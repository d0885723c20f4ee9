"""Models whose predictions are averaged, such as those of several folds."""

from collections.abc import Sequence

from ..modeling import AtacForTrackPrediction


def check_alike(models: Sequence[AtacForTrackPrediction]) -> None:
    """Refuse models whose predictions cannot be averaged.

    Raises:
        ValueError: no model, one in training mode, or grids or tracks that differ.
    """
    if not models or any(model.training for model in models):
        raise ValueError("models must be there, and in evaluation mode; call model.eval() first")
    fields = (
        "input_length", "target_length", "bin_size", "num_tracks", "target_summary", "target_transform"
    )  # fmt: skip
    first = models[0].config
    for other in models[1:]:
        for field in fields:
            if getattr(first, field) != getattr(other.config, field):
                raise ValueError(
                    f"models that are averaged must agree in `{field}`, got {getattr(first, field)} and "
                    f"{getattr(other.config, field)}"
                )
        if first.num_tracks > 1 and list(first.track_names or ()) != list(other.config.track_names or ()):
            raise ValueError(
                f"models that are averaged must have the same tracks in the same order, got "
                f"{', '.join(first.track_names or ())} and {', '.join(other.config.track_names or ())}"
            )
