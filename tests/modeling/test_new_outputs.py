"""A stored model starts others with other outputs: it trains, computes its loss, saves and loads."""

import pytest
import torch
from chromhub.modeling import (
    AtacConfig,
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    ChromTransferConfig,
    ChromTransferForSequenceClassification,
    ClasterConfig,
    ClasterForProfileRegression,
)
from chromhub.modeling.new_outputs import with_outputs
from transformers import AutoModel, AutoModelForSequenceClassification

GRID = {"input_length": 512, "target_length": 256}
WINDOWS = {"input_length": 640, "target_length": 640, "bin_size": 64}
RULE = {"class_weights": [1.0, 3.0], "label_rule": {"rule": "peaks"}}


@pytest.mark.parametrize("asked", [{"num_tracks": 3}, {"track_names": ["a", "b", "c"]}])
def test_a_track_model_with_other_tracks(asked, tmp_path):
    config = AtacConfig.from_preset("convnext-dcnn-tiny", track_names=["K562"], **GRID)
    AtacForTrackPrediction(config).save_pretrained(tmp_path / "one")
    model = AutoModel.from_pretrained(tmp_path / "one", **asked, ignore_mismatched_sizes=True)
    model(torch.zeros(1, 512, dtype=torch.uint8), labels=torch.rand(1, 3, 128)).loss.backward()
    model.save_pretrained(tmp_path / "three")
    loaded = AutoModel.from_pretrained(tmp_path / "three")
    assert loaded.head.weight.shape[0] == 3
    assert list(loaded.config.track_names) == asked.get("track_names", ["track_0", "track_1", "track_2"])


def test_a_landscape_model_with_other_tracks(tmp_path):
    ClasterForProfileRegression(ClasterConfig.from_preset("claster-tiny")).save_pretrained(tmp_path / "one")
    model = AutoModel.from_pretrained(tmp_path / "one", num_tracks=2, ignore_mismatched_sizes=True)
    model.save_pretrained(tmp_path / "two")
    assert AutoModel.from_pretrained(tmp_path / "two").config.track_names == ["track_0", "track_1"]


@pytest.mark.parametrize(
    "classifier",
    [
        lambda: AtacForSequenceClassification(
            AtacConfig.from_preset("convnext-cnn-tiny", num_labels=1, **WINDOWS, **RULE)
        ),
        lambda: ChromTransferForSequenceClassification(ChromTransferConfig.from_preset("finetuning", **RULE)),
    ],
)
def test_a_classifier_with_other_labels(classifier, tmp_path):
    classifier().save_pretrained(tmp_path / "one")
    model = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "one", num_labels=3, ignore_mismatched_sizes=True
    )
    inputs = torch.zeros(2, model.config.input_length, dtype=torch.uint8)
    output = model.eval()(inputs, labels=torch.tensor([0, 2]))
    assert torch.allclose(output.loss, torch.nn.functional.cross_entropy(output.logits, torch.tensor([0, 2])))
    model.save_pretrained(tmp_path / "three")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "three")
    assert (loaded.config.num_labels, loaded.config.class_weights, loaded.config.label_rule) == (3, None, None)
    assert loaded.config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "one", num_labels=1)
    assert (again.config.class_weights, again.config.label_rule) == (RULE["class_weights"], RULE["label_rule"])


def test_what_is_asked_stays():
    stored = {"id2label": {"0": "open"}, "class_weights": [1, 2], "num_tracks": 2, "track_names": ["a", "b"]}
    assert with_outputs(stored, {}) == stored
    assert with_outputs(stored, {"num_tracks": 2, "num_labels": 1}) == stored
    weighted = with_outputs(stored, {"num_labels": 3, "class_weights": [1, 2, 3]})
    assert weighted == {"class_weights": [1, 2, 3], "num_tracks": 2, "track_names": ["a", "b"]}
    named = with_outputs(stored, {"id2label": {0: "open", 1: "closed"}})
    assert named["id2label"] == {0: "open", 1: "closed"}
    assert "class_weights" not in named
    with pytest.raises(Exception, match="`track_names` must hold 3 names"):
        AtacConfig.from_dict(AtacConfig().to_dict(), num_tracks=3, track_names=["a"])
