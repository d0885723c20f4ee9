"""Landscape models shared: their card, the checks before a push, the registry, and loading without chromhub."""

from pathlib import Path

import chromhub
import pytest
import torch
import yaml
from chromhub.finetune.recipe import load_recipe
from chromhub.finetune.train import train
from chromhub.hub_models.card import Publication, render_card
from chromhub.hub_models.publish import check_card, check_run, prepare, publish
from chromhub.hub_models.registry import list_models
from chromhub.inference.evaluation_folder import evaluate_run
from chromhub.modeling import ClasterForProfileRegression
from transformers import AutoModel

from ..landscape_folder import write_landscape
from ..without_chromhub import run_without_chromhub

MINE = Publication("org/eu-seq", license="apache-2.0")
LOAD = """
import torch
from transformers import AutoModel

model = AutoModel.from_pretrained("shared", trust_remote_code=True).eval()
with torch.no_grad():
    torch.save(model(**torch.load("inputs.pt")).predictions, "outputs.pt")
"""


@pytest.fixture(scope="module", params=["landscape", "rotated"])
def run(request, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp(request.param)
    contacts = None if request.param == "landscape" else request.param
    data, _ = write_landscape(root / "eu-seq", contacts=contacts)
    preset = "claster-tiny-contacts" if contacts else "claster-tiny"
    small = {"structure": {"kernel_size": 3}} if contacts else {}
    recipe = load_recipe(data=str(data.path), preset=preset, model=small, max_steps=2, batch_size=8)
    train(recipe, root / "run", device="cpu", progress=False, say=lambda text: None)
    evaluate_run(root / "run", data, device="cpu")
    return root / "run"


def inputs(model: ClasterForProfileRegression) -> dict[str, torch.Tensor]:
    names = ("inputs", "contact_map")
    rng = torch.Generator().manual_seed(0)
    return {name: torch.rand(2, *b.shape, generator=rng) for name, b in zip(names, model.config.branches, strict=False)}


def test_the_card(run):
    text = render_card(run, MINE)
    record = check_run(run)
    check_card(text, record)
    assert record.is_landscape
    contacts = "contact_map" in text
    assert contacts == (record.config.structure is not None)
    assert "transcription (RNA0) from a landscape of ATAC-seq, H3K4me3, H3K27ac, H3K27me3" in text
    assert "| RNA0 | start sites | linear |" in text
    assert "chosen by its Pearson correlation on the bins of the validation genes" in text
    for of_sequence in ("ACGT", "uint8", "DNA sequence", "to_signal", "bigWig", "None", "strand | the given", "Grover"):
        assert of_sequence not in text, of_sequence
    (index,) = yaml.safe_load(text.split("---")[1])["model-index"]
    names = [metric["name"] for result in index["results"] for metric in result["metrics"]]
    assert "Spearman r, RNA0, genes, raw" in names
    call = text.split("```python\n")[1].split("```")[0].replace("org/eu-seq", str(run))
    exec(call, scope := {})  # the card's own lines run
    assert scope["signal"].shape == (1, 1, record.config.num_bins)


def test_a_landscape_model_comes_back_from_the_hub(hub, run):
    publish(run, MINE)
    here, there = chromhub.load(run), AutoModel.from_pretrained("org/eu-seq").eval()
    assert type(there) is ClasterForProfileRegression
    batch = inputs(here)
    with torch.no_grad():
        assert torch.equal(here(**batch).predictions, there(**batch).predictions)


def test_the_registry_lists_it(run):
    (found,) = [model for model in list_models(run.parent) if model.name == "run"]
    assert found.architecture == f"claster-{run.parent.name.removesuffix('0')}"
    assert found.tracks == ("RNA0",)
    assert set(found.metrics) <= {f"eu-seq test {level}" for level in ("bins", "genes", "start sites")}


def test_it_loads_without_chromhub(run):
    model = chromhub.load(run)
    batch = inputs(model)
    torch.save(batch, run.parent / "inputs.pt")
    prepare(run, MINE, run.parent / "shared")
    run_without_chromhub(LOAD, folder=run.parent)
    with torch.no_grad():
        assert torch.equal(torch.load(run.parent / "outputs.pt"), model(**batch).predictions)
