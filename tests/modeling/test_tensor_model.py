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
