"""A saved folder loads, and predicts the same, where chromhub is not installed."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from chromhub.modeling import PRESETS as ATAC_PRESETS
from chromhub.modeling import (
    AtacConfig,
    AtacForTrackPrediction,
    ChromTransferConfig,
    ChromTransferModel,
    DnaFeatureExtractor,
)
from transformers import AutoModel

LOAD_WITHOUT_CHROMHUB = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "chromhub":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import torch
from transformers import AutoFeatureExtractor, AutoModel

for folder in sys.argv[1:]:
    model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    inputs = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)(["ACGTN" * 16 * 32])
    with torch.no_grad():
        output = model(**inputs)
    torch.save(output["predictions"] if "predictions" in output else output["pooler_output"], folder + "/outputs.pt")
    assert type(model).__module__.startswith("transformers_modules."), type(model)
assert "chromhub" not in sys.modules
"""
PRESETS = sorted(name for name in ATAC_PRESETS if name.endswith("-tiny"))


def run_without_chromhub(folders: list[Path], home: Path) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "PYTHONPATH": ""}
    subprocess.run(
        [sys.executable, "-P", "-c", LOAD_WITHOUT_CHROMHUB, *map(str, folders)],
        check=True,
        cwd=home.parent,
        env=environment,
        timeout=240,
    )


def test_every_preset_loads_and_predicts_bit_for_bit(tmp_path):
    """In one process for all of them, since starting one takes longer than the rest."""
    models = {"chromtransfer": ChromTransferModel(ChromTransferConfig())}
    for preset in PRESETS:
        torch.manual_seed(0)
        # 2,560 bp are a whole number of positions of every core
        models[preset] = AtacForTrackPrediction(AtacConfig.from_preset(preset, input_length=2560))
    for name, model in models.items():
        model.eval().save_pretrained(tmp_path / name)
        DnaFeatureExtractor().save_pretrained(tmp_path / name)
    run_without_chromhub([tmp_path / name for name in models], tmp_path / "home")
    inputs = DnaFeatureExtractor()(["ACGTN" * 16 * 32])["inputs"]
    for name in models:
        # loaded as well: weights mapped from a file lie elsewhere in memory, and products round by that
        model = AutoModel.from_pretrained(tmp_path / name).eval()
        with torch.no_grad():
            output = model(inputs)
        ours = output["predictions"] if "predictions" in output else output["pooler_output"]
        assert torch.equal(torch.load(tmp_path / name / "outputs.pt"), ours), name
