"""chromhub: the transformers-native hub of chromatin models.

Importing it registers the model classes, so that `transformers.AutoModel.from_pretrained` loads them.
"""

from .modeling import AtacConfig, AtacForTrackPrediction, DnaFeatureExtractor

__version__ = "0.1.0"

__all__ = ["AtacConfig", "AtacForTrackPrediction", "DnaFeatureExtractor", "__version__"]
