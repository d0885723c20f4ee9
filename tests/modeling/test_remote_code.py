"""A saved folder loads, and predicts the same, where chromhub is not installed."""

import os
import subprocess
import sys

import pytest
import torch
from chromhub.modeling import AtacConfig, AtacForTrackPrediction, DnaFeatureExtractor

LOAD_WITHOUT_CHROMHUB = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "chromhub":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import torch
from transformers import AutoFeatureExtractor, AutoModel

folder = sys.argv[1]
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
inputs = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)(["ACGTN" * 16 * 4])
with torch.no_grad():
    torch.save(model(**inputs).predictions, folder + "/predictions.pt")
assert "chromhub" not in sys.modules
"""


@pytest.mark.parametrize("preset", ["convnext-dcnn-tiny", "dcnn-tiny"])
def test_loads_and_predicts_without_chromhub(preset, tmp_path):
    torch.manual_seed(0)
    model = AtacForTrackPrediction(AtacConfig.from_preset(preset)).eval()
    model.save_pretrained(tmp_path / "model")
    DnaFeatureExtractor().save_pretrained(tmp_path / "model")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": ""}
    subprocess.run(
        [sys.executable, "-P", "-c", LOAD_WITHOUT_CHROMHUB, str(tmp_path / "model")],
        check=True,
        cwd=tmp_path,
        env=environment,
        timeout=120,
    )
    with torch.no_grad():
        ours = model(DnaFeatureExtractor()(["ACGTN" * 16 * 4])["inputs"]).predictions
    assert torch.allclose(torch.load(tmp_path / "model" / "predictions.pt"), ours, atol=1e-6)
