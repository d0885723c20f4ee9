"""The checkpoints that ship: each loads by path, is fit to be pushed, and its card says what was measured."""

import json
from pathlib import Path

import chromhub.hub_models
import chromhub.modeling
import pytest
import torch
from chromhub.hub_models.publish import check_card, check_run
from chromhub.hub_models.registry import list_models
from chromhub.modeling import AtacForTrackPrediction
from transformers import AutoModel, AutoModelForSequenceClassification

FOLDER = Path(chromhub.hub_models.__file__).parent
CHECKPOINTS = [Path(model.path) for model in list_models() if model.path]


def test_there_is_one():
    assert CHECKPOINTS


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda folder: folder.name)
def test_is_fit_to_be_pushed(folder):
    check_card((folder / "README.md").read_text(), check_run(folder))
    assert max(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 25e6


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda folder: folder.name)
def test_loads_by_path(folder):
    known = chromhub.load(folder.name)
    is_tracks = isinstance(known, AtacForTrackPrediction)
    model = (AutoModel if is_tracks else AutoModelForSequenceClassification).from_pretrained(folder).eval()
    assert type(model) is type(known)
    codes = torch.randint(0, 4, (1, model.config.input_length), dtype=torch.uint8)
    output = "predictions" if is_tracks else "logits"
    with torch.no_grad():
        assert torch.allclose(model(codes)[output], known(codes)[output], atol=1e-6)


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda folder: folder.name)
def test_carries_todays_code(folder):
    modeling = Path(chromhub.modeling.__file__).parent
    for file in folder.glob("*.py"):
        assert file.read_bytes() == (modeling / file.name).read_bytes(), (
            f"save the model again: {file.name} has changed"
        )


def test_the_yeast_checkpoint_is_the_run_in_the_results():
    results = json.loads((FOLDER.parent / "benchmarks/results/real_data_yeast.json").read_text())
    metrics = json.loads((FOLDER / "convnext-dcnn-small-atac-saccer3/metrics.json").read_text())
    assert metrics["results"] == results["yeast"]["metrics"]["results"]
