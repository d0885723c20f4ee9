"""Every model computes on the device of its inputs alone: on `meta`, a tensor made elsewhere is an error at once."""

import pytest
import torch
from chromhub.modeling import (
    CHROMTRANSFER_PRESETS,
    CLASTER_PRESETS,
    PRESETS,
    AtacConfig,
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    ChromTransferConfig,
    ChromTransferForSequenceClassification,
    ClasterConfig,
    ClasterForProfileRegression,
)
from chromhub.modeling.one_hot import one_hot

from .random_models import TEXTBOOK


def on_meta(make):
    with torch.device("meta"):
        return make().train()


def zeros(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype, device="meta")


def short(name):
    """Return the length of windows for a preset: on `meta` a recurrent core takes Python's time for every position."""
    return {"input_length": 128, "target_length": 64} if "lstm" in name else {}


def check(model, unused=(), **inputs):
    """Train and evaluate; every parameter must have a gradient but those whose name begins with one of `unused`."""
    output = model(**inputs)
    assert output.loss.device.type == "meta"
    output.loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert [name for name in without if not name.startswith(tuple(unused))] == []
    with torch.no_grad():
        assert model.eval()(**inputs).loss.device.type == "meta"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_trains_on_its_inputs_device(name):
    config = AtacConfig.from_preset(name, num_tracks=2, **short(name))
    model = on_meta(lambda: AtacForTrackPrediction(config))
    codes, shape = zeros(2, config.input_length, dtype=torch.uint8), (2, 2, config.input_length // 4)
    masked = {"labels": zeros(*shape), "mask": zeros(*shape)}
    check(model, inputs=codes, **masked)
    if not short(name):
        check(model.train(), inputs=one_hot(codes, torch.float32), **masked)
    assert model.eval().predict(codes, target_only=True).shape == (2, 2, config.target_length // 4)


@pytest.mark.parametrize("name", TEXTBOOK)
def test_a_textbook_form_trains_on_its_inputs_device(name):
    preset, fields = TEXTBOOK[name]
    config = AtacConfig.from_preset(preset, **fields, **short(name))
    model = on_meta(lambda: AtacForTrackPrediction(config))
    labels = {"labels": zeros(2, 1, config.input_length // 4), "mappability_labels": zeros(2, config.input_length)}
    check(model, inputs=zeros(2, config.input_length, dtype=torch.uint8), **labels)


@pytest.mark.parametrize("loss", ["poisson_raw", "profile_count"])
def test_every_loss_is_computed_there(loss):
    config = AtacConfig.from_preset("dcnn-tiny", loss=loss)
    labels = {"labels": zeros(2, 1, 512), "mask": zeros(2, 512)}
    check(on_meta(lambda: AtacForTrackPrediction(config)), inputs=zeros(2, 2048, dtype=torch.uint8), **labels)


def test_a_classifier_with_kmers_and_weights_trains_there():
    config = AtacConfig.from_preset(
        "convnext-cnn-tiny", num_labels=2, problem_type="multi_label_classification", class_weights=[0.5, 2.0], kmers={}
    )
    model = on_meta(lambda: AtacForSequenceClassification(config))
    labels = {"labels": zeros(2, 2), "mask": zeros(2, 2)}
    check(model, inputs=zeros(2, config.input_length, dtype=torch.uint8), **labels)


@pytest.mark.parametrize("name", CHROMTRANSFER_PRESETS)
def test_chromtransfer_trains_there(name):
    config = ChromTransferConfig.from_preset(name)
    model = on_meta(lambda: ChromTransferForSequenceClassification(config))
    labels = zeros(2) if config.num_labels == 1 else zeros(2, dtype=torch.long)
    # in evaluation alone a frozen part has no gradient
    frozen = [key for key, parameter in model.named_parameters() if not parameter.requires_grad]
    check(model, unused=frozen, inputs=zeros(2, config.input_length, dtype=torch.uint8), labels=labels)


@pytest.mark.parametrize("name", CLASTER_PRESETS)
def test_claster_trains_there(name):
    config = ClasterConfig.from_preset(name, stochastic_depth=0.0)
    model = on_meta(lambda: ClasterForProfileRegression(config))
    landscape, *contacts = config.branches
    inputs = {"inputs": zeros(2, *landscape.shape), "labels": zeros(2, config.num_tracks, config.num_bins)}
    if contacts:
        inputs["contact_map"] = zeros(2, *contacts[0].shape)
    check(model, **inputs)
