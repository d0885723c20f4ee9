import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from chromhub.hub_models.card import TAGS, Publication, base_model, pinned_call, publication_of, render_card
from chromhub.hub_models.licenses import LICENSES, check_license
from chromhub.hub_models.publish import check_card
from chromhub.hub_models.run_record import read_run
from chromhub.inference.provenance import Provenance
from huggingface_hub import ModelCard
from transformers import AutoModel

from tests.hub_models.toy_run import METRICS, toy_adapter, toy_run


@pytest.fixture
def run(tmp_path, tiny_model) -> Path:
    return toy_run(tmp_path / "run", tiny_model)


def test_front_matter_says_what_the_run_says(run) -> None:
    data = ModelCard(render_card(run, Publication("org/tiny", license="cc-by-4.0", datasets=("org/atac",)))).data
    assert data["license"] == "cc-by-4.0"
    assert data["library_name"] == "transformers"
    assert data["tags"] == TAGS
    assert data["datasets"] == ["org/atac"]
    assert "base_model" not in data.to_dict()
    assert data.model_name == "tiny"
    measured = {result.metric_name: result.metric_value for result in data.eval_results}
    assert measured["Pearson r, track_0, genome_wide, 4 bp, log1p"] == 0.1 + 0.2  # every digit
    assert measured["Pearson r, track_0, peaks, 4 bp, raw"] == 0.8125


def test_the_body_says_what_a_user_must_know(run, tiny_model) -> None:
    card = render_card(run, Publication("org/tiny", license="mit"))
    parameters = sum(parameter.numel() for parameter in tiny_model.parameters())
    for text in (
        f"convnext stem, dilated core, {parameters:,} parameters",
        'AutoModel.from_pretrained("org/tiny").eval()',
        'revision="model-',
        "A 0, C 1, G 2, T 3",
        "all zeros in the one-hot",
        "4 bp, the max of its bases' signal",
        "| chrI | 0-230,218 |  |",
        "| chrIII | 10 intervals, 50,000 bp between 0 and 95,000 |  |",
        "| chrII |  | 0-813,184 |",
        "On the test part of yeast (sacCer3)",
        "| track_0 | genome_wide | all | 4 bp | 0.3000 | 0.3000 | 0.1250 | 3,072 |",
        "![evaluation/scatter.png](evaluation/scatter.png)",
        "step 20 of 30",
        "| seed | 7 |",
        "10.1101/gr.281042.125",
    ):
        assert text in card, text
    assert "Not evaluated" not in card
    assert "/home/someone" not in card
    assert "\n\n\n" not in card


def test_an_adapters_card_names_its_base_and_the_whole_chain(run, tmp_path, tiny_model) -> None:
    adapter = toy_adapter(tmp_path / "adapter", tiny_model, run)
    card = render_card(adapter, Publication("org/lora", license="mit", base_model="org/tiny", base_revision="abc"))
    data = ModelCard(card).data
    assert (data["base_model"], data["base_model_relation"]) == ("org/tiny", "adapter")
    assert {"lora", "peft"} <= set(data["tags"])
    assert "A LoRA adapter on [org/tiny](https://huggingface.co/org/tiny)" in card
    assert 'AutoFeatureExtractor.from_pretrained("org/tiny")' in card
    assert 'revision="abc", adapter_kwargs={"revision": "model-' in card
    assert "### This model\n\nMode lora" in card
    assert "### Its base, org/tiny\n\nMode scratch" in card
    unnamed = render_card(adapter)
    assert "base_model:" not in unnamed
    assert str(tmp_path) not in unnamed


def test_an_adapter_has_its_own_track_names(run, tmp_path, tiny_model) -> None:
    adapter = toy_adapter(tmp_path / "adapter", tiny_model, run)
    text = (adapter / "provenance.json").read_text()
    (adapter / "provenance.json").write_text(text.replace("track_0", "k562", 1))
    assert "predicts signal (k562)" in render_card(adapter)  # of an assay that no one told


def test_the_assay_is_what_the_data_said(run) -> None:
    assert "Predicts signal (track_0) from DNA" in render_card(run)
    assert "atac-seq" not in render_card(run)
    record = Provenance.load(run)
    assert record is not None
    replace(record, assay="CUT&Tag").save(run)
    card = render_card(run)
    assert "Predicts CUT&Tag signal (track_0) from DNA" in card
    assert "cut-tag" in yaml.safe_load(card.split("---")[1])["tags"]


def test_what_a_person_added_is_read_back_from_a_card(run, tmp_path, tiny_model) -> None:
    adapter = toy_adapter(tmp_path / "adapter", tiny_model, run)
    told = Publication("org/lora", "mit", "free for all.", ("org/data",), "org/tiny", "abc")
    card = render_card(adapter, told)
    assert publication_of(card) == replace(told, data_license="free for all")
    assert render_card(adapter, publication_of(card)) == card
    bare = Publication("org/model", license="mit")
    assert publication_of(render_card(run, bare)) == bare


def test_a_base_on_the_hub_needs_no_name(run) -> None:
    record = read_run(run)
    assert base_model(record, Publication()) == ""
    assert base_model(record, Publication(base_model="org/base")) == "org/base"
    text = (run / "provenance.json").read_text().replace('"base_model": null', '"base_model": "org/base"')
    (run / "provenance.json").write_text(text)
    assert ModelCard(render_card(run)).data["base_model_relation"] == "finetune"
    (run / "provenance.json").write_text(text.replace("org/base", "/tmp/runs/base"))
    assert "base_model" not in ModelCard(render_card(run)).data.to_dict()


def test_a_run_without_records_says_so(run) -> None:
    for name in ("provenance.json", "recipe.yaml", "history.json", "training_curve.png"):
        (run / name).unlink()
    (run / "evaluation" / "metrics.json").unlink()
    (run / "metrics.json").unlink()
    card = render_card(run)
    assert "**Not evaluated**: the run holds no metrics.json." in card
    assert "Not recorded: the run holds no provenance.json." in card
    assert "Not recorded: the run holds no recipe.yaml." in card
    assert "model-index" not in card
    assert "model_name" not in card
    assert "training_curve" not in card


def test_a_leak_stands_on_the_card(run) -> None:
    leaky = {**METRICS, "leak": {"checked": True, "allowed": True, "overlaps": ["chrI:0-100"]}}
    (run / "evaluation" / "metrics.json").unlink()
    (run / "metrics.json").write_text(json.dumps(leaky))
    card = render_card(run)
    assert "was trained or chosen on chrI:0-100" in card
    assert "model-index" not in card


def test_a_changed_number_is_found(run) -> None:
    card = render_card(run, Publication("org/tiny", license="mit"))
    record = read_run(run)
    check_card(card, record)
    with pytest.raises(ValueError, match=r"not those of metrics\.json"):
        check_card(card.replace("value: 0.8125", "value: 0.9125", 1), record)
    with pytest.raises(ValueError, match="front matter does not parse"):
        check_card(card.replace("license: mit", "license: [mit"), record)
    with pytest.raises(ValueError, match="licence identifier"):
        check_card(card.replace("license: mit", "license: free"), record)


def test_the_code_on_the_card_runs(run, tiny_model) -> None:
    card = render_card(run)
    code = card.split("```python\n")[1].split("```")[0].replace("ORG/NAME", str(run))
    scope: dict = {}
    exec(code, scope)
    assert scope["predictions"].shape == scope["signal"].shape == (1, 1, 512)
    assert type(AutoModel.from_pretrained(run)) is type(tiny_model)


def test_every_evaluation_of_a_run_is_shown(run) -> None:
    other = run / "evaluation-other"
    other.mkdir()
    text = (run / "evaluation" / "metrics.json").read_text()
    (other / "metrics.json").write_text(text.replace('"name": "yeast"', '"name": "other"'))
    card = render_card(run)
    assert "part of other (sacCer3)" in card
    assert "part of yeast (sacCer3)" in card
    assert {result.dataset_type for result in ModelCard(card).data.eval_results} == {"other", "yeast"}


def test_licences() -> None:
    assert {"apache-2.0", "mit", "cc-by-4.0", "gpl-3.0"} <= LICENSES
    check_license("apache-2.0")
    with pytest.raises(ValueError, match=r"got 'MIT'; did you mean mit\?"):
        check_license("MIT")


def test_pinned_call_of_a_model(run) -> None:
    call = pinned_call(read_run(run), Publication("org/tiny"), "abc")
    assert call == 'AutoModel.from_pretrained("org/tiny", revision="abc", trust_remote_code=True)'
