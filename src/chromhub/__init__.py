"""chromhub: the transformers-native hub of chromatin models.

Importing it registers the model classes, so that `transformers.AutoModel.from_pretrained` loads them.
"""

from pathlib import Path

from .modeling import AtacConfig, AtacForTrackPrediction, DnaFeatureExtractor

__version__ = "0.1.0"


def load(name: str | Path) -> AtacForTrackPrediction:
    """Load a model by its name among `chromhub models`, from a folder or the Hub; see `hub_models.registry.load`."""
    from .hub_models.registry import load as load_by_name  # here: it imports peft, which few need

    return load_by_name(name)


__all__ = ["AtacConfig", "AtacForTrackPrediction", "DnaFeatureExtractor", "__version__", "load"]
