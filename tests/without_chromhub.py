"""Loading in a process that cannot import chromhub, as somebody does who has transformers alone."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chromhub.hub_models.bundle import write_bundle

CODES = torch.from_numpy(np.random.default_rng(3).integers(0, 5, (2, 2048), dtype=np.uint8))
_PROCESS = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "chromhub":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
{script}
assert "chromhub" not in sys.modules
"""
_PREDICT = """
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


def run_without_chromhub(script: str, *arguments: object, folder: Path, **env: str) -> None:
    """Run a script in a new process, offline unless `env` says otherwise, whose working directory is `folder`."""
    command = [sys.executable, "-P", "-c", _PROCESS.format(script=script), *map(str, arguments)]
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home"), "PYTHONPATH": ""} | env
    run = subprocess.run(
        command, cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False, timeout=240
    )
    assert run.returncode == 0, run.stderr


def save_with_code(model: Any, folder: Path) -> None:
    """Save a model, or a feature extractor beside it, with the code that a push sends along."""
    model.save_pretrained(folder)
    write_bundle(folder)


def predict(model: torch.nn.Module) -> torch.Tensor:
    """Predict `CODES` here."""
    with torch.no_grad():
        return model.eval()(CODES).predictions


def predict_without_chromhub(*calls: str, extractor: str, folder: Path, **env: str) -> list[torch.Tensor]:
    """Predict `CODES` with what each call returns, in a process that shares this one's Hub and cache."""
    torch.save(CODES, folder / "codes.pt")
    script = _PREDICT.format(calls=", ".join(calls), extractor=extractor)
    env = {"HF_HUB_OFFLINE": "0", "HF_HOME": os.environ["HF_HOME"]} | env
    run_without_chromhub(script, folder=folder, **env)
    return torch.load(folder / "predictions.pt")
