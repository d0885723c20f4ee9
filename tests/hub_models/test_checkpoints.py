"""The checkpoints that ship: each loads by path, is fit to be pushed, and its card says what was measured."""

import json
import re
from pathlib import Path

import chromhub.hub_models
import chromhub.modeling
import pytest
import torch
from chromhub.hub_models.card import publication_of, render_card
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


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda folder: folder.name)
def test_its_card_is_what_its_files_say_today(folder):
    """Every number, from metrics.json; and the tag, which is of the weights and the code."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    publication = publication_of(card)
    assert publication.repo_id == f"chromhub/{folder.name}"
    assert render_card(folder, publication) == card, "render it again: python benchmarks/render_cards.py"


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda folder: folder.name)
def test_every_link_of_its_card_leads_somewhere(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", card)
    assert links
    for link in links:
        assert (folder / link).is_file() or re.match(r"https://(doi\.org|huggingface\.co)/[\w./-]+$", link), link
    base = publication_of(card).base_model
    assert not base or (FOLDER / base.removeprefix("chromhub/")).is_dir(), base


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda folder: folder.name)
def test_its_card_says_the_assay_of_its_data(folder):
    assay = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["assay"]
    assert assay in ("ATAC-seq", "DNase-seq")
    assert f"{assay} " in (folder / "README.md").read_text(encoding="utf-8").split("# " + folder.name)[1][:200]
    assert ("dhs" in folder.name) == (assay == "DNase-seq")
