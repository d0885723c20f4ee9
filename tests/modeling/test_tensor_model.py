import copy

import pytest
import torch
from chromhub.modeling import (
    AtacConfig,
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    ChromTransferConfig,
    ChromTransferForSequenceClassification,
    ChromTransferModel,
    TensorModel,
    summed_model,
    tensor_model,
)
from chromhub.modeling.one_hot import one_hot
from torch import nn

from .random_models import EVERY, random_model

every = pytest.mark.parametrize("name", EVERY)
NON_LINEAR = (nn.ReLU, nn.GELU, nn.Softplus, nn.MaxPool1d, nn.LayerNorm, nn.SiLU, nn.Sigmoid, nn.Tanh)


@pytest.fixture(scope="module")
def tangermeme():
    return pytest.importorskip("tangermeme", reason='needs tangermeme: pip install "chromhub[interpret]"')


def inputs(batch: int = 2, length: int = 512) -> torch.Tensor:
    return one_hot(torch.randint(0, 4, (batch, length)), torch.float32)


def test_tensors_out():
    config = AtacConfig.from_preset("dcnn-tiny", num_tracks=2)
    tracks = AtacForTrackPrediction(config)
    wrapped, windows = tensor_model(tracks), inputs()
    assert isinstance(wrapped, TensorModel)
    assert torch.equal(wrapped(windows), tracks(windows).predictions)
    assert tensor_model(AtacForSequenceClassification(config))(windows).shape == (2, 2)
    chromtransfer = ChromTransferForSequenceClassification(ChromTransferConfig())
    assert torch.equal(tensor_model(chromtransfer)(windows), chromtransfer(windows).logits)
    assert tensor_model(ChromTransferModel(ChromTransferConfig()))(windows).shape == (2, 64)


def test_it_stays_in_evaluation_mode():
    model = AtacForTrackPrediction(AtacConfig.from_preset("dcnn-tiny")).train()
    wrapped = tensor_model(model)
    assert not model.training
    assert not wrapped.training
    wrapped.train()  # what a tool does that believes to put the mode back
    assert not any(module.training for module in wrapped.modules())
    model.train()  # a training loop goes on
    wrapped.eval()
    assert not any(module.training for module in wrapped.modules())


def test_summed_over_the_target():
    model = AtacForTrackPrediction(AtacConfig.from_preset("dcnn-tiny", num_tracks=2)).eval()
    windows = inputs(length=2048)
    predictions = model(windows).predictions
    # target_length 1024 of 2048 bp: bins 128 to 383 of 512
    assert torch.equal(summed_model(model)(windows), predictions[..., 128:384].sum(-1))
    assert torch.equal(summed_model(model, slice(3, 4))(windows), predictions[..., 3])
    with pytest.raises(ValueError, match=r"`bins` must hold a bin of the 32 there are, got slice\(128, -128, None\)"):
        summed_model(model)(inputs(length=128))
    whole = AtacForTrackPrediction(AtacConfig.from_preset("dcnn-tiny", target_length=2048)).eval()
    assert torch.equal(summed_model(whole)(windows), whole(windows).predictions.sum(-1))


def test_logits_are_not_summed():
    model = ChromTransferForSequenceClassification(ChromTransferConfig.from_preset("multiclass"))
    assert summed_model(model)(inputs()).shape == (2, 7)


@every
def test_tangermeme_predicts_what_the_model_does(tangermeme, name):
    from tangermeme.predict import predict

    model, windows = random_model(name, num_tracks=2), inputs(3)
    with torch.no_grad():
        expected = model(windows).predictions
    found = predict(tensor_model(model), windows.to(torch.int8), batch_size=2, device="cpu")
    assert torch.allclose(found, expected, atol=1e-5)
    assert not model.training
    with torch.no_grad():
        assert torch.equal(model(windows).predictions, expected)


@every
def test_tangermeme_mutates(tangermeme, name):
    from tangermeme.saturation_mutagenesis import saturation_mutagenesis

    model, windows = random_model(name), inputs(1)
    wild, mutated = saturation_mutagenesis(
        tensor_model(model), windows, start=255, end=258, device="cpu", raw_outputs=True
    )
    assert wild.shape == (1, 1, 128)
    assert mutated.shape == (1, 4, 3, 1, 128)
    by_hand = windows.clone()
    by_hand[0, :, 256] = torch.eye(4)[2]
    with torch.no_grad():
        assert torch.allclose(mutated[0, 2, 1], model(by_hand).predictions[0], atol=1e-5)
    effects = saturation_mutagenesis(summed_model(model), windows, start=255, end=258, device="cpu", hypothetical=True)
    assert effects.shape == (1, 4, 3)
    # a position's effects are centred; bins 32 to 95 are summed
    expected = (mutated - wild)[0, ..., 32:96].sum((-2, -1))
    assert torch.allclose(effects[0], expected - expected.mean(0), atol=1e-3)


@every
def test_hooks_see_every_non_linear_module_once(name):
    """No fast path runs past a hook, with or without gradients."""
    model = random_model(name)
    calls: dict[str, int] = {}
    for key, module in model.named_modules():
        if isinstance(module, NON_LINEAR) or type(module).__name__ in ("GlobalResponseNorm", "SelfAttention"):
            calls[key] = 0
            module.register_forward_hook(lambda *_, key=key: calls.update({key: calls[key] + 1}))
    assert calls
    with torch.no_grad():
        tensor_model(model)(inputs())
    tensor_model(model)(inputs().requires_grad_()).sum().backward()
    assert calls == dict.fromkeys(calls, 2)


@every
def test_gradients_of_the_inputs_are_those_of_the_plain_layers(name):
    """In float64 no fast path runs."""
    model, windows = random_model(name), inputs(1)
    gradients = []
    for wrapped in (summed_model(model), summed_model(copy.deepcopy(model).double())):
        leaf = windows.to(next(wrapped.parameters()).dtype).detach().clone().requires_grad_()
        wrapped(leaf).sum().backward()
        gradients.append(leaf.grad.double())
    assert gradients[1].abs().max() > 0
    assert (gradients[0] - gradients[1]).abs().max() < 1e-3 * gradients[1].abs().max()
