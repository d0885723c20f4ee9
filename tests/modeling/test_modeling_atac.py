import json

import numpy as np
import pytest
import torch
from chromhub.modeling import (
    AtacConfig,
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    DnaFeatureExtractor,
    TensorModel,
    lora_layers,
)
from chromhub.modeling.dilated_conv import DilatedConv1d
from chromhub.modeling.one_hot import one_hot
from transformers import AutoModel

from . import parity

PRESETS = ["convnext-dcnn-tiny", "dcnn-tiny"]


def small_model(preset: str, **overrides) -> AtacForTrackPrediction:
    """A tiny model whose every parameter matters: at its start GRN and the residual blocks are the identity."""
    torch.manual_seed(0)
    model = AtacForTrackPrediction(AtacConfig.from_preset(preset, **overrides))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
        if hasattr(module, "gamma"):
            torch.nn.init.normal_(module.gamma, std=0.5)
            torch.nn.init.normal_(module.beta, std=0.1)
    return model.eval()


def codes(batch: int = 2, length: int = 512, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 5, (batch, length)).astype(np.uint8))


PUBLISHED = {  # asap_spec a.1 to a.8, and a.10 for the text's own sizes
    "cnn": 17_189_120,
    "lstm": 1_342_464,
    "dcnn": 1_996_545,
    "convnext-cnn": 5_169_936,
    "convnext-lstm": 1_870_592,
    "convnext-dcnn": 2_524_417,
    "convnext-transformer": 4_773_121,
    "convnext-xlstm": 1_138_073,
}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_preset_equals_the_reference(shared, preset):
    reference, parameters = preset.replace("-", "_"), PUBLISHED[preset]
    fixtures = shared / "fixtures"
    facts = json.loads((fixtures / "asap_parity.json").read_text())
    expected = np.load(fixtures / "asap_parity.npz")[reference]
    model = AtacForTrackPrediction(AtacConfig.from_preset(preset)).eval()
    result = model.load_state_dict(
        parity.reference_state(facts["models"][reference]["tensors"], facts["seed"]), strict=False
    )
    assert not result.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in result.missing_keys)
    assert (
        sum(parameter.numel() for parameter in model.parameters())
        == parameters
        == facts["models"][reference]["parameters"]
    )
    inputs = DnaFeatureExtractor()(facts["sequences"])["inputs"]
    with torch.no_grad():
        single = model(inputs).predictions[:, 0].numpy()
        double = model.double()(inputs).predictions[:, 0].numpy()
    assert np.abs(double - expected).max() < 1e-5
    assert np.abs(single - expected).max() < 1e-4


@pytest.mark.parametrize(("preset", "parameters"), [*PUBLISHED.items(), ("lstm-paper", 5_830_656)])
def test_parameter_totals(preset, parameters):
    with torch.device("meta"):
        model = AtacForTrackPrediction(AtacConfig.from_preset(preset))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_n_is_all_zeros():
    # A C G T N -> one column each, the last without a 1
    assert torch.equal(one_hot(torch.tensor([[0, 1, 2, 3, 4]]), torch.float32)[0], torch.eye(4, 5))


@pytest.mark.parametrize("preset", PRESETS)
def test_missing_weights_are_initialised(preset, tmp_path):
    model = small_model(preset)
    model.save_pretrained(tmp_path)
    wider = AutoModel.from_pretrained(tmp_path, num_tracks=3, track_names=["a", "b", "c"], ignore_mismatched_sizes=True)
    assert wider.head.weight.shape[0] == 3
    # kaiming uniform with a = sqrt(5): |w| <= 1 / sqrt(64 features) = .125
    assert 0 < wider.head.weight.abs().max() <= 0.125
    assert torch.equal(wider.stem.conv.weight, model.stem.conv.weight)


def test_starts_as_the_reference_does():
    model = AtacForTrackPrediction(AtacConfig.from_preset("convnext-dcnn-tiny"))
    for block in model.core.blocks:
        assert torch.all(block.pointwise.norm.weight == 0)
        assert torch.all(block.dilated.norm.weight == 1)
    assert torch.all(model.stem.grn.gamma == 0)
    # PyTorch's default for Conv1d(4, 32, 15): uniform within 1 / sqrt(60) = .1291
    assert model.stem.conv.weight.abs().max().item() == pytest.approx(60**-0.5, rel=0.02)


def test_loss_by_hand():
    model = small_model("dcnn-tiny")
    inputs = codes(1, 64)
    labels = torch.zeros(1, 1, 16)
    labels[..., 3] = torch.e - 1  # log1p of it is 1
    output = model(inputs, labels=labels)
    rates = output.predictions.detach().double()[0, 0]
    # mean(p - y log p) with y = 1 at bin 3 and 0 elsewhere
    assert output.loss.item() == pytest.approx((rates.sum() - torch.log(rates[3])).item() / 16, abs=1e-5)
    mask = torch.zeros(1, 16)
    mask[:, 3] = 1
    assert model(inputs, labels=labels, mask=mask).loss.item() == pytest.approx((rates[3] - torch.log(rates[3])).item())
    assert torch.allclose(model.to_signal(model.to_training_scale(labels)), labels, atol=1e-6)


def test_losses_by_name():
    model = small_model("dcnn-tiny", loss="poisson_raw")
    predictions = torch.log1p(torch.tensor([[[1.0, 3.0]]]))  # of a raw signal of 1 and 3
    labels = torch.tensor([[[2.0, 0.0]]])
    # ((1 - 2 log 1) + (3 - 0 log 3)) / 2
    assert model.track_loss(predictions, labels).item() == pytest.approx(2)
    model.config.loss, model.config.count_weight = "profile_count", 3.0
    # (2 log 4 + 3 (log 3 - log 5)^2) / 2: a share of 1/4, log1p of the totals 2 and 4
    expected = (2 * np.log(4) + 3 * np.log(3 / 5) ** 2) / 2
    assert model.track_loss(predictions, labels).item() == pytest.approx(expected)
    model.config.loss = "poisson"
    # (log 2 - log 3 log log 2 + log 4) / 2
    expected = (np.log(2) - np.log(3) * np.log(np.log(2)) + np.log(4)) / 2
    assert model.track_loss(predictions, labels).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", ["poisson", "poisson_raw", "profile_count"])
def test_a_checkpoint_says_its_loss_and_an_older_one_is_of_poisson(loss, tmp_path):
    model = small_model("dcnn-tiny", loss=loss)
    assert torch.isfinite(model(codes(1, 64), labels=torch.zeros(1, 1, 16)).loss)
    model.save_pretrained(tmp_path)
    assert AtacConfig.from_pretrained(tmp_path).loss == loss
    fields = json.loads((tmp_path / "config.json").read_text())
    del fields["loss"], fields["count_weight"]
    (tmp_path / "config.json").write_text(json.dumps(fields))
    assert AtacConfig.from_pretrained(tmp_path).loss == "poisson"


def test_tuple_output():
    model = small_model("dcnn-tiny")
    loss, predictions, hidden = model(codes(), labels=torch.zeros(2, 1, 128), return_dict=False)
    assert loss.dim() == 0
    assert predictions.shape == (2, 1, 128)
    assert hidden.shape == (2, 64, 128)
    assert torch.equal(TensorModel(model)(one_hot(codes(), torch.float32)), predictions)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(2, 510, dtype=torch.uint8), "multiple of 4 bp long"),
        (torch.zeros(2, 512, 4), "order A, C, G, T, got shape"),
        (torch.zeros(512), "order A, C, G, T, got shape"),
    ],
)
def test_bad_inputs(inputs, message):
    with pytest.raises(ValueError, match=message):
        small_model("dcnn-tiny")(inputs)


def test_receptive_field_of_the_dilated_core():
    # asap_spec a.3: bin b sees bp 4b - 350 .. 4b + 3 + 348
    model = AtacForTrackPrediction(
        AtacConfig.from_preset("dcnn", stem={"channels": 4}, core={"bottleneck_channels": 2, "feature_channels": 2})
    ).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.ones_(module.weight)
    inputs = torch.rand(1, 4, 2048, requires_grad=True)
    model(inputs).predictions[0, 0, 256].backward()
    seen = inputs.grad[0].abs().sum(0).nonzero().flatten()
    assert seen.min() >= 4 * 256 - 350
    assert seen.max() <= 4 * 256 + 3 + 348
    assert seen.max() - seen.min() > 400  # far more than one block sees


@pytest.mark.parametrize("preset", PRESETS)
def test_lora_adapts_every_convolution(preset):
    model = small_model(preset)
    convolutions = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Conv1d)}
    assert convolutions <= set(lora_layers(model, r=4)["target_modules"])
    assert "core.blocks.3.dilated.conv" in convolutions


def test_dilation_follows_from_padding():
    # 7 taps, 3 apart, reach 9 to each side
    assert DilatedConv1d(4, 2, 7, padding=9).dilation == (3,)
    assert DilatedConv1d(4, 2, (7,), (1,), (9,), bias=False).dilation == (3,)  # as PEFT calls it
    # an even kernel of 4 taps at -1, 0, 1, 2 times the dilation
    assert DilatedConv1d(4, 2, 4, padding=5).dilation == (5,)
    assert DilatedConv1d(4, 2, 15, padding=7).dilation == (1,)
    assert DilatedConv1d(4, 2, 15).dilation == DilatedConv1d(4, 2, 1).dilation == (1,)


@pytest.mark.parametrize("preset", PRESETS)
def test_one_batch_is_learnt(preset):
    model = small_model(preset).train()
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    inputs, labels = codes(4), torch.rand(4, 1, 128) * 3
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = model(inputs, labels=labels).loss
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05


def test_predict_is_forward_without_gradients():
    model, inputs = small_model("dcnn-tiny", input_length=512, target_length=256), codes()
    expected = model(inputs).predictions.detach()
    assert torch.allclose(model.predict(inputs), expected, atol=1e-6)
    # 256 of 512 bp, on bins of 4: 32 bins of context on each side
    assert torch.allclose(model.predict(inputs, target_only=True), expected[..., 32:96], atol=1e-6)
    with pytest.raises(ValueError, match="`predict` needs evaluation mode"):
        model.train().predict(inputs)


def test_classifier_with_one_label_is_a_yes_or_no():
    model = AtacForSequenceClassification(AtacConfig.from_preset("dcnn-tiny", num_labels=1)).eval()
    output = model(codes(), labels=torch.tensor([1, 0]))
    # -log p of the first, -log(1 - p) of the second
    rates = model.probabilities(output.logits.detach())[:, 0]
    assert output.loss.item() == pytest.approx(-(rates[0].log() + (1 - rates[1]).log()).item() / 2, rel=1e-5)
    with pytest.raises(ValueError, match=r"`labels` must have shape \(2, 1\), got \(3, 1\)"):
        model(codes(), labels=torch.tensor([1, 0, 1]))
