import math
import sys

import numpy as np
import pytest
import torch
from chromhub.inference.attribute import (
    AttributionSettings,
    attribute_window,
    contributions,
    integrated_gradients,
    profile_weights,
    settings_as_dict,
)
from chromhub.modeling import AtacConfig, AtacForSequenceClassification, summed_model
from chromhub.modeling.one_hot import one_hot

from ..modeling.random_models import LENGTH, random_model, randomise


def window(seed=5):
    return np.random.default_rng(seed).integers(0, 4, LENGTH).astype(np.uint8)


@pytest.fixture
def tangermeme():
    return pytest.importorskip("tangermeme.ersatz", reason='needs tangermeme: pip install "chromhub[interpret]"')


def own_one_hot(codes):
    return np.eye(4, dtype=np.float32)[codes].T


class Linear(torch.nn.Module):
    """Weights of every base at every position, and a product of two of them."""

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.nn.Parameter(weights)

    def forward(self, inputs):
        linear = (inputs * self.weights).sum((1, 2))
        return torch.stack([linear, linear**2], 1)


def test_integrated_gradients_by_hand():
    # One position, weights 1 2 0 0: from C (2) to A (1), the output falls by 1; its square by 3. The gradient of the
    # square is 2 (2 - a) w along the line, 2 * 1.5 w on average: 3 and 6.
    model = Linear(torch.tensor([[1.0], [2], [0], [0]]))
    inputs, reference = torch.tensor([[[1.0], [0], [0], [0]]]), torch.tensor([[[0.0], [1], [0], [0]]])
    for target, expected in ((0, [1.0, 2, 0, 0]), (1, [3.0, 6, 0, 0])):
        gradients, errors = integrated_gradients(model, inputs, reference, target=target, steps=2)
        assert gradients.ravel().tolist() == pytest.approx(expected)
        assert errors.tolist() == pytest.approx([0], abs=1e-6)


@pytest.mark.parametrize("name", ["convnext-dcnn-tiny", "lstm-tiny"])
@pytest.mark.parametrize("method", ["deep-lift", "integrated-gradients"])
def test_both_additive_methods_are_additive(tangermeme, name, method):
    model, codes = random_model(name, num_tracks=2), window()
    inputs = torch.from_numpy(codes)[None]
    weights = profile_weights(model, inputs, track=1)
    assert weights.sum().item() == pytest.approx(1)
    shuffled = tangermeme.dinucleotide_shuffle(one_hot(inputs, torch.float32), n=3, random_state=0)[0]
    explained = summed_model(model, None, weights)
    with torch.no_grad():
        gap = (explained(one_hot(inputs, torch.float32))[0, 1] - explained(shuffled.float())[:, 1].mean()).item()
    found = attribute_window(model, codes, AttributionSettings(method, shuffles=3, steps=20), track=1)
    assert found.additivity_error < 1e-3
    assert contributions(found.hypothetical, own_one_hot(codes)).sum() == pytest.approx(gap, abs=1.1e-3)


def test_the_target_is_the_weighted_profile():
    model, codes = random_model("dcnn-tiny"), window()
    inputs = torch.from_numpy(codes)[None]
    with torch.no_grad():
        profile = model.predict(inputs, target_only=True)[0, 0].double()
    found = attribute_window(model, codes, AttributionSettings("input-x-gradient"))
    assert found.output == pytest.approx(float((profile**2).sum() / profile.sum()), rel=1e-5)
    assert math.isnan(found.additivity_error)
    # a small step along the gradient of a base's own column changes the fixed-weight profile by as much
    explained, at = summed_model(model, None, profile / profile.sum()), one_hot(inputs, torch.float32)
    with torch.no_grad():
        moved = at.clone()
        moved[0, :, 60] *= 1 + 1e-2
        change = (explained(moved) - explained(at)).item() / 1e-2
    assert contributions(found.hypothetical, own_one_hot(codes))[60] == pytest.approx(change, rel=0.05, abs=1e-4)


@pytest.mark.parametrize("kmers", [None, {"k": 4, "widths": [200, 512]}], ids=["network", "k-mers"])
@pytest.mark.parametrize("method", ["deep-lift", "integrated-gradients"])
def test_of_a_classifier_it_is_the_logit(tangermeme, method, kmers):
    config = random_model("dcnn-tiny").config.to_dict() | {"num_labels": 2, "kmers": kmers}
    model = randomise(AtacForSequenceClassification(AtacConfig(**config)))
    torch.nn.init.normal_(model.classifier.weight)
    if kmers:
        torch.nn.init.normal_(model.kmer_part.linear.weight, std=0.1)
    codes = window()
    inputs = torch.from_numpy(codes)[None]
    shuffled = tangermeme.dinucleotide_shuffle(one_hot(inputs, torch.float32), n=3, random_state=0)[0]
    with torch.no_grad():
        logit = model(inputs).logits[0, 1].item()
        gap = logit - model(shuffled.argmax(1).to(torch.uint8)).logits[:, 1].mean().item()
    found = attribute_window(model, codes, AttributionSettings(method, shuffles=3, steps=20), track=1)
    assert found.output == pytest.approx(logit, abs=1e-5)
    assert found.additivity_error < 1e-3
    assert abs(gap) > 0.01
    assert contributions(found.hypothetical, own_one_hot(codes)).sum() == pytest.approx(gap, abs=1.1e-3)


def test_saturation_mutagenesis_by_substitution(tangermeme):
    model, codes = random_model("convnext-dcnn-tiny"), window()
    found = attribute_window(model, codes, AttributionSettings("saturation-mutagenesis", width=4))
    first = (LENGTH - 4) // 2
    explained = summed_model(model, None, profile_weights(model, torch.from_numpy(codes)[None], track=0))
    mutants = np.tile(codes, (4, 1))
    mutants[:, first + 1] = range(4)
    with torch.no_grad():
        outputs = explained(one_hot(torch.from_numpy(mutants), torch.float32))[:, 0].numpy()
    assert found.hypothetical.shape == (4, 4)
    assert found.hypothetical[:, 1] == pytest.approx(outputs - outputs.mean(), abs=1e-5)


def test_what_misses_the_tolerance_is_done_again_in_float64(tangermeme):
    model, codes = random_model("lstm-tiny"), window()
    coarse = attribute_window(
        model, codes, AttributionSettings("integrated-gradients", shuffles=1, steps=1, tolerance=9)
    )
    fine = attribute_window(
        model, codes, AttributionSettings("integrated-gradients", shuffles=1, steps=1, tolerance=1e-9)
    )
    assert fine.additivity_error < coarse.additivity_error / 3
    assert next(model.parameters()).dtype == torch.float32


def test_width_is_cut_from_the_middle(tangermeme):
    model, codes = random_model("dcnn-tiny"), window()
    whole, middle = (
        attribute_window(model, codes, AttributionSettings("deep-lift", shuffles=1, width=width)).hypothetical
        for width in (None, 10)
    )
    first = (LENGTH - 10) // 2
    assert np.array_equal(middle, whole[:, first : first + 10])


def test_settings():
    assert "steps" not in settings_as_dict(AttributionSettings())
    assert settings_as_dict(AttributionSettings("input-x-gradient")) == {"method": "input-x-gradient", "width": None}
    for options, sentence in (
        ({"method": "lime"}, "one of deep-lift, .*, got 'lime'"),
        ({"shuffles": 0}, "`shuffles` must be at least 1, got 0"),
        ({"tolerance": 0}, "above 0, got 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            AttributionSettings(**options)
    with pytest.raises(ValueError, match="model's window of 512 bp, got 600"):
        AttributionSettings(width=600).kept(512)


def test_without_tangermeme(monkeypatch):
    monkeypatch.setitem(sys.modules, "tangermeme.ersatz", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "chromhub\[interpret\]"'):
        attribute_window(random_model("dcnn-tiny"), window(), AttributionSettings())
