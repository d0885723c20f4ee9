"""Loading in a process that cannot import chromhub, as somebody does who has transformers alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

CODES = torch.from_numpy(np.random.default_rng(3).integers(0, 5, (2, 2048), dtype=np.uint8))
_SCRIPT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "chromhub":
            raise ImportError("chromhub is blocked in this test")

sys.meta_path.insert(0, Blocked())
import torch
from transformers import AutoFeatureExtractor, AutoModel

predictions = []
for model in ({calls},):
    assert type(model).__module__.startswith("transformers_modules"), type(model)
    with torch.no_grad():
        predictions.append(model.eval()(torch.load("codes.pt")).predictions)
torch.save(predictions, "predictions.pt")
extractor = AutoFeatureExtractor.from_pretrained("{extractor}", trust_remote_code=True)
assert extractor("acgtn")["inputs"].tolist() == [[0, 1, 2, 3, 4]]
"""


def predict(model: torch.nn.Module) -> torch.Tensor:
    """Predict `CODES` here."""
    with torch.no_grad():
        return model.eval()(CODES).predictions


def predict_without_chromhub(*calls: str, extractor: str, folder: Path, **env: str) -> list[torch.Tensor]:
    """Predict `CODES` with what each call returns, in a new process whose working directory is `folder`."""
    torch.save(CODES, folder / "codes.pt")
    code = _SCRIPT.format(calls=", ".join(calls), extractor=extractor)
    command = [sys.executable, "-P", "-c", code]
    run = subprocess.run(command, cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return torch.load(folder / "predictions.pt")
