import importlib.util
import json
import pickle
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from chromhub.hub_models.asap_names import detect_architecture, to_chromhub, to_reference
from chromhub.hub_models.convert import Converted, _check_loaded, convert
from chromhub.hub_models.convert_asap import convert_state, trained_numbers
from chromhub.modeling import AtacForTrackPrediction, DnaFeatureExtractor
from torch import Tensor, nn
from transformers import AutoModel

from tests.modeling.parity import formula_weight

# The LSTM's tensors, the shortest list of the eight.
LSTM = {
    "conv1.weight": (256, 4, 26),
    "conv1.bias": (256,),
    **{f"lstm.{kind}_l0{way}": (1024, 256) for way in ("", "_reverse") for kind in ("weight_ih", "weight_hh")},
    **{f"lstm.{kind}_l0{way}": (1024,) for way in ("", "_reverse") for kind in ("bias_ih", "bias_hh")},
    "fc1.weight": (256, 512),
    "fc1.bias": (256,),
    "fc2.weight": (512, 256),
    "fc2.bias": (512,),
}


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(formula_weight(name, list(shape), 0)) for name, shape in shapes.items()}


def saved(folder: Path, state: object) -> Path:
    torch.save(state, folder / "checkpoint.pth")
    return folder / "checkpoint.pth"


@pytest.fixture(autouse=True)
def _no_asap(monkeypatch):
    """Convert as where the package is not installed; a test that wants it says so."""
    monkeypatch.setitem(sys.modules, "asap", None)
    monkeypatch.setitem(sys.modules, "asap.models", None)


ARCHITECTURES = [
    "cnn",
    "lstm",
    "dcnn",
    "convnext_cnn",
    "convnext_lstm",
    "convnext_dcnn",
    "convnext_transformer",
    "convnext_xlstm",
]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_predicts_what_the_reference_does(shared, tmp_path, name):
    facts = json.loads((shared / "fixtures" / "asap_parity.json").read_text())
    reference = facts["models"][name]
    state = weights(reference["tensors"])
    if name == "convnext_xlstm":  # some versions keep the mask
        state |= {
            f"core.blocks.{i}.xlstm.mlstm_cell.causal_mask": torch.ones(512, 512).tril().bool() for i in (0, 2, 3)
        }
    for left_out in reference["skipped"]:  # as in a real file
        frequencies = torch.exp(torch.arange(0, 256, 2) * (-np.log(10_000) / 256))
        state[left_out] = frequencies if left_out.endswith("div_term") else torch.tensor(7)
    made = convert(saved(tmp_path, state), tmp_path / "ours")
    assert made.architecture == name.replace("_", "-")
    assert made.num_parameters == reference["parameters"]
    assert made.num_tensors == len(state) - sum(key.endswith(("div_term", "causal_mask")) for key in state)
    model = AutoModel.from_pretrained(tmp_path / "ours").eval()
    inputs = DnaFeatureExtractor()(facts["sequences"])["inputs"]
    with torch.no_grad():
        predictions = model(inputs).predictions[:, 0].numpy()
    assert np.abs(predictions - np.load(shared / "fixtures" / "asap_parity.npz")[name]).max() < 1e-4
    counts = [value for key, value in model.state_dict().items() if key.endswith("num_batches_tracked")]
    assert all(count == 7 for count in counts)


def test_a_folder_is_whole_and_says_what_was_done(tmp_path):
    source = saved(tmp_path, weights(LSTM))
    made = convert(source, tmp_path / "ours", kind="asap", architecture="lstm")
    assert made == Converted(
        folder=str(tmp_path / "ours"),
        kind="asap",
        architecture="lstm",
        sha256=made.sha256,
        num_tensors=14,
        num_parameters=1_342_464,
        compared_with=None,
        max_difference=None,
    )
    names = {path.name for path in (tmp_path / "ours").iterdir()}
    assert names == {"config.json", "model.safetensors", "preprocessor_config.json"}


def test_bases_are_permuted_once_and_names_go_both_ways():
    state = weights(LSTM)
    ours = to_chromhub(state, "lstm")
    # A, G, C, T -> A, C, G, T: our second row of bases is their third
    assert torch.equal(ours["stem.conv.weight"][:, 1], state["conv1.weight"][:, 2])
    assert torch.equal(ours["stem.conv.weight"][:, [0, 3]], state["conv1.weight"][:, [0, 3]])
    back = to_reference(ours, state, "lstm")
    assert all(torch.equal(back[name], value) for name, value in state.items())


def test_packed_attention_is_split():
    name = "core.encoder.layers.2.self_attn.in_proj_bias"
    ours = to_chromhub({name: torch.arange(6.0)}, "convnext-transformer")
    assert {key.split(".")[-2]: value.tolist() for key, value in ours.items()} == {
        "query": [0, 1],
        "key": [2, 3],
        "value": [4, 5],
    }
    with pytest.raises(ValueError, match=r"in_proj_bias must hold three projections, got shape \(7,\)"):
        to_chromhub({name: torch.arange(7.0)}, "convnext-transformer")
    with pytest.raises(ValueError, match=r"and another tensor are both head.weight"):
        to_chromhub({"fc2.weight": torch.ones(1), "head.weight": torch.ones(1)}, "lstm")


def test_an_slstm_of_a_gpu_is_laid_out_anew():
    prefix = "core.blocks.1.xlstm.slstm_cell"
    # two heads (h) of width 3 (d in, e out), four gates (g): a GPU has kernel[h, d, (g, e)] and bias[(h, g, e)],
    # a CPU kernel[h, (g, e), d] and bias[(g, h, e)]
    kernel, bias = torch.randn(2, 3, 4, 3), torch.randn(2, 4, 3)
    on_gpu = {f"{prefix}._recurrent_kernel_": kernel.reshape(2, 3, 12), f"{prefix}._bias_": bias.flatten()}
    on_cpu = {
        f"{prefix}._recurrent_kernel_": torch.einsum("hdge->hged", kernel).reshape(2, 12, 3),
        f"{prefix}._bias_": torch.einsum("hge->ghe", bias).flatten(),
    }
    for state in (on_gpu, on_cpu):
        numbers = trained_numbers(state)
        assert all(torch.equal(numbers[name], value) for name, value in on_cpu.items())
    with pytest.raises(ValueError, match="the sLSTM's bias must hold 24 numbers, got 5"):
        trained_numbers(on_gpu | {f"{prefix}._bias_": torch.ones(5)})


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_go(tmp_path, prefix):
    state = {f"{prefix}{name}": value for name, value in weights(LSTM).items()}
    assert convert(saved(tmp_path, state), tmp_path / "ours").num_tensors == 14


def test_half_precision_is_widened(tmp_path):
    state = {name: value.half() for name, value in weights(LSTM).items()}
    convert(saved(tmp_path, state), tmp_path / "ours")
    model = AutoModel.from_pretrained(tmp_path / "ours")
    assert torch.equal(model.head.bias, state["fc2.bias"].float())


def test_tracks_and_mappability_are_seen():
    state = weights(LSTM) | {
        "unmap_predictor.out.weight": torch.ones(1, 256),
        "unmap_predictor.out.bias": torch.ones(1),
    }
    model, _ = convert_state(state)
    assert model.config.mappability_weight == 1
    assert torch.equal(model.mappability_head.linear.weight, torch.ones(1, 256))
    assert detect_architecture(state) == "lstm"


def edit(**changes) -> dict[str, Tensor]:
    state = weights(LSTM)
    for name, value in changes.items():
        if value is None:
            del state[name]
        else:
            state[name] = value
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (edit(**{"fc1.bias": None}), "lacks 1 tensors of lstm, by our names core.dense.bias"),
        (edit(**{"fc9.bias": torch.ones(3)}), "holds 1 tensors that lstm does not have: fc9.bias"),
        (edit(**{"fc1.bias": torch.ones(3)}), r"fc1.bias must have shape \(256,\) in lstm, got \(3,\)"),
        (edit(**{"conv1.weight": torch.ones(256, 5, 26)}), r"conv1.weight must have shape \(256, 4, 26\)"),
        ({"a": torch.ones(1)}, "belong to none of the eight architectures of asap .*: a"),
        ([1, 2], "must hold a state dict, tensors by name"),
        ({"model": {"a": torch.ones(1)}}, "must hold a state dict, tensors by name"),
        ({}, "must hold a state dict, tensors by name"),
        (edit(x_rotary_emb=torch.ones(1)), "holds 1 tensors"),
        (
            edit(**{"core.encoder.layers.0.rotary_emb.div_term": torch.ones(128)}),
            "must hold the rotary frequencies of base 10000",
        ),
        (edit(**{"core.blocks.0.causal_mask": torch.ones(4, 4)}), "must be lower triangular"),
    ],
)
def test_another_state_dict_is_refused(tmp_path, state, message):
    source = saved(tmp_path, state)
    with pytest.raises(ValueError, match=message):
        convert(source, tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pth"]


def test_another_architecture_is_refused(tmp_path):
    source = saved(tmp_path, weights(LSTM))
    with pytest.raises(ValueError, match=r"--architecture must be one of cnn, lstm, .*, got 'resnet'"):
        convert(source, tmp_path / "ours", architecture="resnet")
    with pytest.raises(ValueError, match=r"lacks .* tensors of convnext-lstm"):
        convert(source, tmp_path / "ours", architecture="convnext_lstm")
    with pytest.raises(ValueError, match="--from must be asap or chromtransfer, got 'basenji'"):
        convert(source, tmp_path / "ours", kind="basenji")
    with pytest.raises(ValueError, match="--architecture is for asap"):
        convert(source, tmp_path / "ours", kind="chromtransfer", architecture="lstm")


class Opens:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path):
    source = saved(tmp_path, weights(LSTM) | {"surprise": Opens(tmp_path / "opened")})
    with pytest.raises(ValueError, match=r"checkpoint\.pth is refused because of \S*open: it is no plain state dict"):
        convert(source, tmp_path / "ours")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"surprise": Opens(tmp_path / "opened")}))
    with pytest.raises(ValueError, match=r"plain\.pkl is refused"):
        convert(tmp_path / "plain.pkl", tmp_path / "ours")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(ValueError, match=r"module\.pth is refused because of torch\.nn\.modules\.linear\.Linear"):
        convert(tmp_path / "module.pth", tmp_path / "ours")
    assert not (tmp_path / "opened").exists()
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("content", [b"", b"hello world\n", b"PK\x03\x04", b"\x80\x02}q"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.pth is (no PyTorch file|refused)"):
        convert(tmp_path / "x.pth", tmp_path / "ours")


def test_a_truncated_file_is_refused_and_what_stood_there_stays(tmp_path):
    source = saved(tmp_path, weights(LSTM))
    convert(source, tmp_path / "ours")
    before = (tmp_path / "ours" / "model.safetensors").read_bytes()
    source.write_bytes(source.read_bytes()[:100_000])
    with pytest.raises(FileExistsError, match="already exists"):
        convert(source, tmp_path / "ours")
    with pytest.raises(ValueError, match="is no PyTorch file, or it is cut off or damaged"):
        convert(source, tmp_path / "ours", overwrite=True)
    assert (tmp_path / "ours" / "model.safetensors").read_bytes() == before
    with pytest.raises(FileNotFoundError):
        convert(tmp_path / "none.pth", tmp_path / "new")


def stand_in(scale: float) -> types.ModuleType:
    """A package asap whose LSTM is ours, `scale` times its predictions."""

    class CNN_LSTM(nn.Module):
        def __init__(self, use_map: bool = False) -> None:
            super().__init__()
            print("a package that prints")  # noqa: T201

        def load_state_dict(self, state, strict=True):
            self.ours, _ = convert_state(state)

        def forward(self, inputs):
            ours = inputs[..., [0, 2, 1, 3]].transpose(1, 2)
            return scale * self.ours(ours).predictions.transpose(1, 2)

    module = types.ModuleType("asap.models")
    module.CNN_LSTM = CNN_LSTM
    return module


def test_outputs_are_compared_with_the_package_where_it_is_installed(tmp_path, monkeypatch, capsys):
    source = saved(tmp_path, weights(LSTM))
    monkeypatch.setitem(sys.modules, "asap", types.ModuleType("asap"))
    monkeypatch.setitem(sys.modules, "asap.models", stand_in(1.0))
    made = convert(source, tmp_path / "ours")
    assert (made.compared_with, made.max_difference) == ("asap", 0)
    monkeypatch.setitem(sys.modules, "asap.models", stand_in(1.01))
    with pytest.raises(ValueError, match=r"does not predict what asap does: predictions differ by 0.0"):
        convert(source, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert capsys.readouterr().out == ""


def test_a_folder_that_loads_otherwise_is_refused():
    model, _ = convert_state(weights(LSTM))
    other, _ = convert_state(weights(LSTM))
    report = {"missing_keys": set(), "unexpected_keys": set()}
    _check_loaded(model, other, report)
    with pytest.raises(ValueError, match=r"does not load as it was saved \(missing keys: \['head.bias'\]\)"):
        _check_loaded(model, other, report | {"missing_keys": {"head.bias"}})
    with torch.no_grad():
        other.head.bias[0] += 1e-3
    with pytest.raises(ValueError, match=re.escape("does not load as it was saved (head.bias)")):
        _check_loaded(model, other, report)
    assert isinstance(model, AtacForTrackPrediction)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES[:-1])  # its xLSTM needs CUDA
def test_the_package_itself_agrees(tmp_path, name, monkeypatch):
    for module in ("asap", "asap.models"):
        monkeypatch.delitem(sys.modules, module)
    if importlib.util.find_spec("asap") is None:
        pytest.skip("needs the reference: pip install --no-deps atac-asap")
    import warnings

    import asap.models
    from chromhub.hub_models.convert_asap import _CLASSES

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(asap.models, _CLASSES[name.replace("_", "-")])()
    state = model.state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items() if value.dim() and "div_term" not in key}
    made = convert(saved(tmp_path, state | weights(shapes)), tmp_path / "ours")
    assert made.compared_with == "asap"
    assert made.max_difference < 1e-5
