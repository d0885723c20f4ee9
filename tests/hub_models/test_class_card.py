"""The card of a classifier says what it is, how its labels were made and how it did; nothing of tracks."""

import json

import pytest
import yaml
from chromhub.finetune.recipe import Recipe
from chromhub.hub_models.card import Publication, render_card
from chromhub.hub_models.metric_table import eval_results, header, headline, table
from chromhub.hub_models.publish import check_card, check_run
from chromhub.inference.provenance import Provenance
from chromhub.modeling import (
    AtacConfig,
    AtacForSequenceClassification,
    ChromTransferConfig,
    ChromTransferForSequenceClassification,
    DnaFeatureExtractor,
)

RESULTS = {
    "B": {
        "closed": {"n": 2000, "positives": 1000, "auroc": 0.91, "auprc": 0.9},
        "other_types": {"n": 3000, "positives": 1000, "auroc": 0.75, "auprc": 0.5},
    },
    "T": {
        "closed": {"n": 4, "positives": 0, "auroc": None, "auprc": None},
        "other_types": {"n": 4, "positives": 0, "auroc": None, "auprc": None},
    },
}
METRICS = {
    "task": "classification",
    "part": "test",
    "data": {"name": "blood", "genome": "hg19", "fingerprint": "f" * 16},
    "intervals": ["chr20:42000000-63025520"],
    "reverse_complement": False,
    "leak": {"checked": True, "overlaps": []},
    "results": RESULTS,
    "mean": {"closed": {"auroc": 0.91, "auprc": 0.9}, "other_types": {"auroc": 0.75, "auprc": 0.5}},
}
LABELS = {
    "id2label": {0: "B", 1: "T"},
    "label2id": {"B": 0, "T": 1},
    "problem_type": "multi_label_classification",
    "label_rule": {"width": 200, "threshold": 0.0, "min_covered": 0.5},
    "genome": "hg19",
}


@pytest.fixture(params=["atac", "chromtransfer"])
def run(request, tmp_path):
    if request.param == "atac":
        config = AtacConfig.from_preset("dcnn-tiny", input_length=256, target_length=256, bin_size=16, **LABELS)
        model = AtacForSequenceClassification(config)
    else:
        config = ChromTransferConfig(tower1_blocks=1, tower2_blocks=1, input_length=256, **LABELS)
        model = ChromTransferForSequenceClassification(config)
    folder = tmp_path / request.param
    model.save_pretrained(folder)
    DnaFeatureExtractor(input_length=256).save_pretrained(folder)
    Recipe(data="blood", preset="dcnn-tiny", task="classification").write(folder / "recipe.yaml")
    rows = [{"step": step, "eval_loss": 1.0, "eval_auroc": auroc} for step, auroc in ((10, 0.8), (20, 0.7))]
    (folder / "history.json").write_text(json.dumps(rows))
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    return folder


def test_the_card(run):
    text = render_card(run, Publication(repo_id="org/blood", license="apache-2.0"))
    matter = yaml.safe_load(text.split("---")[1])
    assert "| B | closed | 2,000 | 1,000 | 0.9100 | 0.9000 |" in text
    assert "| T | other_types | 4 | 0 | not defined | not defined |" in text
    assert "at least 50% of the central 200 bp have a signal above 0" in text
    assert "step 10 of 20, chosen by its mean AUROC over its tracks on the validation windows, 0.8000" in text
    assert "AutoModelForSequenceClassification.from_pretrained" in text
    for of_tracks in ("to_signal", "Pearson", "bigWig", "predicted.bw", "None", "ATAC-seq signal"):
        assert of_tracks not in text, of_tracks
    metrics = matter["model-index"][0]["results"]
    assert len(metrics[0]["metrics"]) + len(metrics[1:]) >= 1
    record = check_run(run)
    check_card(text, record)
    assert record.tracks == ("B", "T")


def beside(auroc):
    return {
        "results": {
            track: {name: {**found, "auroc": auroc} for name, found in sets.items()} for track, sets in RESULTS.items()
        },
        "mean": {name: {"auroc": auroc, "auprc": 0.5} for name in ("closed", "other_types")},
    }


def test_the_card_shows_what_stands_beside_the_model(run):
    told = {"k": 6, "training_windows": 1759, "windows": "the run's own training windows"}
    gain = {"tracks": {"B": 0.625, "T": None}, "mean": 0.625}
    metrics = METRICS | {"floor": told | beside(0.7), "base": {"model": "b", "gain": gain} | beside(0.65)}
    (run / "metrics.json").write_text(json.dumps(metrics))
    text = render_card(run, Publication(repo_id="org/blood", license="apache-2.0"))
    assert "| AUROC | AUPRC | AUROC, base | AUROC, floor | gain |" in text
    assert "| B | other_types | 3,000 | 1,000 | 0.7500 | 0.5000 | 0.6500 | 0.7000 | 0.6250 |" in text
    assert "| B | closed | 2,000 | 1,000 | 0.9100 | 0.9000 | 0.6500 | 0.7000 |  |" in text
    assert "a ridge regression on 6-mers, on 1,759 windows (the run's own training windows);" in text
    assert "* base: the model that this one was fine-tuned from" in text
    assert [result.metric_value for result in eval_results(metrics)] == [0.91, 0.9, 0.75, 0.5, 0.91, 0.9, 0.75, 0.5]


def test_tables():
    assert header(METRICS)[-2:] == ["AUROC", "AUPRC"]
    assert table(METRICS)[-1] == ["mean", "other_types", "", "", "0.7500", "0.5000"]
    assert [result.metric_value for result in eval_results(METRICS)] == [0.91, 0.9, 0.75, 0.5, 0.91, 0.9, 0.75, 0.5]
    assert headline(METRICS) == {"blood test closed AUROC": 0.91, "blood test other_types AUROC": 0.75}
    assert eval_results(METRICS | {"leak": {"checked": True, "overlaps": ["chr20"]}}) == []


def test_an_adapter_of_a_classifier_has_its_own_labels_and_rule(run, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(run), "peft_type": "LORA"}))
    Provenance(str(run), "hg19", (), (), ("Mono",), 0, "lora", "f00d", assay="ATAC-seq").save(adapter)
    Recipe(data="mono", base=str(run), mode="lora", task="classification", labels={"width": 100}).write(
        adapter / "recipe.yaml"
    )
    text = render_card(adapter)
    assert "predicts open chromatin by ATAC-seq (Mono) from DNA sequence alone" in text
    assert "the probability of being open in its track comes out: at least 50% of the central 100 bp" in text
    assert "probabilities = model.probabilities(model(inputs).logits)  # (1, 1)" in text
    assert "| labels | Mono |" in text
