import json
from pathlib import Path

import pytest
import torch
from chromhub.inference.architecture import Reach, count_flops, describe, measure_reach
from chromhub.modeling import (
    CHROMTRANSFER_PRESETS,
    PRESETS,
    AtacConfig,
    AtacForSequenceClassification,
    AtacForTrackPrediction,
    ChromTransferConfig,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig

from tests.hub_models.toy_run import toy_adapter, toy_run

TINY = sorted(name for name in PRESETS if name.endswith("-tiny"))
EVERYTHING = Reach(None, None)


def small_grid(preset: str, **overrides) -> AtacConfig:
    return AtacConfig.from_preset(preset, **{"input_length": 512, "target_length": 256, **overrides})


def flops(config: AtacConfig) -> int:
    with torch.device("meta"):
        return count_flops(AtacForTrackPrediction(config), config.input_length)


def test_flops_of_convolutions_and_lstm_by_hand():
    convolution = 2 * 487 * 32 * (4 * 26)  # 512 - 25 positions
    lstm = 2 * 121 * 2 * (4 * 32) * (32 + 32)  # two directions, 487 // 4 steps; all of both, which no fast path cuts
    assert flops(small_grid("lstm-tiny")) == convolution + lstm + 2 * 64 * 32 + 2 * 32 * 128  # dense, head


@pytest.mark.parametrize("preset", ["lstm-tiny", "convnext-lstm-tiny"])
def test_an_lstm_is_counted_as_its_products_are(preset):
    config = small_grid(preset, input_length=64, target_length=32)
    with torch.device("meta"):
        model = AtacForTrackPrediction(config).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 4, 64, device="meta"))
    assert count_flops(model, 64) == counter.get_total_flops()
    assert count_flops(model, 64) == counter.get_total_flops()  # nothing is left in the model


def test_flops_of_attention_by_hand():
    stem = 2 * 512 * 32 * (4 * 15) + 2 * 2 * 512 * 32 * 128  # convolution, two pointwise layers
    tower = 2 * (2 * 128 * 32 * 7 + 2 * 2 * 128 * 32 * 128)  # two blocks on 128 tokens, depthwise
    attention = 4 * 2 * 128 * 32 * 32 + 2 * 2 * 128 * 128 * 32  # four projections; scores and their values
    layers = 2 * (attention + 2 * 2 * 128 * 32 * 64)
    assert flops(small_grid("convnext-transformer-tiny")) == stem + tower + layers + 2 * 128 * 32


def test_flops_of_the_slstm_by_hand():
    core = {"slstm_at": [0], "num_blocks": 1, "tower_blocks": 0}
    convolution = 2 * 512 * 32 * (4 * 15)
    scan = 2 * 128 * 4 * (4 * 8 * 8)  # 4 heads of 8 channels, 4 gates
    gates = 2 * 128 * 4 * 4 * (8 * 8)  # from the inputs
    causal = 2 * 128 * 32 * 4
    feedforward = 2 * 128 * 32 * 128 + 2 * 128 * 64 * 32
    expected = convolution + scan + gates + causal + feedforward + 2 * 128 * 32
    assert flops(small_grid("conv-xlstm-tiny", core=core)) == expected


@pytest.mark.parametrize(("pool_left_padding", "expected"), [(1, Reach(350, 348)), (0, Reach(349, 349))])
def test_reach_of_the_dilated_core(pool_left_padding, expected):
    # asap_spec a.3: bin b sees bp 4b - 350 to 4b + 3 + 348; without the reference's padding one base further right
    core = {"pool_left_padding": pool_left_padding, "feature_channels": 32}
    config = AtacConfig.from_preset("dcnn-small", stem={"channels": 32}, core=core)
    assert measure_reach(config) == (expected, expected)


def test_grn_joins_the_whole_window():
    core = {"feature_channels": 32}
    reach, local = measure_reach(AtacConfig.from_preset("convnext-dcnn-small", stem={"channels": 32}, core=core))
    assert (reach, local) == (EVERYTHING, Reach(350, 348))


def test_reach_of_recurrence_and_attention():
    assert measure_reach(small_grid("lstm-tiny"))[0] == EVERYTHING
    assert (
        measure_reach(small_grid("lstm-tiny", stem={"padding": "same"}, core={"output": "position"}))[0] == EVERYTHING
    )
    assert measure_reach(small_grid("conv-transformer-tiny"))[0] == EVERYTHING
    # without GRN the reference's xLSTM is causal: to a bin's right only what the stem (7 bp) and the tower's two blocks
    # (3 steps of 4 bp each) bring
    assert measure_reach(small_grid("conv-xlstm-tiny"))[0] == Reach(None, 7 + 2 * 3 * 4)
    assert measure_reach(small_grid("conv-xlstm-tiny", core={"bidirectional": True}))[0] == EVERYTHING


def test_reach_is_what_a_mutation_changes():
    """Measured otherwise: by changing bases."""
    config = small_grid("dcnn-tiny", input_length=1024)
    _, reach = measure_reach(config)
    model = AtacForTrackPrediction(config).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.ones_(module.weight)
    inputs = torch.rand(8, 4, 1024, dtype=torch.float64)
    first, last = 512 - reach.left, 515 + reach.right

    def changed(where: slice) -> bool:
        other = inputs.clone()
        other[..., where] = 1 - other[..., where]
        with torch.no_grad():
            return not torch.equal(model(inputs).predictions[..., 128], model(other).predictions[..., 128])

    assert not changed(slice(None, first))
    assert not changed(slice(last + 1, None))
    assert changed(slice(None, first + 8))
    assert changed(slice(last - 7, None))


@pytest.mark.parametrize("preset", CHROMTRANSFER_PRESETS)
def test_chromtransfer(hub, preset):
    found = describe(f"chromtransfer-{preset}")
    reach = ChromTransferConfig().receptive_field
    assert found.local_reach == Reach(98, 103)
    assert reach == 98 + 1 + 103
    assert (found.reach, found.lengths, found.bin_size) == (EVERYTHING, "any", 0)
    assert len(found.outputs) == (7 if preset == "multiclass" else 1)
    assert not hub.log


@pytest.mark.parametrize("preset", TINY)
def test_every_preset(hub, preset):
    found = describe(preset)
    model = AtacForTrackPrediction(AtacConfig.from_preset(preset))
    assert found.parameters == found.trainable_parameters == sum(p.numel() for p in model.parameters())
    assert f"{found.stem}-{found.core}" == f"{model.config.stem['type']}-{model.config.core['type']}"
    assert found.flops > 100 * found.parameters  # almost every weight serves many positions
    if "convnext" in preset or found.core in ("lstm", "transformer") or preset == "cnn-tiny":
        assert found.reach == EVERYTHING
    else:
        assert found.reach == found.local_reach != EVERYTHING
    assert found.to_dict()["reach"]["in_words"] == str(found.reach)
    assert not hub.log


@pytest.mark.parametrize("preset", TINY)
def test_lengths_are_those_that_work(preset):
    config = AtacConfig.from_preset(preset)
    words, model = describe(preset).lengths, AtacForTrackPrediction(config).eval()
    if words == "2048 bp only":
        good, bad = 2048, 2112
    else:
        multiple = int(words.removeprefix("any multiple of ").removesuffix(" bp"))
        good, bad = 5 * multiple, 5 * multiple + multiple // 2
    with torch.no_grad():
        assert model(torch.zeros(1, good, dtype=torch.uint8)).predictions.shape == (1, 1, good // 4)
        with pytest.raises(ValueError, match="`inputs` must be"):
            model(torch.zeros(1, bad, dtype=torch.uint8))


def test_folders(tmp_path, tiny_model, hub):
    run = toy_run(tmp_path / "run", tiny_model)
    found, preset = describe(str(run)), describe("convnext-dcnn-tiny")
    assert found.parameters == preset.parameters
    assert (found.kind, found.outputs, found.reach) == ("AtacForTrackPrediction", ("track_0",), EVERYTHING)
    adapter = describe(str(toy_adapter(tmp_path / "adapter", tiny_model, run)))
    assert adapter.kind == f"LoRA adapter of {run}, AtacForTrackPrediction"
    assert 0 < adapter.trainable_parameters < adapter.parameters == found.parameters + adapter.trainable_parameters
    assert (adapter.genome, adapter.flops) == ("sacCer3", found.flops)
    config = AtacConfig.from_preset("dcnn-tiny", num_labels=3)
    AtacForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
    classifier = describe(str(tmp_path / "classifier"))
    assert classifier.kind == "AtacForSequenceClassification"
    assert (classifier.reach, classifier.local_reach) == (EVERYTHING, Reach(106, 104))
    assert classifier.outputs == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert not hub.log


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("convnext-dcn", "no Hub id such as org/name; did you mean convnext-dcnn or"),
        ("enformer", "presets are cnn, lstm, dcnn"),
        ("./missing", "no model folder './missing'"),
        ("~/missing", "no model folder '~/missing'"),
    ],
)
def test_names_that_are_nothing(hub, name, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        describe(name)
    assert not hub.log


def test_other_models(tmp_path):
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a model of type 'bert', which is none of chromhub's"):
        describe(str(tmp_path))


def test_hub(hub, tmp_path, tiny_model):
    tiny_model.config.genome = "sacCer3"
    tiny_model.push_to_hub("org/tiny")
    assert describe("org/tiny").genome == "sacCer3"
    with pytest.raises(OSError, match="org/missing"):
        describe("org/missing")


def test_committed_results_are_what_is_counted():
    """benchmarks/architectures.py wrote them; the README's table is made of them."""
    results = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "architectures.json").read_text())
    assert set(results) >= {name for name in PRESETS if not name.endswith("-tiny")}
    for name, found in results.items():
        if name in PRESETS:
            with torch.device("meta"):
                model = AtacForTrackPrediction(AtacConfig.from_preset(name))
            assert found["parameters"] == sum(parameter.numel() for parameter in model.parameters()), name
            assert found["flops"] == count_flops(model, 2048), name
