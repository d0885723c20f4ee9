"""A base on the windows of another model: which of its outputs, of which length, and equal to itself."""

from typing import Any

import numpy as np
import pytest
import torch
from chromhub.datasets_scripts.dataset import WindowPlan, evaluation_windows, training_windows
from chromhub.inference.beside import Beside, measured
from chromhub.inference.class_predictions import class_logits
from chromhub.inference.evaluate import evaluate, flatten_metrics
from chromhub.inference.evaluate_classes import evaluate_classes, flatten_class_metrics
from chromhub.inference.untuned_base import UntunedBase, base_logits, base_signal, output_mix, why_not_comparable
from chromhub.modeling import AtacConfig, AtacForSequenceClassification, AtacForTrackPrediction

from .toy_genome import toy_store

NONE = "left out"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("data"), tracks=("one", "two"))


def classifier(names, length=256, seed=0):
    torch.manual_seed(seed)
    labels: dict[str, Any] = {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}
    rule = {"width": 200, "threshold": 0.0, "min_covered": 0.5}
    sizes = {"input_length": length, "target_length": length, "bin_size": 16}
    config = AtacConfig.from_preset(
        "dcnn-tiny", **sizes, **labels, label_rule=rule, problem_type="multi_label_classification"
    )
    return AtacForSequenceClassification(config).eval()


def track_model(names, length=2048, target=1024, seed=0):
    torch.manual_seed(seed)
    config = AtacConfig.from_preset(
        "dcnn-tiny", input_length=length, target_length=target, num_tracks=len(names), track_names=list(names)
    )
    return AtacForTrackPrediction(config).eval()


def test_outputs_are_taken_by_name_or_as_the_only_one_or_as_their_mean():
    weights, words = output_mix(["B", "T", "K"], ["T", "X"])
    assert weights.tolist() == [[0, 1 / 3], [1, 1 / 3], [0, 1 / 3]]
    assert words == {"T": "T", "X": "mean of 3 outputs"}
    weights, words = output_mix(["DHS"], ["B", "T"])
    assert (weights.tolist(), words) == ([[1, 1]], {"B": "DHS", "T": "DHS"})


def test_what_is_not_comparable_says_why(store):
    model = track_model(["one", "two"])
    assert why_not_comparable(UntunedBase("b", track_model(["one"])), model) == ""
    assert "predicts something else" in why_not_comparable(UntunedBase("b", classifier(["one"])), model)
    short = UntunedBase("b", track_model(["one"], length=512, target=512))
    assert why_not_comparable(short, model) == "the base b reads 512 bp, which does not fit targets of 1024"
    other = track_model(["one"])
    other.config.target_summary = "sum"
    assert why_not_comparable(UntunedBase("b", other), model) == "the summary of the base b is sum, and the model's max"


def test_a_classifier_is_its_own_base(store):
    model = classifier(["one", "two"])
    metrics = evaluate_classes(model, store, beside=Beside(NONE, UntunedBase("me", model)), batch_size=8)
    base = metrics["base"]
    assert base["results"] == metrics["results"]
    assert base["differences"] == metrics["differences"]
    assert set(base["gain"]["tracks"].values()) <= {None, 0.5}
    assert metrics["floor"] == {"why": NONE}
    assert [name for name, _ in measured(metrics)] == ["model", "base"]
    table = flatten_class_metrics(metrics)
    assert table["of"].tolist() == ["model"] * 6 + ["base"] * 6


def test_longer_windows_have_the_same_centres(store):
    base = classifier(["one"], length=512)
    windows, _ = training_windows(store, WindowPlan("peaks+background"), input_length=256, max_jitter=0, part="test")
    found = base_logits(UntunedBase("b", base), store, windows, ["one", "two"], batch_size=3)
    codes = store.gather_codes(store.flat_starts(windows) - 128, 512)
    (expected,) = class_logits(base, [codes])
    np.testing.assert_allclose(found, np.repeat(expected, 2, axis=1), atol=1e-6)


def test_a_track_model_is_its_own_base(store):
    model = track_model(["one", "two"])
    metrics = evaluate(model, store, beside=Beside(NONE, UntunedBase("me", model)))
    base, own = metrics["base"]["results"], metrics["results"]
    assert base["two"]["genome_wide"]["pooled"]["4"]["log1p"] == pytest.approx(
        own["two"]["genome_wide"]["pooled"]["4"]["log1p"], rel=1e-4
    )
    assert base["one"]["peaks"]["pooled"]["128"]["raw"]["n"] == own["one"]["peaks"]["pooled"]["128"]["raw"]["n"]
    assert metrics["differences"]["128"]["n"] == metrics["results"]["one"]["genome_wide"]["pooled"]["128"]["raw"]["n"]
    assert metrics["base"]["differences"]["512"]["mean"] == pytest.approx(metrics["differences"]["512"]["mean"])
    assert "no reads" in metrics["ceiling"]["why"]
    assert set(flatten_metrics(metrics)["of"]) == {"model", "base"}


def test_a_base_that_reads_further_predicts_the_same_targets(store):
    model, base = track_model(["one", "two"]), track_model(["two"], length=4096, target=512, seed=1)
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=1024)
    one_strand = {"batch_size": 4, "average_rc": False}
    pieces = list(base_signal(UntunedBase("b", base), store, windows, model.config, **one_strand))
    predicted, true = (np.concatenate([piece[i] for piece in pieces]) for i in (1, 2))
    start = int(windows["start"].iloc[2]) + 512
    codes = store.gather_codes(store.flat_starts(windows.iloc[2:3]) + 512 - 1536, 4096)
    with torch.no_grad():
        whole = base(torch.from_numpy(codes)).predictions
    expected = base.to_signal(whole)[0, 0, 384:640].numpy()
    np.testing.assert_allclose(predicted[2], np.stack([expected] * 2), rtol=1e-3, atol=1e-4)
    chrom = str(windows["chrom"].iloc[2])
    np.testing.assert_array_equal(true[2, 1], store.signal(chrom, 1)[start // 4 : start // 4 + 256])
