"""The checkpoints that ship: each loads by path, is fit to be pushed, and its card says what was measured."""

import json
import re
from pathlib import Path

import chromhub.hub_models
import pytest
import torch
from chromhub.hub_models.card import Publication, publication_of, render_card
from chromhub.hub_models.publish import check_card, check_run, prepare
from chromhub.hub_models.registry import list_models
from chromhub.inference.load import load_any
from chromhub.modeling import AtacForTrackPrediction
from transformers import AutoModel, AutoModelForSequenceClassification

from tests.without_chromhub import run_without_chromhub

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


LOAD = """
import sys

import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForSequenceClassification

for name in sys.argv[1:]:
    inputs = torch.load(f"{name}.pt")
    auto = AutoModel if inputs["output"] == "predictions" else AutoModelForSequenceClassification
    model = auto.from_pretrained(name, trust_remote_code=True).eval()
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    assert AutoFeatureExtractor.from_pretrained(name, trust_remote_code=True).input_length == model.config.input_length
    with torch.no_grad():
        torch.testing.assert_close(model(inputs["codes"])[inputs["output"]], inputs["expected"])
"""


def test_what_a_push_would_send_loads_without_chromhub(tmp_path):
    """In one process for all of them: their code has the same names."""
    for folder in CHECKPOINTS:
        assert not list(folder.glob("*.py")), "the code is written by a push"
        prepare(folder, Publication("org/name", license="apache-2.0"), tmp_path / folder.name)
        model = load_any(folder)
        codes = torch.randint(0, 5, (2, model.config.input_length), dtype=torch.uint8)
        output = "predictions" if isinstance(model, AtacForTrackPrediction) else "logits"
        with torch.no_grad():
            example = {"codes": codes, "output": output, "expected": model(codes)[output]}
        torch.save(example, tmp_path / f"{folder.name}.pt")
    run_without_chromhub(LOAD, *(folder.name for folder in CHECKPOINTS), folder=tmp_path)


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
