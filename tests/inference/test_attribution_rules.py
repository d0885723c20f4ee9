import sys

import pytest
import torch
from chromhub.inference.attribution_rules import attributable_model, deep_lift_shap, global_response_rule
from chromhub.modeling import (
    CHROMTRANSFER_PRESETS,
    PRESETS,
    AtacConfig,
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    ChromTransferConfig,
    ChromTransferForSequenceClassification,
    summed_model,
)
from chromhub.modeling.convnext_block import GlobalResponseNorm
from chromhub.modeling.one_hot import one_hot

from ..modeling.random_models import EVERY, LENGTH, random_model, randomise


@pytest.fixture
def tangermeme():
    return pytest.importorskip(
        "tangermeme.deep_lift_shap", reason='needs tangermeme: pip install "chromhub[interpret]"'
    )


def windows(batch: int = 2, length: int = LENGTH, *, seed: int = 5) -> torch.Tensor:
    return torch.randint(0, 4, (batch, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", EVERY)
def test_attributions_sum_to_the_difference_of_outputs(tangermeme, name):
    model, inputs = random_model(name, num_tracks=2), windows()
    references = one_hot(windows(6, seed=6), torch.float32).view(2, 3, 4, LENGTH)
    scores, error = deep_lift_shap(model, inputs, target=1, references=references)
    with torch.no_grad():
        outputs = summed_model(model)(one_hot(inputs, torch.float32))[:, 1]
        base = summed_model(model)(references.flatten(0, 1))[:, 1].view(2, 3)
    assert error.shape == (2,)
    assert error.max() < 1e-3
    assert error.max() < 1e-3 * (outputs[:, None] - base).abs().max()
    assert torch.allclose(scores.sum((1, 2)), outputs - base.mean(1), atol=1e-3)
    assert torch.equal(scores != 0, (scores != 0) & one_hot(inputs, torch.bool))  # at the bases there are


@pytest.mark.parametrize("preset", CHROMTRANSFER_PRESETS)
def test_classifiers(tangermeme, preset):
    model = ChromTransferForSequenceClassification(ChromTransferConfig.from_preset(preset))
    scores, error = deep_lift_shap(randomise(model), windows(1, 300), n_shuffles=2)
    assert scores.abs().max() > 1e-3
    assert error.max() < 1e-3 * scores.abs().sum()


def test_atac_classifier(tangermeme):
    config = AtacConfig.from_preset("convnext-dcnn-tiny", input_length=LENGTH, target_length=LENGTH)
    model = randomise(AtacForSequenceClassification(config))
    assert deep_lift_shap(model, windows(), n_shuffles=2).additivity_error.max() < 1e-3


def test_what_is_returned(tangermeme):
    model, inputs = random_model("convnext-dcnn-tiny"), windows()
    scores, error = deep_lift_shap(model, inputs, n_shuffles=2)
    assert torch.equal(scores, deep_lift_shap(model, one_hot(inputs, torch.float32), n_shuffles=2).scores)
    hypothetical = deep_lift_shap(model, inputs, n_shuffles=2, hypothetical=True)
    assert torch.equal(hypothetical.scores * one_hot(inputs, torch.float32), scores)
    explained, rules = attributable_model(model)
    theirs = tangermeme.deep_lift_shap(
        explained, one_hot(inputs, torch.float32), n_shuffles=2, random_state=0, additional_nonlinear_ops=rules
    )
    assert torch.allclose(theirs, scores, atol=1e-6)
    one_bin = deep_lift_shap(model, inputs, n_shuffles=2, bins=slice(64, 65))
    assert one_bin.scores.abs().sum() < scores.abs().sum()
    assert one_bin.additivity_error.max() < error.max()


def test_what_the_rules_miss_is_said(tangermeme, monkeypatch):
    monkeypatch.setattr(
        "chromhub.inference.attribution_rules.attributable_model",
        lambda model, bins, weights: (summed_model(model, bins), {}),
    )
    for name in ("convnext-dcnn-tiny", "convnext-transformer-tiny", "conv-xlstm-tiny", "lstm-tiny"):
        with pytest.warns(RuntimeWarning, match=r"of 2 sequences miss the difference of outputs by up to \d"):
            assert deep_lift_shap(random_model(name), windows(), n_shuffles=2).additivity_error.max() > 2e-3


def test_the_model_is_left_as_it_was(tangermeme):
    model = random_model("lstm-tiny").train()
    deep_lift_shap(model, windows(), n_shuffles=1)
    assert model.training
    assert type(model.core.lstm) is torch.nn.LSTM
    assert not any(module._forward_hooks for module in model.modules())


def test_without_tangermeme(monkeypatch):
    monkeypatch.setitem(sys.modules, "tangermeme.deep_lift_shap", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "chromhub\[interpret\]"'):
        deep_lift_shap(random_model("dcnn-tiny"), windows())


def test_rule_of_grn(tangermeme):
    """Exactly additive, and what integrated gradients approach."""
    grn = GlobalResponseNorm(3).double()
    torch.nn.init.normal_(grn.gamma)
    torch.nn.init.normal_(grn.beta)
    grn.input = torch.randn(4, 7, 3, dtype=torch.float64)  # two sequences, then their two references
    grn.input[..., 2] = 0  # a channel that never responds
    with torch.no_grad():
        sequences, references = grn(grn.input).chunk(2)
    gradient = torch.randn(4, 7, 3, dtype=torch.float64)
    gradient[2:] = gradient[:2]
    (ours,) = global_response_rule(grn, (), (gradient,))
    assert torch.equal(ours[:2], ours[2:])
    change = (grn.input[:2] - grn.input[2:]) * ours[:2]
    wanted = gradient[:2] * (sequences - references)
    assert torch.allclose(change.sum((1, 2)), wanted.sum((1, 2)), atol=1e-12)
    grn.input[2:] = grn.input[:2] + 0.01 * torch.randn(2, 7, 3, dtype=torch.float64)
    (near,) = global_response_rule(grn, (), (gradient,))
    (integrated,) = tangermeme.integrated_gradients_op(8)(grn, (), (gradient,))
    assert torch.allclose(near, integrated, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("preset", [name for name in PRESETS if not name.endswith(("-tiny", "-small"))])
def test_full_size(tangermeme, preset):
    torch.manual_seed(0)
    model = randomise(AtacForTrackPrediction(AtacConfig.from_preset(preset)))
    torch.nn.init.normal_(model.head.weight, std=0.05)
    scores, error = deep_lift_shap(model, windows(1, 2048), n_shuffles=2)
    assert error.max() < 1e-3
    assert error.max() < 1e-3 * scores.abs().sum()
