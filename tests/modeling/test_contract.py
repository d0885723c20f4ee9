"""What every preset, and every textbook form of one, must do (design: "a contract test runs over every preset")."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from chromhub.modeling import PRESETS, AtacConfig, AtacForTrackPrediction, head_modules, lora_targets
from chromhub.modeling.one_hot import one_hot
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, AutoModelForSequenceClassification, Trainer, TrainingArguments

_spec = importlib.util.spec_from_file_location("random_models", Path(__file__).with_name("random_models.py"))
random_models = importlib.util.module_from_spec(_spec)
sys.modules["random_models"] = random_models
_spec.loader.exec_module(random_models)

random_codes, random_model, LENGTH = random_models.random_codes, random_models.random_model, random_models.LENGTH
every = pytest.mark.parametrize("name", random_models.EVERY)


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
    loaded = AutoModel.from_pretrained(tmp_path)
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


@every
def test_lora_starts_as_nothing_and_merges_exactly(name):
    model = random_model(name)
    targets = lora_targets(model)
    assert targets
    before = model(random_codes()).predictions.detach()
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=targets, modules_to_save=head_modules(model))).eval()
    # to rounding: the base runs on the fast path and the adapted model cannot
    assert torch.allclose(adapted(inputs=random_codes()).predictions, before, atol=2e-5)
    for key, parameter in adapted.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter, std=0.05)
    unmerged = adapted(inputs=random_codes()).predictions.detach()
    assert (unmerged - before).abs().max() > 1e-3
    assert torch.allclose(adapted.merge_and_unload()(random_codes()).predictions, unmerged, atol=2e-5)


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
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3).eval()
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
        compiled = torch.compile(model)(random_codes()).predictions
        assert torch.allclose(compiled, model(random_codes()).predictions, atol=2e-5)


def test_meta_device():
    for name in PRESETS:
        with torch.device("meta"):
            model = AtacForTrackPrediction(AtacConfig.from_preset(name))
        assert all(parameter.is_meta for parameter in model.parameters())
