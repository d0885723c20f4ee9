"""Configurations, architectures and the feature extractor; the folder that travels with a checkpoint.

Shapes everywhere: B batch, L input bp, C channels, N bins, T tracks.
Importing it registers the classes with transformers' Auto classes.
"""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from .configuration_atac import PRESETS, AtacConfig
from .feature_extraction_dna import DnaFeatureExtractor
from .lora_targets import head_modules, lora_targets
from .modeling_atac import AtacForTrackPrediction, TensorModel, TrackOutput

AutoConfig.register(AtacConfig.model_type, AtacConfig, exist_ok=True)
AutoModel.register(AtacConfig, AtacForTrackPrediction, exist_ok=True)
AutoFeatureExtractor.register(AtacConfig, DnaFeatureExtractor, exist_ok=True)
# With these, `save_pretrained` writes the code beside the weights.
AtacConfig.register_for_auto_class()
AtacForTrackPrediction.register_for_auto_class("AutoModel")
DnaFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")

__all__ = [
    "PRESETS",
    "AtacConfig",
    "AtacForTrackPrediction",
    "DnaFeatureExtractor",
    "TensorModel",
    "TrackOutput",
    "head_modules",
    "lora_targets",
]
