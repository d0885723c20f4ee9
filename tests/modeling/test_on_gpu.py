"""Every model on a CUDA device: outputs and gradients are those of the plain modules on the CPU.

`pytest -m gpu` runs them on a card; `-m gpu --gpu-device cpu` tries the tests themselves.
"""

import copy
from typing import Any

import pytest
import torch
from chromhub.inference.cpu import computing
from chromhub.modeling import CLASTER_PRESETS, PRESETS, AtacConfig, AtacForTrackPrediction, lora_layers
from chromhub.modeling.claster_blocks import StochasticDepth
from chromhub.modeling.fast_path import plain_modules
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from transformers import AutoModel

from . import test_chromtransfer as chromtransfer
from . import test_claster as claster
from .random_models import EVERY, LENGTH, random_codes, random_model, randomise
from .test_mixed_adapters import write_adapter

pytestmark = pytest.mark.gpu
every = pytest.mark.parametrize("name", EVERY)
CORES = ["convnext-dcnn-tiny", "lstm-tiny", "convnext-transformer-tiny", "convnext-xlstm-tiny"]
FULL = [name for name in PRESETS if not name.endswith(("-tiny", "-small"))]
FLOAT32 = 1e-4
# What rounding to bfloat16, 3e-3 an operation, comes to in outputs and gradients of these random models; about twice
# what it is on a CPU. A gate of xLSTM is an exponential, ChromTransfer is normalised by a batch of 4.
BFLOAT16 = {"": (2e-2, 0.15), "xlstm": (0.12, 0.15), "transformer": (3e-2, 0.15), "chromtransfer": (2e-2, 0.5)}


def without_dropout(model: nn.Module) -> Any:
    """Switch off what is random in training."""
    for module in model.modules():
        if isinstance(module, _DropoutNd | StochasticDepth):
            module.p = 0.0
        for name in ("dropout", "dropout_rate"):  # of attention, and of recurrent layers
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


def relative(found: Tensor, expected: Tensor) -> float:
    """Return the norm of the difference over the norm."""
    return float((found.cpu().double() - expected.double()).norm() / expected.double().norm().clamp(min=1e-12))


def outcome(model: Any, inputs: dict[str, Tensor], device: torch.device, *, bf16: bool) -> tuple[Tensor, Tensor]:
    """Return the output in evaluation and all gradients in training, in one line."""
    model = without_dropout(copy.deepcopy(model)).to(device)
    inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
    with computing(device, bf16=bf16):
        with torch.no_grad():
            output = model.eval()(**inputs)
        loss = model.train()(**inputs).loss
    loss.backward()
    kept = output.get("predictions", output.get("logits"))
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return kept.detach().float().cpu(), torch.cat(gradients).float().cpu()


def check(model: Any, inputs: dict[str, Tensor], device: torch.device, name: str = "") -> None:
    """Compare with the CPU, in float32 and in bfloat16."""
    with plain_modules():
        output, gradient = outcome(model, inputs, torch.device("cpu"), bf16=False)
    found, found_gradient = outcome(model, inputs, device, bf16=False)
    assert torch.isfinite(found_gradient).all()
    assert relative(found, output) < FLOAT32
    assert relative(found_gradient, gradient) < FLOAT32
    rounded, rounded_gradient = outcome(model, inputs, device, bf16=True)
    bounds = next(bounds for kind, bounds in reversed(BFLOAT16.items()) if kind in name)
    assert (relative(rounded, output) < bounds[0], relative(rounded_gradient, gradient) < bounds[1]) == (True, True)


def track_inputs(length: int = LENGTH, batch: int = 4) -> dict[str, Tensor]:
    signal = torch.rand(batch, 1, length // 4, generator=torch.Generator().manual_seed(0)) * 3
    return {"inputs": random_codes(batch, length), "labels": signal}


@every
def test_a_small_preset(name, device):
    check(random_model(name), track_inputs(), device, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_a_whole_preset(name, device):
    torch.manual_seed(0)
    model = randomise(AtacForTrackPrediction(AtacConfig.from_preset(name)))
    check(model, track_inputs(2048, 2), device, name)


def test_chromtransfer(device):
    model = chromtransfer.small_model()
    labels = torch.tensor([0.0, 1.0, 1.0, 0.0])
    check(model, {"inputs": chromtransfer.codes(4), "labels": labels}, device, "chromtransfer")


@pytest.mark.parametrize("variant", claster.VARIANTS)
def test_claster(variant, device):
    model = claster.small_model(variant)
    inputs = claster.inputs_for(model)
    labels = torch.rand(3, model.config.num_tracks, model.config.num_bins, generator=torch.Generator().manual_seed(3))
    check(model, {**inputs, "labels": labels}, device)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASTER_PRESETS)
def test_a_whole_claster(name, device):
    from chromhub.modeling import ClasterConfig, ClasterForProfileRegression

    torch.manual_seed(0)
    model = ClasterForProfileRegression(ClasterConfig.from_preset(name))
    labels = torch.rand(3, model.config.num_tracks, model.config.num_bins, generator=torch.Generator().manual_seed(3))
    check(model, {**claster.inputs_for(model), "labels": labels}, device)


@every
def test_a_preset_predicts_from_codes_anywhere(name, device):
    model = random_model(name)
    with plain_modules():
        expected = model.predict(random_codes(5))
    moved = model.to(device)
    with computing(device, bf16=False):
        found = moved.predict(random_codes(5))  # as they come, from the CPU
        alone = torch.cat([moved.predict(random_codes(5)[i : i + 1].to(device)) for i in range(5)])
    assert found.device.type == device.type
    assert relative(found, expected) < FLOAT32
    assert relative(alone, expected) < FLOAT32


@pytest.mark.parametrize(
    "name", ["convnext-dcnn-tiny", "lstm-tiny", "convnext-transformer-tiny", "convnext-xlstm-tiny"]
)
def test_an_adapter_starts_as_nothing_and_merges(name, device):
    model = random_model(name).to(device)
    inputs = random_codes().to(device)
    with torch.no_grad(), computing(device, bf16=False):
        before = model(inputs).predictions
        adapted: Any = get_peft_model(model, LoraConfig(**lora_layers(model, r=4))).eval()
        assert relative(adapted(inputs=inputs).predictions, before.cpu()) < 1e-6
        generator = torch.Generator().manual_seed(2)
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_((torch.randn(parameter.shape, generator=generator) * 0.05).to(device))
        unmerged = adapted(inputs=inputs).predictions.cpu()
        assert relative(unmerged, before.cpu()) > 1e-3
        assert relative(adapted.merge_and_unload()(inputs).predictions, unmerged) < FLOAT32


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
def test_each_window_has_its_own_adapter(tmp_path, device):
    name = "convnext-dcnn-tiny"
    random_model(name).save_pretrained(tmp_path / "base")
    base = AutoModel.from_pretrained(tmp_path / "base").eval()
    for adapter, r in (("k562", 2), ("hepg2", 4)):
        base.load_adapter(str(write_adapter(name, tmp_path / adapter, seed=r, r=r)), adapter_name=adapter)
    inputs, names = random_codes(5), ["k562", "__base__", "hepg2", "k562", "hepg2"]
    with plain_modules():
        expected = base.predict(inputs, adapter_names=names)
    with computing(device, bf16=False):
        found = base.to(device).predict(inputs, adapter_names=names)
    assert relative(found, expected) < FLOAT32


@pytest.mark.parametrize("name", ["convnext-dcnn-tiny", "convnext-transformer-tiny", "convnext-xlstm-tiny"])
def test_checkpointing_changes_no_gradient(name, device):
    found = []
    for checkpointing in (False, True):
        model = without_dropout(random_model(name)).to(device).train()
        if checkpointing:
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        with computing(device, bf16=False):
            loss = model(**{key: tensor.to(device) for key, tensor in track_inputs().items()}).loss
        loss.backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).cpu())
    assert relative(found[1], found[0]) < FLOAT32


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("name", sorted(name for name in EVERY if name.endswith("-tiny")))
def test_compiled_equals_eager_on_every_batch(name, device):
    """In one graph, which serves the last, smaller batch too."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    # On a CPU the graph alone is tried: there the compiler takes minutes.
    backend = "inductor" if device.type == "cuda" else "aot_eager"
    model = without_dropout(random_model(name)).to(device)
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    counts = []
    with computing(device, bf16=False):
        for size in (4, 3):
            inputs = {key: tensor.to(device) for key, tensor in track_inputs(batch=size).items()}
            with torch.no_grad():
                expected = model(**inputs).predictions.cpu()
                assert relative(compiled(**inputs).predictions, expected) < FLOAT32
            counts.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert counts[0] == counts[1] == 1
    assert not torch._dynamo.utils.counters["graph_break"]
    model.train()
    with computing(device, bf16=False):
        loss, expected = compiled(**inputs).loss, model(**inputs).loss
    loss.backward()
    assert relative(loss.detach(), expected.detach().cpu()) < FLOAT32
