import numpy as np
import pytest
import torch
from chromhub.modeling import (
    ChromTransferConfig,
    ChromTransferForSequenceClassification,
    ChromTransferModel,
    DnaFeatureExtractor,
)
from chromhub.modeling.classification import classification_loss
from chromhub.modeling.modeling_chromtransfer import padding_mask
from chromhub.modeling.one_hot import one_hot
from huggingface_hub.errors import StrictDataclassError
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForSequenceClassification

from ..without_chromhub import run_without_chromhub, save_with_code

SMALL = {
    "stem_filters": 8,
    "stem_kernel": 7,
    "tower1_filters": 6,
    "tower1_kernels": [6, 5],
    "tower1_blocks": 2,
    "tower2_filters": 8,
    "tower2_kernels": [4, 3],
    "tower2_blocks": 1,
    "final_kernel": 4,
    "last_kernel": 3,
    "head_hidden_sizes": [12, 5],
}


def randomise(model: nn.Module) -> nn.Module:
    """Give batch normalisation statistics that matter; at its start it is nearly the identity."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def small_model(**overrides) -> ChromTransferForSequenceClassification:
    torch.manual_seed(0)
    return randomise(ChromTransferForSequenceClassification(ChromTransferConfig(**{**SMALL, **overrides})))


def codes(batch: int = 3, length: int = 60, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (batch, length)).astype(np.uint8))


def count(model: nn.Module, trainable: bool = False) -> int:
    """Numbers as Keras counts them: with the moving statistics unless they are not trainable."""
    if trainable:
        return sum(parameter.numel() for parameter in model.parameters())
    return sum(
        tensor.numel() for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")
    )


# Totals that the authors' notebook prints; the body's is 6,464 + 256 + ... + 20,544, layer by layer.
@pytest.mark.parametrize(
    ("preset", "total", "trainable"),
    [("pretraining", 655_777, 652_513), ("finetuning", 653_537, 651_553), ("multiclass", 656_551, None)],
)
def test_totals_are_those_of_the_source(preset, total, trainable):
    with torch.device("meta"):
        model = ChromTransferForSequenceClassification(ChromTransferConfig.from_preset(preset))
    assert count(model) == total
    assert count(model.chromtransfer) == 554_144
    assert trainable in (None, count(model, trainable=True))


def keras_weights(archive) -> dict[str, torch.Tensor]:
    """The fixture's weights under our names; its layers are numbered in order of creation."""
    units = ["stem"]
    for tower in ("1", "2"):
        units += [f"entry{tower}.unit1", f"entry{tower}.unit2", f"entry{tower}.shortcut"]
        units += [f"tower{tower}.{block}.unit{unit}" for block in range(3) for unit in (1, 2)]
    names = {f"conv1d_{i}": f"{unit}.conv" for i, unit in enumerate([*units, "final"])}
    names |= {f"batch_normalization_{i}": f"{unit}.norm" for i, unit in enumerate([*units, "final"])}
    names = {key.removesuffix("_0"): f"chromtransfer.{name}" for key, name in names.items()}
    names |= {"last_CNN_layer": "chromtransfer.last_conv", "dense_2": "head.output"}
    names |= {"dense": "head.layers.0.dense", "dense_1": "head.layers.1.dense"}
    names |= {"batch_normalization_20": "head.layers.0.norm", "batch_normalization_21": "head.layers.1.norm"}
    state = {}
    for key in archive:
        layer, index = key.split("/") if "/" in key else (key, "")
        if not index:
            continue
        norm = layer.startswith("batch_normalization")
        leaf = ["weight", "bias", "running_mean", "running_var"][int(index)]
        weight = torch.from_numpy(archive[key])
        state[f"{names[layer]}.{leaf}"] = weight if norm else weight.permute(*reversed(range(weight.dim())))
    return state


def test_equals_the_published_network(shared):
    archive = np.load(shared / "fixtures" / "chromtransfer_parity.npz")
    model = ChromTransferForSequenceClassification(ChromTransferConfig.from_preset("multiclass")).eval()
    result = model.load_state_dict(keras_weights(archive), strict=False)
    assert not result.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in result.missing_keys)
    inputs = torch.from_numpy(archive["X"]).transpose(1, 2)
    with torch.no_grad():
        single = model.probabilities(model(inputs).logits).numpy()
        double = model.double().probabilities(model(inputs.double()).logits).numpy()
    assert np.abs(double - archive["y"]).max() < 1e-5
    assert np.abs(single - archive["y"]).max() < 1e-5


def test_receptive_field_is_202_bp():
    # 1 + 24 + 2 * 19 + 6 * 14 + 2 * 9 + 6 * 4 + 9 + 4 = 202; an even kernel k reaches k / 2 - 1 left and k / 2 right:
    # left 12 + 2 * 9 + 6 * 7 + 2 * 4 + 6 * 2 + 4 + 2 = 98, right 12 + 2 * 10 + 6 * 7 + 2 * 5 + 6 * 2 + 5 + 2 = 103
    config = ChromTransferConfig()
    assert config.receptive_field == 202
    model = randomise(ChromTransferModel(config))
    for module in model.modules():
        if isinstance(module, nn.Conv1d):
            module.weight.data.abs_()  # so that no ReLU hides a base
            module.bias.data.fill_(1.0)
    inputs = one_hot(codes(1, 320), torch.float32).requires_grad_()
    position = 150
    model(inputs).last_hidden_state[0, :, position].sum().backward()
    seen = inputs.grad.abs().sum((0, 1)).nonzero().flatten().tolist()
    assert (seen[0], seen[-1], len(seen)) == (position - 98, position + 103, 202)


def test_nothing_warns_about_even_kernels_and_length_is_kept():
    output = small_model().chromtransfer(codes(2, 37))  # warnings are errors here
    assert output.last_hidden_state.shape == (2, 8, 37)
    assert output.pooler_output.shape == (2, 8)
    assert torch.allclose(output.pooler_output, output.last_hidden_state.mean(-1))


def test_codes_and_one_hot_agree_and_batch_size_is_irrelevant():
    model, inputs = small_model(num_labels=3), codes()
    with torch.no_grad():
        together = model(inputs).logits
        as_one_hot = model(one_hot(inputs, torch.float32)).logits
        alone = torch.cat([model(inputs[i : i + 1]).logits for i in range(3)])
    assert together.shape == (3, 3)
    assert torch.equal(together, as_one_hot)
    assert torch.allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 60, 4), (60,), (2, 4, 6, 1)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"`inputs` must be base codes \(B, L\) or one-hot"):
        small_model()(torch.zeros(shape))


def test_masked_mean_makes_padding_irrelevant():
    inputs = codes(2)
    inputs[0, 20] = 4  # an N inside is no padding
    padded = torch.nn.functional.pad(inputs, (5, 30), value=4)
    with torch.no_grad():
        model = small_model(pooling="masked_mean")
        assert torch.allclose(model(inputs).logits, small_model()(inputs).logits, atol=1e-6)
        assert torch.allclose(model(padded).logits, model(inputs).logits, atol=1e-6)
        assert (small_model()(padded).logits - small_model()(inputs).logits).abs().max() > 1e-3
        assert torch.isfinite(model(torch.full((1, 40), 4)).logits).all()


def test_padding_is_at_the_ends():
    # N A N C N N -> 0 1 1 1 0 0
    mask = padding_mask(one_hot(torch.tensor([[4, 0, 4, 1, 4, 4]]), torch.float32))
    assert mask.tolist() == [[[0, 1, 1, 1, 0, 0]]]


def test_losses_by_hand():
    binary = ChromTransferConfig()
    logits = torch.tensor([[0.0], [0.0]])
    labels = torch.tensor([1, 0])
    # ln 2 each; weighted by class (2 of class 0, 4 of class 1): (2 + 4) / 2 * ln 2
    assert classification_loss(logits, labels, binary).item() == pytest.approx(np.log(2))
    weighted = classification_loss(logits, labels, binary, torch.tensor([2.0, 4.0]))
    assert weighted.item() == pytest.approx(3 * np.log(2))
    assert torch.equal(classification_loss(logits, labels[:, None].float(), binary), weighted / 3)

    three = ChromTransferConfig(num_labels=3)
    logits = torch.zeros(2, 3)
    assert classification_loss(logits, torch.tensor([2, 0]), three).item() == pytest.approx(np.log(3))
    weighted = classification_loss(logits, torch.tensor([2, 0]), three, torch.tensor([1.0, 9.0, 3.0]))
    assert weighted.item() == pytest.approx(2 * np.log(3))  # (3 + 1) / 2

    several = ChromTransferConfig(num_labels=3, problem_type="multi_label_classification")
    assert classification_loss(logits, torch.eye(2, 3), several).item() == pytest.approx(np.log(2))
    model = small_model(num_labels=3)
    assert torch.allclose(model.probabilities(torch.zeros(1, 3)), torch.full((1, 3), 1 / 3))
    model.config.problem_type = "multi_label_classification"
    assert torch.equal(model.probabilities(torch.zeros(1, 3)), torch.full((1, 3), 0.5))


@pytest.mark.parametrize(
    ("config", "labels", "weights", "message"),
    [
        ({"num_labels": 3}, torch.zeros(2, 3), None, r"`labels` must have shape \(2,\), got \(2, 3\)"),
        ({}, torch.zeros(3), None, r"`labels` must have shape \(2, 1\)"),
        (
            {"num_labels": 3, "problem_type": "multi_label_classification"},
            torch.zeros(2),
            None,
            r"`labels` must have shape \(2, 3\)",
        ),
        ({"num_labels": 3}, torch.zeros(2), torch.ones(2), "`class_weights` must hold 3 numbers, got 2"),
        ({}, torch.zeros(2), torch.ones(1), "`class_weights` must hold 2 numbers, got 1"),
    ],
)
def test_labels_of_another_shape_are_refused(config, labels, weights, message):
    config = ChromTransferConfig(**config)
    with pytest.raises(ValueError, match=message):
        classification_loss(torch.zeros(2, config.num_labels), labels, config, weights)


def test_class_weights_of_the_configuration_are_used():
    labels = torch.tensor([1, 1, 0])
    plain = small_model()(codes(), labels).loss
    assert torch.allclose(small_model(class_weights=[3, 3])(codes(), labels).loss, 3 * plain)


def test_l2_is_added_in_training_alone():
    model, labels = small_model(l2=0.1, dropout=0.0), torch.tensor([1, 0, 1])
    kernels = [p for name, p in model.named_parameters() if name.endswith("conv.weight")]
    expected = 0.1 * sum(p.square().sum() for p in kernels if p is not model.chromtransfer.last_conv.weight)
    assert len(kernels) == 15  # stem, 3 + 4, 3 + 2, final, and the last one, which is not penalised
    assert torch.allclose(model.regularization_loss(), expected)
    plain = small_model(l2=0, dropout=0.0)
    assert torch.equal(model(codes(), labels).loss, plain(codes(), labels).loss)
    difference = model.train()(codes(), labels).loss - plain.train()(codes(), labels).loss
    assert torch.allclose(difference, expected)


@pytest.mark.parametrize("train_batch_norm", [False, True])
def test_a_frozen_body_stays_as_it_is(train_batch_norm):
    model = small_model(head_batch_norm=True).train()
    model.freeze_body(train_batch_norm)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.eval()
    model.train()  # as a trainer does around an evaluation
    model(codes(), torch.tensor([1, 0, 1])).loss.backward()
    optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name for name in changed if ".conv." in name or "last_conv" in name} == set()
    norms = {name for name in changed if name.startswith("chromtransfer.") and ".norm." in name}
    assert bool(norms) == train_batch_norm
    assert "head.output.weight" in changed
    assert "head.layers.0.norm.running_mean" in changed
    assert model.regularization_loss() == 0
    model.unfreeze_body()
    assert all(p.requires_grad for p in model.parameters())
    assert all(module.training for module in model.modules())


def test_starts_as_the_source_does():
    model = ChromTransferForSequenceClassification(ChromTransferConfig())
    for module in model.modules():
        if isinstance(module, nn.Conv1d) and module.weight.numel() > 10_000:
            std = np.sqrt(2 / module.weight[0].numel())  # He-normal: sqrt(2 / fan in), cut at 2 / .8796 of it
            assert module.weight.std().item() == pytest.approx(std, rel=0.05)
            assert module.weight.abs().max().item() <= 2 / 0.8796 * std
    # Glorot uniform of Linear(64, 1024): sqrt(6 / 1088) = .07426
    assert model.head.layers[0].dense.weight.abs().max().item() == pytest.approx(0.07426, rel=1e-2)
    assert all(torch.all(p == 0) for name, p in model.named_parameters() if name.endswith("bias"))


def test_every_relu_has_one_place():
    model, calls = small_model(), {}
    for name, module in model.named_modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1}))
    model(codes())
    # units: stem, 3 + 4 of the first tower, 3 + 2 of the second, final; then the last one and two of the head
    assert len(calls) == 14 + 3
    assert set(calls.values()) == {1}


@pytest.mark.parametrize("num_labels", [1, 2, 7])
def test_save_and_load_bit_equal(num_labels, tmp_path):
    model = small_model(num_labels=num_labels)
    model.save_pretrained(tmp_path)
    DnaFeatureExtractor(600).save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert type(loaded) is ChromTransferForSequenceClassification
    for (name, ours), (other, theirs) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(ours, theirs), name
    assert torch.equal(model(codes()).logits, loaded(codes()).logits)
    assert loaded.config.num_labels == num_labels
    body = AutoModel.from_pretrained(tmp_path).eval()
    assert type(body) is ChromTransferModel
    assert torch.equal(body(codes()).pooler_output, model(codes()).pooler_output)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), ChromTransferConfig)
    assert isinstance(AutoFeatureExtractor.from_pretrained(tmp_path), DnaFeatureExtractor)


def test_another_head_on_a_trained_body(tmp_path):
    model = small_model(head_batch_norm=True)
    model.save_pretrained(tmp_path)
    tuned = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, head_hidden_sizes=[9], head_batch_norm=False, num_labels=2, ignore_mismatched_sizes=True
    )
    assert tuned(codes()).logits.shape == (3, 2)
    with torch.no_grad():
        assert torch.equal(tuned.eval().chromtransfer(codes()).pooler_output, model(codes()).pooler_output)
    # Glorot uniform of Linear(9, 2): at most sqrt(6 / 11)
    assert 0 < tuned.head.output.weight.abs().max() <= (6 / 11) ** 0.5


def test_adapters_fit_even_kernels():
    model, inputs = small_model(), codes()
    names = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Conv1d)}
    with torch.no_grad():
        before = model(inputs).logits
        adapted = get_peft_model(model, LoraConfig(r=2, target_modules=sorted(names), init_lora_weights=False)).eval()
        after = adapted(inputs=inputs).logits
        merged = adapted.merge_and_unload()(inputs).logits
    assert (after - before).abs().max() > 1e-3
    assert torch.allclose(merged, after, rtol=1e-4, atol=1e-4)


def test_a_trainer_keeps_logits_alone():
    kept = set(small_model()(codes()).keys()) - set(ChromTransferConfig().keys_to_ignore_at_inference)
    assert kept == {"logits"}


def test_presets_are_named():
    assert ChromTransferConfig.from_preset("multiclass").id2label[6] == "Negative"
    assert ChromTransferConfig.from_preset("multiclass", num_labels=3).num_labels == 3
    with pytest.raises(ValueError, match=r"preset must be one of \['finetuning', 'multiclass', 'pretraining'\]"):
        ChromTransferConfig.from_preset("fine")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pooling": "max"}, "`pooling` must be mean or masked_mean, got 'max'"),
        ({"tower1_kernels": [3]}, "`tower1_kernels` must hold two widths"),
        ({"tower1_blocks": 0}, "`tower1_blocks` must be at least 1"),
        ({"problem_type": "regression"}, "`problem_type` must be single_label_classification, multi_label"),
        ({"stem_kernel": "7"}, "stem_kernel"),
    ],
)
def test_a_wrong_configuration_is_refused(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        ChromTransferConfig(**fields)


LOAD = """
import sys

import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForSequenceClassification

folder = sys.argv[1]
model = AutoModelForSequenceClassification.from_pretrained(folder + "/classifier", trust_remote_code=True).eval()
body = AutoModel.from_pretrained(folder + "/body", trust_remote_code=True).eval()
extractor = AutoFeatureExtractor.from_pretrained(folder + "/classifier", trust_remote_code=True)
inputs = extractor(["ACGTN" * 16])["inputs"]
with torch.no_grad():
    torch.save([model(inputs).logits, body(inputs).pooler_output], folder + "/outputs.pt")
"""


def test_loads_and_predicts_without_chromhub(tmp_path):
    model = small_model()
    DnaFeatureExtractor().save_pretrained(tmp_path / "classifier")
    save_with_code(model, tmp_path / "classifier")
    save_with_code(model.chromtransfer, tmp_path / "body")
    run_without_chromhub(LOAD, tmp_path, folder=tmp_path)
    logits, pooled = torch.load(tmp_path / "outputs.pt")
    with torch.no_grad():
        ours = model(DnaFeatureExtractor()(["ACGTN" * 16])["inputs"])
    assert torch.allclose(logits, ours.logits, atol=1e-6)
    assert torch.allclose(pooled, ours.pooler_output, atol=1e-6)
