"""What every preset, and every textbook form of one, must do (design: "a contract test runs over every preset")."""

import numpy as np
import pytest
import torch
from chromhub.modeling import (
    PRESETS,
    AtacConfig,
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    adapter_size,
    default_rank,
    lora_layers,
)
from chromhub.modeling.fast_path import plain_modules
from chromhub.modeling.one_hot import one_hot
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, AutoModelForSequenceClassification, Trainer, TrainingArguments

from .random_models import EVERY, LENGTH, random_codes, random_model

every = pytest.mark.parametrize("name", EVERY)


@every
def test_codes_and_one_hot_agree_and_batch_size_is_irrelevant(name):
    model, inputs = random_model(name, num_tracks=2), random_codes(3)
    with torch.no_grad():
        together = model(inputs).predictions
        as_one_hot = model(one_hot(inputs, torch.float32)).predictions
        alone = torch.cat([model(inputs[i : i + 1]).predictions for i in range(3)])
        exact = model.double()(inputs).predictions
        exact_alone = torch.cat([model(inputs[i : i + 1]).predictions for i in range(3)])
    assert together.shape == (3, 2, LENGTH // 4)
    assert torch.equal(together, as_one_hot)
    assert torch.allclose(together, alone, atol=1e-4, rtol=1e-4)
    assert torch.allclose(exact, exact_alone, atol=1e-10)
    assert together.std() > 0.01  # no flat answer that would hide everything below


@every
def test_save_and_load_bit_equal(name, tmp_path):
    model = random_model(name, num_tracks=2)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert type(loaded) is AtacForTrackPrediction
    for (key, ours), (other, theirs) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert key == other
        assert torch.equal(ours, theirs), key
    assert torch.equal(model(random_codes()).predictions, loaded(random_codes()).predictions)
    assert loaded.config.core_config == model.config.core_config


@every
def test_nothing_is_left_uninitialised(name, tmp_path):
    """Built on the meta device and filled by `from_pretrained`: what a file lacks starts as in a fresh model."""
    model = random_model(name)
    state = {key: tensor for key, tensor in model.state_dict().items() if key.startswith("stem.")}
    model.save_pretrained(tmp_path, state_dict=state)
    torch.manual_seed(0)
    with pytest.raises(
        ValueError, match=r"lack \d+ tensors of AtacForTrackPrediction .*, which would be drawn at random"
    ):
        AutoModel.from_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path, ignore_mismatched_sizes=True)
    for key, tensor in loaded.state_dict().items():
        assert torch.isfinite(tensor).all(), key
        assert tensor.float().abs().max() < 10, key
        if key in state:
            assert torch.equal(tensor, state[key]), key
    assert torch.isfinite(loaded.eval()(random_codes()).predictions).all()


@every
def test_other_lengths_work_or_are_refused(name):
    model = random_model(name)
    longer = 2 * LENGTH
    if model.config.fixed_length:
        with pytest.raises(ValueError, match=f"`inputs` must be {LENGTH} bp long, got {longer}: the core"):
            model(random_codes(length=longer))
    else:
        assert model(random_codes(length=longer)).predictions.shape == (2, 1, longer // 4)
        with pytest.raises(ValueError, match=r"must be a multiple of \d+ bp long"):
            model(random_codes(length=LENGTH - 2))


@every
def test_windows_of_n_are_finite(name):
    with torch.no_grad():
        assert torch.isfinite(random_model(name)(torch.full((1, LENGTH), 4, dtype=torch.uint8)).predictions).all()


@every
def test_bfloat16_is_close(name):
    model = random_model(name)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = model(random_codes()).predictions.float()
    single = model(random_codes()).predictions
    assert torch.corrcoef(torch.stack([half.flatten(), single.flatten()]))[0, 1] > 0.99


@every
def test_gradient_checkpointing_changes_nothing(name):
    """Not the gradients, and not the statistics of batch normalisation, which a recomputation would count twice."""
    results = []
    for checkpointing in (False, True):
        model = random_model(name).train()
        if checkpointing:
            # transformers 5.2x renames it
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        torch.manual_seed(3)
        model(
            random_codes(), labels=torch.rand(2, 1, LENGTH // 4, generator=torch.Generator().manual_seed(0))
        ).loss.backward()
        results.append((dict(model.named_parameters()), dict(model.named_buffers())))
    (plain, plain_buffers), (again, again_buffers) = results
    for key, parameter in plain.items():
        assert parameter.grad is not None or key.startswith("mappability_head"), key
        if parameter.grad is not None:
            assert torch.allclose(parameter.grad, again[key].grad, atol=1e-6, rtol=1e-4), key
    for key, buffer in plain_buffers.items():
        assert torch.equal(buffer, again_buffers[key]), key


def adapted_model(name, *, shaken=True, **overrides):
    """Return a model and an adapter of it, which has something to say if `shaken`."""
    model = random_model(name, **overrides)
    adapted = get_peft_model(model, LoraConfig(**lora_layers(model, r=4))).eval()
    generator = torch.Generator().manual_seed(2)
    for parameter in adapted.parameters():
        if parameter.requires_grad and shaken:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return adapted


def predict(model):
    with torch.no_grad():
        return model.eval()(inputs=random_codes()).predictions


@every
def test_lora_starts_as_nothing_and_merges_exactly(name):
    with plain_modules():
        before = predict(random_model(name))
        assert torch.equal(predict(adapted_model(name, shaken=False)), before)
    adapted = adapted_model(name)
    unmerged = predict(adapted)
    assert (unmerged - before).abs().max() > 1e-2
    # a fast path that overlooked a wrapped layer would predict something else
    with plain_modules():
        assert torch.allclose(predict(adapted), unmerged, atol=1e-6)
    exact = predict(adapted.double())
    merged = adapted.merge_and_unload()
    assert (predict(merged) - exact).abs().max() < 1e-10
    assert [type(module) for module in merged.modules()] == [type(module) for module in random_model(name).modules()]
    # in float32 too, to the digits that this processor's float32 has without merging
    rounding = (unmerged.double() - exact).abs().max()
    assert (predict(merged.float()).double() - exact).abs().max() < 10 * rounding + 1e-6


@every
def test_a_step_trains_all_of_an_adapter(name):
    adapted = adapted_model(name).train()
    shape = 2, 1, LENGTH // 4
    adapted(inputs=random_codes(), labels=torch.rand(shape), mappable=torch.ones(2, LENGTH)).loss.backward()
    trained = {key: parameter.grad for key, parameter in adapted.named_parameters() if parameter.requires_grad}
    # PEFT wraps an LSTM's parameters in each other, the last outermost: the one that multiplies a state of 0
    idle = {f"base_model.model.core.lstm.lora_{side}.default.weight" for side in "AB"}
    assert {key for key, grad in trained.items() if grad is None or not grad.any()} <= idle
    assert sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad) == adapter_size(
        random_model(name), r=4
    )


@every
def test_an_adapter_reloads_bit_for_bit(name, tmp_path):
    random_model(name).save_pretrained(tmp_path / "base")
    adapted = adapted_model(name)
    adapted.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    adapted.save_pretrained(tmp_path / "adapter")
    loaded = AutoModel.from_pretrained(tmp_path / "adapter")
    assert type(loaded) is AtacForTrackPrediction
    ours, theirs = adapted.base_model.model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    for key, tensor in ours.items():
        assert torch.equal(tensor, theirs[key]), key
    # weights mapped from a file lie elsewhere in memory, and an LSTM's products round by that
    assert torch.allclose(predict(loaded), predict(adapted), atol=1e-6)


@pytest.mark.parametrize("name", [name for name in PRESETS if not name.endswith(("-small", "-tiny"))])
def test_an_adapter_is_below_a_twentieth_of_a_published_model(name):
    with torch.device("meta"):
        model = AtacForTrackPrediction(AtacConfig.from_preset(name))
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert adapter_size(model, r=default_rank(model)) < 0.05 * num_parameters


def test_rank_of_a_small_layer():
    layers = lora_layers(random_model("convnext-xlstm-tiny"), r=8)
    # gates read 3 * 2 * 32 channels and write 4: rank 2, whose 2 * 196 numbers are fewer than 768
    assert layers["rank_pattern"]["core.stack.blocks.0.input_gate"] == 2
    assert layers["alpha_pattern"]["core.stack.blocks.0.input_gate"] == 4.0
    assert {"core.stack.blocks.0.query", "core.stack.blocks.0.conv", "core.tower.0.conv", "head"} <= set(
        layers["modules_to_save"]
    )
    # 4 heads of 128 / 4 channels
    layers = lora_layers(random_model("convnext-xlstm"), r=8)
    assert "core.stack.blocks.1.cell_gate.weight" in layers["target_parameters"]


def test_a_small_model_keeps_its_depthwise_convolutions_where_that_keeps_its_adapter_small():
    model = AtacForSequenceClassification(
        AtacConfig.from_preset("convnext-cnn-tiny", input_length=640, target_length=640, bin_size=64)
    )
    assert not any("layer.conv" in name for name in lora_layers(model, r=2)["modules_to_save"])
    assert adapter_size(model, r=2) < 0.05 * sum(parameter.numel() for parameter in model.parameters())


class Windows(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {
            "inputs": random_codes(1, seed=index)[0].numpy(),
            "labels": np.full((1, LENGTH // 4), float(index), np.float32),
        }


@every
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_two_steps_of_a_trainer_change_every_weight(name, tmp_path):
    model = random_model(name)
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=2, use_cpu=True, report_to=[],
        save_strategy="no", disable_tqdm=True, learning_rate=1e-2, weight_decay=0.0,
    )  # fmt: skip
    Trainer(model=model, args=arguments, train_dataset=Windows()).train()
    same = [key for key, parameter in model.named_parameters() if torch.equal(parameter, before[key])]
    # the first had no labels; the second multiplies the state before the backward LSTM's one step, which is 0
    assert {key.split(".")[0] for key in same if key != "core.lstm.weight_hh_l0_reverse"} <= {"mappability_head"}, same


@every
def test_classifier_keeps_the_trunk(name, tmp_path):
    model = random_model(name)
    model.save_pretrained(tmp_path)
    options = {"num_labels": 3, "ignore_mismatched_sizes": True}
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path, **options).eval()
    for key, tensor in classifier.state_dict().items():
        if not key.startswith("classifier."):
            assert torch.equal(tensor, model.state_dict()[key]), key
    output = classifier(random_codes(), labels=torch.tensor([0, 2]))
    assert output.logits.shape == (2, 3)
    assert torch.allclose(output.loss, torch.nn.functional.cross_entropy(output.logits, torch.tensor([0, 2])))


@pytest.mark.slow
@every
def test_compiled_equals_eager(name):
    model = random_model(name)
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=model._can_compile_fullgraph)(random_codes()).predictions
        assert torch.allclose(compiled, model(random_codes()).predictions, atol=2e-5)


def test_meta_device():
    for name in PRESETS:
        with torch.device("meta"):
            model = AtacForTrackPrediction(AtacConfig.from_preset(name))
        assert all(parameter.is_meta for parameter in model.parameters())
