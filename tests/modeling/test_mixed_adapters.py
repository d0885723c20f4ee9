"""Several adapters on one base: each set in turn, and each window of a batch with its own."""

from pathlib import Path

import pytest
import torch
from chromhub.modeling import AtacForTrackPrediction, lora_layers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModel

from .random_models import random_codes, random_model

CORES = ["cnn-tiny", "convnext-lstm-tiny", "convnext-dcnn-tiny", "convnext-transformer-tiny", "convnext-xlstm-tiny"]


def write_adapter(name, folder: Path, *, seed: int, r: int) -> Path:
    adapted = get_peft_model(model := random_model(name), LoraConfig(**lora_layers(model, r=r)))
    generator = torch.Generator().manual_seed(seed)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    adapted.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")  # transformers adds a second so
@pytest.mark.parametrize("name", CORES)
def test_each_window_with_its_own_adapter(name, tmp_path):
    base = random_model(name)
    expected = {"__base__": random_model(name)}
    base.save_pretrained(tmp_path / "base")
    base = AutoModel.from_pretrained(tmp_path / "base").eval()
    for adapter, r in (("k562", 2), ("hepg2", 4)):  # ranks may differ
        folder = write_adapter(name, tmp_path / adapter, seed=r, r=r)
        base.load_adapter(str(folder), adapter_name=adapter)
        expected[adapter] = PeftModel.from_pretrained(random_model(name), str(folder)).merge_and_unload().eval()
    inputs, names = random_codes(5), ["k562", "__base__", "hepg2", "k562", "hepg2"]

    def each(model):
        return torch.stack([expected[its].predict(window[None])[0] for its, window in zip(names, inputs, strict=True)])

    assert len({tuple(model.predict(inputs[:1]).flatten().tolist()) for model in expected.values()}) == 3
    for adapter in ("hepg2", "k562"):
        base.set_adapter(adapter)
        assert torch.allclose(base.predict(inputs), expected[adapter].predict(inputs), rtol=1e-4, atol=1e-4)
    assert torch.allclose(base.predict(inputs, adapter_names=names), each(base), rtol=1e-4, atol=1e-4)
    # the adapter that was set is set again, its head with it
    assert torch.allclose(base.predict(inputs), expected["k562"].predict(inputs), rtol=1e-4, atol=1e-4)
    target = base.predict(inputs, adapter_names=names, target_only=True)
    assert torch.allclose(target, each(base)[..., 32:96], rtol=1e-4, atol=1e-4)  # 512 bp, the central 256 in bins of 4


def test_names_that_do_not_fit_are_refused():
    model: AtacForTrackPrediction = random_model("dcnn-tiny")
    assert torch.equal(model.predict(random_codes(2), adapter_names=["__base__"] * 2), model.predict(random_codes(2)))
    with pytest.raises(
        ValueError, match=r"must name one of __base__ for each of 2 windows, got \['k562', '__base__'\]"
    ):
        model.predict(random_codes(2), adapter_names=["k562", "__base__"])
    with pytest.raises(ValueError, match="for each of 2 windows"):
        model.predict(random_codes(2), adapter_names=["__base__"])


@pytest.mark.parametrize("name", ["dcnn-tiny", "convnext-transformer-tiny"])
def test_pefts_own_mixed_batches_work_without_adapted_parameters(name, tmp_path):
    adapted = None
    for adapter, seed in (("k562", 1), ("hepg2", 2)):
        folder = write_adapter(name, tmp_path / adapter, seed=seed, r=2)
        if adapted is None:
            adapted = PeftModel.from_pretrained(random_model(name), str(folder), adapter_name=adapter).eval()
        else:
            adapted.load_adapter(str(folder), adapter_name=adapter)
    inputs, names = random_codes(3), ["hepg2", "k562", "__base__"]
    with torch.no_grad():
        together = adapted(inputs=inputs, adapter_names=names).predictions
        adapted.set_adapter("hepg2")
        assert torch.allclose(together[:1], adapted(inputs=inputs[:1]).predictions, atol=1e-4)
        adapted.set_adapter("k562")
        assert torch.allclose(together[1:2], adapted(inputs=inputs[1:2]).predictions, atol=1e-4)
        assert torch.allclose(together[2:], random_model(name)(inputs[2:]).predictions, atol=1e-4)
