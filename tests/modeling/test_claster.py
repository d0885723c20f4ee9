import json
from pathlib import Path

import numpy as np
import pytest
import torch
from chromhub.modeling import CLASTER_PRESETS, ClasterConfig, ClasterForProfileRegression, lora_layers
from chromhub.modeling.claster_blocks import Branch, FusionBlock, StochasticDepth
from chromhub.modeling.claster_plan import plan_layers
from huggingface_hub.errors import StrictDataclassError
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModel

from ..without_chromhub import run_without_chromhub, save_with_code
from . import parity

FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"
TOTALS = {  # of the source's framework, instantiated with the published settings
    "claster-landscape": 2_205_888,
    "claster-attention": 2_229_758,
    "claster": 3_180_446,
    "claster-square": 8_201_478,
    "claster-capture": 2_929_947,
    "claster-20kb": 1_092_547,
}
SMALL = {
    "input_tracks": ["a", "b", "c"],
    "num_input_bins": 81,
    "num_tracks": 2,
    "num_bins": 11,
    "landscape": {"layers": [1, 1], "base_channels": 4, "features": 12, "kernel_size": 6},
    "fusion_size": 10,
}
ROTATED = {"form": "rotated", "shape": [5, 23], "layers": [1], "base_channels": 4, "features": 7, "kernel_size": 5}
SQUARE = {"form": "square", "shape": [17, 17], "layers": [1], "base_channels": 2, "features": 7, "kernel_size": 4}
VARIANTS = {
    "landscape": {},
    "channels": {"landscape": {**SMALL["landscape"], "attention": "channels"}},
    "positions": {"landscape": {**SMALL["landscape"], "attention": "positions"}},
    "rotated": {"structure": ROTATED},
    "square": {"structure": SQUARE},
}
every = pytest.mark.parametrize("variant", VARIANTS)


def small_model(variant: str = "landscape", **overrides) -> ClasterForProfileRegression:
    torch.manual_seed(0)
    model = ClasterForProfileRegression(ClasterConfig(**{**SMALL, **VARIANTS[variant], **overrides})).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # what starts as 0 or 1 must matter
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def inputs_for(model: ClasterForProfileRegression, batch: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    landscape, *others = model.config.branches
    inputs = {"inputs": torch.rand(batch, *landscape.shape, generator=generator)}
    if others:
        inputs["contact_map"] = -4 + torch.randn(batch, *others[0].shape, generator=generator)
    return inputs


@pytest.mark.parametrize(("preset", "total"), TOTALS.items())
def test_totals_are_those_of_the_source(preset, total):
    with torch.device("meta"):
        model = ClasterForProfileRegression(ClasterConfig.from_preset(preset))
    assert sum(parameter.numel() for parameter in model.parameters()) == total


def test_three_tracks_are_those_of_the_source():
    config = ClasterConfig(input_tracks=["ATAC-seq", "H3K4me3", "H3K27me3"])
    with torch.device("meta"):
        branch = Branch(config.branches[0])
    assert sum(parameter.numel() for parameter in branch.parameters()) == 1_630_620


def our_name(name: str) -> str:
    """Return our name of a reference tensor."""
    for theirs, ours in (
        ("pos_representation.embedding", "position.weight"),
        ("conv.0.conv_1.", "stem."),
        ("downsample_identity.0.", "shortcut."),
        ("downsample_identity.", "shortcut."),
        ("se_block.conv_down.", "excite.down."),
        ("se_block.conv_up.", "excite.up."),
        ("se_block.act_1.weight", "excite.activation.beta"),
        ("fc.fc_1_norm_1.", "norm."),
        ("fc.fc_1_act_1.weight", "activation.beta"),
        ("fc.fc_1_linear_1.", "features."),
        ("conv.9.encoder.layers.", "attention."),
        ("self_attn.in_proj_", "qkv."),
        ("self_attn.out_proj.", "out."),
        ("act_1.weight", "activation.beta"),
        ("norm_1.", "norm."),
        ("conv_1.", "conv1."),
        ("conv_2.", "conv2."),
        ("fc_1.", "linear1."),
        ("fc_2.", "linear2."),
    ):
        name = name.replace(theirs, ours)
    parts = name.split(".")
    return ".".join(["blocks", str(int(parts[1]) - 1), *parts[2:]]) if parts[0] == "conv" else name


def load_reference(module: nn.Module, name: str, fixture: dict) -> nn.Module:
    """Fill a module of ours with the formula weights of a reference module."""
    state = {}
    for key, shape in fixture["modules"][name]["tensors"].items():
        full = f"{name}.{key}"
        if key.endswith("embedding"):  # a rule of this fixture alone
            rng = np.random.default_rng([fixture["seed"], parity.zlib.crc32(full.encode())])
            drawn = (0.1 * rng.standard_normal(shape)).astype(np.float32)
        else:
            drawn = parity.formula_weight(full, shape, fixture["seed"])
        state[our_name(key)] = torch.from_numpy(drawn)
    own = module.state_dict()
    assert set(state) == set(own)
    module.load_state_dict({key: tensor.reshape(own[key].shape) for key, tensor in state.items()})
    return module.double().eval()


@pytest.fixture(scope="module")
def reference() -> tuple[dict, dict[str, np.ndarray]]:
    if not (FIXTURES / "claster_parity.npz").exists():
        pytest.skip("no reference outputs in ../shared/fixtures")
    outputs = np.load(FIXTURES / "claster_parity.npz")
    return json.loads((FIXTURES / "claster_parity.json").read_text()), {name: outputs[name] for name in outputs}


def test_modules_compute_what_the_source_does(reference):
    fixture, outputs = reference
    rng = np.random.default_rng([fixture["seed"], 10001])
    landscape = torch.from_numpy(rng.gamma(0.3, 2.0, (2, 4, 10001)).astype(np.float32)).double()
    contact_map = torch.from_numpy((rng.standard_normal((2, 129, 626)) * 2 - 4).astype(np.float32)).double()
    plain, rotated = ClasterConfig.from_preset("claster").branches
    attention = ClasterConfig.from_preset("claster-attention").branches[0]
    with torch.no_grad():
        ours = {
            "landscape": load_reference(Branch(plain), "landscape", fixture)(landscape),
            "landscape_attention": load_reference(Branch(attention), "landscape_attention", fixture)(landscape),
            "structure_rotated": load_reference(Branch(rotated), "structure_rotated", fixture)(contact_map),
        }
        config = ClasterConfig.from_preset("claster")
        blocks = nn.Sequential(FusionBlock(1024, config), FusionBlock(256, config))
        blocks = load_reference(blocks, "fusion", fixture)
        ours["fusion"] = blocks(torch.cat([ours["landscape"], ours["structure_rotated"]], -1))
        ours["head"] = load_reference(nn.Linear(256, 401), "head", fixture)(ours["fusion"])
    for name, expected in outputs.items():
        assert np.abs(ours[name].numpy() - expected).max() < 1e-5, name


@every
def test_save_and_load_bit_equal(variant, tmp_path):
    model = small_model(variant)
    model.set_normalisation(landscape_mean=0.4, landscape_std=2.0, target_mean=np.arange(22).reshape(2, 11))
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert type(loaded) is ClasterForProfileRegression
    for (name, ours), (other, theirs) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(ours, theirs), name
    inputs = inputs_for(model)
    assert torch.equal(model(**inputs).predictions, loaded(**inputs).predictions)
    assert AutoConfig.from_pretrained(tmp_path).to_dict()["landscape"] == model.config.landscape


@every
def test_batch_size_is_irrelevant_and_inputs_matter(variant):
    model = small_model(variant)
    inputs = inputs_for(model)
    with torch.no_grad():
        together = model(**inputs)
        alone = torch.cat([model(**{name: t[i : i + 1] for name, t in inputs.items()}).logits for i in range(3)])
        assert together.logits.shape == (3, 2, 11)
        assert torch.allclose(together.logits, alone, atol=1e-5)
        for name in inputs:
            other = model(**{**inputs, name: inputs[name] + torch.randn_like(inputs[name])})
            assert (other.logits - together.logits).abs().max() > 1e-3, name


def test_scales_and_loss_by_hand():
    model = small_model()
    # inputs count in deviations from their mean
    inputs = inputs_for(model)["inputs"]
    plain = model(inputs)
    model.set_normalisation(landscape_mean=3, landscape_std=2, target_mean=[[1.0] * 11, [5.0] * 11])
    assert torch.allclose(model(3 + 2 * inputs).logits, plain.logits, atol=1e-4)
    model.set_normalisation(target_std=[[2.0] * 11, [0.0] * 11])  # 0 counts as 1
    output = model(3 + 2 * inputs)
    assert torch.allclose(output.unclipped_predictions[:, 0], 2 * output.logits[:, 0] + 1)
    assert torch.allclose(output.unclipped_predictions[:, 1], output.logits[:, 1] + 5)
    assert torch.equal(output.predictions, output.unclipped_predictions.clamp(min=0))
    assert torch.equal(model.to_signal(output.logits), output.predictions)
    # off by half a deviation: .5 * .5^2 = .125; by three: 3 - .5 = 2.5; half the bins each: 1.3125
    off = torch.cat([torch.full((3, 1, 11), 0.5), torch.full((3, 1, 11), -3.0)], 1)
    labels = model.to_signal(output.logits + off, clip=False)
    assert model(3 + 2 * inputs, labels=labels).loss.item() == pytest.approx(1.3125, rel=1e-4)
    mask = torch.zeros(3, 2, 11)
    mask[:, 1] = 1
    assert model(3 + 2 * inputs, labels=labels, mask=mask).loss.item() == pytest.approx(2.5, rel=1e-4)
    model.config.clip_predictions = False
    assert torch.equal(model(3 + 2 * inputs).predictions, output.unclipped_predictions)


def test_a_fresh_model_starts_as_the_source_does():
    torch.manual_seed(0)
    model = ClasterForProfileRegression(ClasterConfig.from_preset("claster"))
    assert not model.landscape.position.weight.any()
    # Kaiming normal by the fan out of a kernel over all four rows, slope .5: sqrt(2 / 1.25 / (64 * 4 * 10))
    assert model.landscape.stem.weight.std().item() == pytest.approx((1.6 / 2560) ** 0.5, rel=0.05)
    assert model.landscape.blocks[0].conv1.weight.std().item() == pytest.approx((1.6 / 320) ** 0.5, rel=0.05)
    assert model.structure.stem.weight.std().item() == pytest.approx((1.6 / (32 * 129 * 10)) ** 0.5, rel=0.05)
    assert all(parameter.item() == 1 for name, parameter in model.named_parameters() if name.endswith("beta"))
    assert (model.landscape_mean, model.contact_std) == (0, 1)


def test_a_block_is_skipped_for_the_whole_batch():
    layer = StochasticDepth(0.25).train()
    torch.manual_seed(0)
    ones = torch.ones(3, 2)
    seen = [layer(ones) for _ in range(200)]
    assert all(torch.equal(s, torch.zeros(3, 2)) or torch.allclose(s, torch.full((3, 2), 4 / 3)) for s in seen)
    assert sum(bool(s.any()) for s in seen) == pytest.approx(150, abs=20)
    assert torch.equal(layer.eval()(ones), ones)


def test_an_adapter_keeps_the_scale_of_its_own_targets(tmp_path):
    model = small_model("rotated")
    inputs = inputs_for(model)
    with torch.no_grad():
        before = model(**inputs).logits
    model.save_pretrained(tmp_path / "base")
    adapted = get_peft_model(model, LoraConfig(**lora_layers(model, r=2)))
    with torch.no_grad():
        assert torch.equal(adapted(**inputs).logits, before)
        adapted.base_model.model.head.modules_to_save["default"].target_mean.fill_(7.0)
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
        after = adapted(**inputs)
    adapted.save_pretrained(tmp_path / "adapter")
    base = AutoModel.from_pretrained(tmp_path / "base").eval()
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).predictions, after.predictions)
        merged = loaded.merge_and_unload()(**inputs)
    assert torch.allclose(merged.predictions, after.predictions, rtol=1e-4, atol=1e-3)
    assert (after.logits - before).abs().max() > 1e-2


def test_other_shapes_have_a_plan():
    config = ClasterConfig(input_tracks=["x"], num_input_bins=601, num_bins=61, landscape={"layers": [2, 1]})
    # (601 + 8 - 10) // 2 + 1 = 300, then 150, 75, 37
    assert config.branches[0].sizes == [300, 150, 75, 37]
    assert [layer["inner_dilation"] for layer in config.landscape["plan"]] == [1, 2, 4, 8]
    # 2 ** 5 no longer fits: 8 * 32 >= 19, 8 * 2 < 19
    plan = plan_layers(601, layers=[5], base_channels=4, first_expansion=1, kernel_size=9, stride=2, dilation=2)
    assert plan[-1].inner_dilation == 2
    assert config.to_dict()["landscape"]["plan"][0]["channels"] == 64
    wider = ClasterConfig.from_preset("claster", num_input_bins=801)
    assert wider.branches[0].shape == [4, 801]
    assert wider.structure == ClasterConfig.from_preset("claster").structure


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"landscape": {"layer": [1]}}, "`landscape` has no key 'layer'; did you mean 'layers'"),
        ({"structure": ROTATED | {"form": "landscape"}}, "`structure.form` must be rotated or square"),
        ({"structure": SQUARE | {"shape": [17, 18]}}, "must hold one number twice"),
        ({"structure": {"form": "rotated"}}, "`structure.shape` must hold rows and positions"),
        ({"num_bins": 10}, "must be odd"),
        ({"track_names": ["one"]}, "`track_names` must hold 2 names"),
        ({"target_grid": "left"}, "`target_grid` must be centred or source, got 'left'"),
        ({"num_input_bins": 3}, "leave nothing of 3 positions"),
        ({"fusion_size": "9"}, "fusion_size"),
    ],
)
def test_a_wrong_configuration_is_refused(fields, message):
    with pytest.raises((StrictDataclassError, ValueError), match=message):
        ClasterConfig(**{**SMALL, **fields})


def test_wrong_inputs_are_refused():
    model = small_model("rotated")
    good = inputs_for(model)
    for changed, message in (
        ({"inputs": torch.zeros(2, 81)}, r"`inputs` must have shape \(B, 3, 81\), got \(2, 81\)"),
        ({"contact_map": torch.zeros(3, 5, 22)}, r"`contact_map` must have shape \(B, 5, 23\)"),
        ({"contact_map": None}, "`contact_map` must be given"),
        ({"labels": torch.zeros(3, 11)}, r"`labels` must have shape \(3, 2, 11\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model(**{**good, **changed})
    with pytest.raises(ValueError, match="without `structure`"):
        small_model()(**good)
    with pytest.raises(ValueError, match="a statistic must be one of"):
        model.set_normalisation(mean=1)
    with pytest.raises(ValueError, match=r"`target_mean` must be finite with shape \(2, 11\)"):
        model.set_normalisation(target_mean=[0.0])
    with pytest.raises(ValueError, match="preset must be one of"):
        ClasterConfig.from_preset("clasters")
    assert set(CLASTER_PRESETS) == {*TOTALS, "claster-tiny", "claster-tiny-contacts"}


LOAD = """
import sys

import torch
from transformers import AutoModel

model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True).eval()
with torch.no_grad():
    torch.save(model(**torch.load(sys.argv[1] + "/inputs.pt")).predictions, sys.argv[1] + "/outputs.pt")
"""


def test_loads_and_predicts_without_chromhub(tmp_path):
    model = small_model("rotated")
    model.set_normalisation(landscape_mean=0.3, target_mean=np.full((2, 11), 4.0))
    folder = tmp_path / "model"
    save_with_code(model, folder)
    torch.save(inputs_for(model), folder / "inputs.pt")
    run_without_chromhub(LOAD, folder, folder=tmp_path)
    with torch.no_grad():
        ours = model(**inputs_for(model)).predictions
    assert torch.allclose(torch.load(folder / "outputs.pt"), ours, atol=1e-5)
