"""What stands beside a classifier, from one call, and what is refused."""

import json
from pathlib import Path

import pytest
from chromhub.datasets_scripts.dataset import WindowPlan, training_windows
from chromhub.datasets_scripts.store_inputs import TrackSource
from chromhub.inference import floor
from chromhub.inference.beside import Beside, difference_sizes
from chromhub.inference.evaluate_classes import evaluate_classes, flatten_class_metrics
from chromhub.inference.floor import FloorWindows
from chromhub.inference.kmer_ridge import fit_kmer_ridge

from .test_untuned_base import classifier
from .toy_genome import toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("data"), tracks=("one", "two"))


def test_a_floor_beside_a_classifier(store, monkeypatch):
    monkeypatch.setattr(floor, "fit_kmer_ridge", lambda *batches: fit_kmer_ridge(*batches, k=3))
    windows, _ = training_windows(store, WindowPlan("tile", stride=256), input_length=256, max_jitter=0)
    chosen = FloorWindows(windows, windows.iloc[:0], "tiles")
    metrics = evaluate_classes(classifier(["one", "two"]), store, beside=Beside(chosen, "trained from scratch"))
    json.dumps(metrics, allow_nan=False)
    found = metrics["floor"]
    assert (found["training_windows"], found["validation_windows"], found["windows"]) == (32, 0, "tiles")
    assert found["penalties"] == {"one": 1000.0, "two": 1000.0}  # without validation windows the largest
    counts = [[r["n"] for sets in side["results"].values() for r in sets.values()] for side in (metrics, found)]
    assert counts[0] == counts[1]
    assert metrics["base"] == {"why": "trained from scratch"}
    assert flatten_class_metrics(metrics)["of"].unique().tolist() == ["model", "floor"]


def test_a_floor_that_cannot_be_fitted_says_why(store):
    windows, _ = training_windows(store, WindowPlan("tile"), input_length=256, max_jitter=0)
    none = FloorWindows(windows.iloc[:0], windows, "none")
    metrics = evaluate_classes(classifier(["one", "two"]), store, beside=Beside(none, ""))
    assert metrics["floor"] == {"why": "a k-mer ridge needs training windows, got none"}


def test_reads_of_a_classifier_are_refused(store):
    reads = (TrackSource("one", Path("r.bed"), "fragments"),)
    with pytest.raises(ValueError, match="--reads is for track models"):
        evaluate_classes(classifier(["one", "two"]), store, beside=Beside("", "", reads))


def test_differences_are_compared_from_128_bp_on():
    assert difference_sizes([4, 16, 128, 512]) == [128, 512]
    assert difference_sizes([4, 64]) == [64]
