"""A saved folder loads, and predicts the same, where chromhub is not installed; so does an adapter on it."""

from pathlib import Path

import torch
from chromhub.hub_models.bundle import write_bundle
from chromhub.modeling import PRESETS as ATAC_PRESETS
from chromhub.modeling import (
    AtacConfig,
    AtacForTrackPrediction,
    ChromTransferConfig,
    ChromTransferModel,
    DnaFeatureExtractor,
    lora_layers,
)
from peft import LoraConfig, get_peft_model
from transformers import AutoModel

from ..without_chromhub import run_without_chromhub

LOAD = """
import sys

import torch
from transformers import AutoFeatureExtractor, AutoModel

inputs = AutoFeatureExtractor.from_pretrained(sys.argv[1], trust_remote_code=True)(["ACGTN" * 16 * 32])
for folder in sys.argv[1:]:
    model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    with torch.no_grad():
        output = model(**inputs)
    torch.save(output["predictions"] if "predictions" in output else output["pooler_output"], folder + "/outputs.pt")
    assert type(model).__module__.startswith("transformers_modules."), type(model)
"""
PRESETS = sorted(name for name in ATAC_PRESETS if name.endswith("-tiny"))


def write_adapter(model, base: Path, folder: Path) -> None:
    """Write an adapter whose every weight matters; wraps the layers of `model`."""
    adapted = get_peft_model(model, LoraConfig(**lora_layers(model, r=2)))
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder)


def test_every_preset_loads_and_predicts_bit_for_bit(tmp_path):
    """In one process for all of them, since starting one takes longer than the rest."""
    models = {"chromtransfer": ChromTransferModel(ChromTransferConfig())}
    for preset in PRESETS:
        torch.manual_seed(0)
        # 2,560 bp are a whole number of positions of every core
        models[preset] = AtacForTrackPrediction(AtacConfig.from_preset(preset, input_length=2560))
    for name, model in models.items():
        model.eval().save_pretrained(tmp_path / name)
    for preset in PRESETS:
        write_adapter(models[preset], tmp_path / preset, tmp_path / f"{preset}-adapter")
    folders = [*models, *(f"{preset}-adapter" for preset in PRESETS)]
    for name in models:
        DnaFeatureExtractor().save_pretrained(tmp_path / name)
        write_bundle(tmp_path / name)
    run_without_chromhub(LOAD, *(tmp_path / name for name in folders), folder=tmp_path)
    inputs = DnaFeatureExtractor()(["ACGTN" * 16 * 32])["inputs"]
    for name in folders:
        # loaded as well: weights mapped from a file lie elsewhere in memory, and products round by that
        model = AutoModel.from_pretrained(tmp_path / name).eval()
        with torch.no_grad():
            output = model(inputs)
        ours = output["predictions"] if "predictions" in output else output["pooler_output"]
        assert torch.equal(torch.load(tmp_path / name / "outputs.pt"), ours), name
