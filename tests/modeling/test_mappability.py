"""The second task's grid and loss, by hand."""

import pytest
import torch
from chromhub.modeling import AtacConfig, AtacForTrackPrediction
from chromhub.modeling.architecture_parts import ConvStemConfig
from chromhub.modeling.mappability import MappabilityHead, called_bases


def test_each_position_is_compared_with_its_own_bases():
    head = MappabilityHead(ConvStemConfig(channels=2, kernel_size=3), bin_size=4)
    labels = torch.tensor([[1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]])
    called = torch.tensor([[1] * 8 + [0] * 4])  # the last position is all N
    loss = head.loss(torch.tensor([[0.9, 0.5, 0.7]]), labels, called)
    # targets 1, 2/4 and (left out): ((.9 - 1)^2 + 0) / 2
    assert loss.item() == pytest.approx(0.005)


def test_a_stem_without_padding_starts_later():
    stem = ConvStemConfig(channels=2, kernel_size=5, unit="conv-relu", padding="valid")
    head = MappabilityHead(stem, bin_size=4)
    # 13 bp give 9 positions of the stem, centred on bases 2 .. 10: the head has bases 2 .. 5 and 6 .. 9
    assert head(torch.rand(1, 2, 9)).shape == (1, 2)
    labels = torch.tensor([[0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]])
    assert head.loss(torch.tensor([[1.0, 0.0]]), labels, torch.ones(1, 13)).item() == 0


def test_called_bases_of_codes_and_one_hot():
    codes = torch.tensor([[0, 4, 3]], dtype=torch.uint8)
    one_hot = torch.eye(5, 4)[codes.long()].transpose(1, 2)
    assert called_bases(codes).tolist() == called_bases(one_hot).tolist() == [[1, 0, 1]]


@pytest.mark.parametrize(
    ("preset", "positions", "parameters"),
    # asap_spec: the pooled grids of CNN and LSTM, and +257 or, with 128 channels, +129 parameters
    [("cnn", 508, 257), ("lstm", 505, 257), ("convnext-lstm", 512, 257), ("convnext-cnn", 512, 129)],
)
def test_grids_of_the_presets(preset, positions, parameters):
    def build(**fields):
        with torch.device("meta"):
            return AtacForTrackPrediction(AtacConfig.from_preset(preset, **fields))

    model, plain = build(mappability_weight=1.0), build()
    assert sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in plain.parameters()) == parameters
    assert model(torch.empty(1, 4, 2048, device="meta")).mappability.shape == (1, positions)


def test_the_loss_adds_up():
    torch.manual_seed(0)
    model = AtacForTrackPrediction(AtacConfig.from_preset("dcnn-tiny", mappability_weight=0.5)).eval()
    inputs, labels = torch.randint(0, 4, (2, 256)), torch.rand(2, 1, 64)
    mappable = torch.zeros(2, 256)
    plain, both = model(inputs, labels=labels), model(inputs, labels=labels, mappable=mappable)
    # everything unmappable: the mean square of the probabilities
    assert both.loss.item() == pytest.approx(plain.loss.item() + 0.5 * (plain.mappability**2).mean().item())
    both.loss.backward()
    assert model.mappability_head.linear.weight.grad.abs().sum() > 0
