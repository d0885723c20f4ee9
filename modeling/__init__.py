"""Configurations, architectures and the feature extractor; a push sends their code along with a checkpoint.

Shapes everywhere: B batch, L input bp, C channels, N bins, T tracks.
Importing it registers the classes with transformers' Auto classes.
"""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForSequenceClassification

from .configuration_atac import PRESETS, AtacConfig
from .configuration_chromtransfer import CHROMTRANSFER_PRESETS, ChromTransferConfig
from .configuration_claster import CLASTER_PRESETS, ClasterConfig
from .feature_extraction_dna import DnaFeatureExtractor
from .lora_targets import adapter_size, default_rank, head_modules, lora_layers
from .modeling_atac import AtacForSequenceClassification, AtacForTrackPrediction, TrackOutput
from .modeling_chromtransfer import ChromTransferForSequenceClassification, ChromTransferModel
from .modeling_claster import ClasterForProfileRegression
from .tensor_model import SummedModel, TensorModel, summed_model, tensor_model

AutoConfig.register(AtacConfig.model_type, AtacConfig, exist_ok=True)
AutoModel.register(AtacConfig, AtacForTrackPrediction, exist_ok=True)
AutoModelForSequenceClassification.register(AtacConfig, AtacForSequenceClassification, exist_ok=True)
AutoFeatureExtractor.register(AtacConfig, DnaFeatureExtractor, exist_ok=True)
AutoConfig.register(ChromTransferConfig.model_type, ChromTransferConfig, exist_ok=True)
AutoModel.register(ChromTransferConfig, ChromTransferModel, exist_ok=True)
AutoModelForSequenceClassification.register(ChromTransferConfig, ChromTransferForSequenceClassification, exist_ok=True)
AutoFeatureExtractor.register(ChromTransferConfig, DnaFeatureExtractor, exist_ok=True)
AutoConfig.register(ClasterConfig.model_type, ClasterConfig, exist_ok=True)
AutoModel.register(ClasterConfig, ClasterForProfileRegression, exist_ok=True)

__all__ = [
    "CHROMTRANSFER_PRESETS",
    "CLASTER_PRESETS",
    "PRESETS",
    "AtacConfig",
    "AtacForSequenceClassification",
    "AtacForTrackPrediction",
    "ChromTransferConfig",
    "ChromTransferForSequenceClassification",
    "ChromTransferModel",
    "ClasterConfig",
    "ClasterForProfileRegression",
    "DnaFeatureExtractor",
    "SummedModel",
    "TensorModel",
    "TrackOutput",
    "adapter_size",
    "default_rank",
    "head_modules",
    "lora_layers",
    "summed_model",
    "tensor_model",
]
