import sys

import numpy as np
import pytest
import torch
from chromhub.hub_models.convert import convert
from chromhub.hub_models.keras_file import read_keras
from chromhub.hub_models.keras_graph import evaluate
from chromhub.modeling import ChromTransferForSequenceClassification, ChromTransferModel
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForSequenceClassification

from tests.hub_models import toy_keras

pytest.importorskip("h5py", reason='reading Keras files needs h5py: pip install "chromhub[convert]"')


@pytest.mark.parametrize(
    ("network", "head", "tensors", "parameters"),
    [
        # 21 convolutions and 20 batch normalisations of the body: 42 + 80; the head: 3 * 2, and 2 * 4 where it has them
        (lambda: toy_keras.chromtransfer("pretraining"), "pretraining", 136, 652_513),
        (lambda: toy_keras.chromtransfer("finetuning"), "finetuning", 128, 651_553),
        (lambda: toy_keras.chromtransfer("multiclass", shortcut_first=True), "multiclass", 136, 653_287),
        (toy_keras.nested, "finetuning", 128, 651_553),
    ],
    ids=["pretraining", "finetuning", "multiclass", "nested"],
)
def test_a_file_becomes_a_folder(tmp_path, network, head, tensors, parameters):
    source = network().save(tmp_path / "model.h5")
    made = convert(source, tmp_path / "ours")
    assert (made.kind, made.architecture, made.num_tensors) == ("chromtransfer", head, tensors)
    assert made.num_parameters == parameters
    assert made.compared_with == "the file's own network"
    assert made.max_difference < 1e-10  # both in float64
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours").eval()
    assert type(model) is ChromTransferForSequenceClassification
    assert type(AutoModel.from_pretrained(tmp_path / "ours")) is ChromTransferModel
    codes = np.random.default_rng(1).integers(0, 5, (2, 200))
    expected, activation = evaluate(read_keras(source), np.eye(5, 4)[codes])
    with torch.no_grad():
        logits = model(torch.from_numpy(codes)).logits
    assert np.abs(logits.numpy() - expected).max() < 1e-4
    sums = model.probabilities(logits).sum(1)
    assert activation == ("softmax" if torch.allclose(sums, torch.ones(2)) else "sigmoid")
    assert AutoFeatureExtractor.from_pretrained(tmp_path / "ours").input_length == 600


def test_a_network_that_keras_evaluated(shared, tmp_path):
    # Weights and softmax of the published network, both from Keras; its layers are numbered in order of creation, which
    # is the order of depth here.
    archive = np.load(shared / "fixtures" / "chromtransfer_parity.npz")
    network = toy_keras.chromtransfer("multiclass")
    layers = list(dict.fromkeys(key.split("/")[0] for key in archive if "/" in key))
    prefixes = {"Conv1D": ("conv1d", "last_CNN"), "BatchNormalization": ("batch",), "Dense": ("dense",)}
    leaves = ["gamma", "beta", "moving_mean", "moving_variance"]
    for kind, prefix in prefixes.items():
        names = [layer for layer in layers if layer.startswith(prefix)]
        ours = [layer["name"] for layer in network.layers if layer["class_name"] == kind]
        for name, layer in zip(names, ours, strict=True):
            arrays = leaves if kind == "BatchNormalization" else ["kernel", "bias"]
            network.arrays[layer] = {leaf: archive[f"{name}/{i}"] for i, leaf in enumerate(arrays)}
    convert(network.save(tmp_path / "model.h5"), tmp_path / "ours")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        output = model.probabilities(model(torch.from_numpy(archive["X"]).transpose(1, 2)).logits)
    assert np.abs(output.numpy() - archive["y"]).max() < 1e-5
    assert list(model.config.id2label.values())[:2] == ["A549", "GM12878"]


def test_another_head(tmp_path):
    network = toy_keras.Network()
    network.head(network.body(), [16, 3], norm=True, activation="sigmoid")
    assert convert(network.save(tmp_path / "model.h5"), tmp_path / "ours").architecture == "other head"
    config = AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours").config
    assert (list(config.head_hidden_sizes), config.head_batch_norm, config.num_labels) == ([16], True, 3)
    assert config.problem_type == "multi_label_classification"


def of_kind(network, kind, index=0):
    return [layer for layer in network.layers if layer["class_name"] == kind][index]


def drop_bias(network):
    del network.arrays["conv1d_3"]["bias"]


def widen_last(network):
    network.arrays["conv1d_20"] = {"kernel": np.zeros((5, 64, 65), np.float32), "bias": np.zeros(65, np.float32)}
    network.arrays["dense_0"]["kernel"] = np.zeros((65, 1024), np.float32)


def add_layer(network):
    source = of_kind(network, "GlobalAveragePooling1D")["inbound_nodes"][0][0][0]
    extra = network.conv(source, 3, (64, 64))
    network.layers.insert(network.layers.index(of_kind(network, "GlobalAveragePooling1D")), network.layers.pop())
    of_kind(network, "GlobalAveragePooling1D")["inbound_nodes"] = [[[extra, 0, 0, {}]]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_bias, r"layer 'conv1d_3' must hold \['bias', 'kernel'\], the file has \['kernel'\]"),
        (widen_last, r"layer 'conv1d_20' does not fit ChromTransfer: its weight has shape \(65, 64, 5\)"),
        (add_layer, "ChromTransfer has 21 convolutions, the file 22"),
        (
            lambda n: of_kind(n, "Conv1D", 2)["config"].update(dilation_rate=[2]),
            r"layer 'conv1d_2' has dilation_rate \[2\], ChromTransfer has 1",
        ),
        (
            lambda n: of_kind(n, "Conv1D", 2)["config"].update(activation="gelu"),
            "layer 'conv1d_2' has the activation 'gelu'",
        ),
        (
            lambda n: of_kind(n, "Dense", 2)["config"].update(activation="linear"),
            "the network must end in a head of dense layers with a sigmoid or softmax",
        ),
        (
            lambda n: of_kind(n, "Dense", 2)["config"].update(activation="softmax"),
            "a softmax over one label is always 1",
        ),
        (
            lambda n: of_kind(n, "GlobalAveragePooling1D").update(class_name="GlobalMaxPooling1D"),
            "is a GlobalMaxPooling1D, which ChromTransfer does not have",
        ),
        # All shapes fit, but the network does something else: only its outputs show it.
        (
            lambda n: of_kind(n, "BatchNormalization", 7)["config"].update(epsilon=0.1),
            "the converted model does not do what the file's network does",
        ),
        (
            lambda n: of_kind(n, "Concatenate")["inbound_nodes"][0].reverse(),
            "the converted model does not do what the file's network does",
        ),
        (lambda n: n.layers[5].update(config=None), "the description of the network in .* is damaged"),
    ],
)
def test_another_network_is_refused(tmp_path, change, message):
    network = toy_keras.chromtransfer("finetuning")
    change(network)
    source = network.save(tmp_path / "model.h5")
    with pytest.raises(ValueError, match=message):
        convert(source, tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["model.h5"]


def test_the_older_network_is_named(tmp_path):
    source = toy_keras.older().save(tmp_path / "model.h5")
    message = r"one of the older networks in ChromTransfer's history \(91,617 numbers: .* not the published one"
    with pytest.raises(ValueError, match=message):
        convert(source, tmp_path / "ours")


def test_a_damaged_file_is_refused(tmp_path):
    import h5py

    source = toy_keras.chromtransfer("finetuning").save(tmp_path / "model.h5")
    whole = source.read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.h5 is no Keras HDF5 file, or it is cut off or damaged"):
        convert(tmp_path / "cut.h5", tmp_path / "ours")
    with h5py.File(tmp_path / "huge.h5", "w") as file:  # a few bytes that claim to be terabytes
        file.attrs["model_config"] = "{}"
        layer = file.create_group("model_weights/dense")
        file["model_weights"].attrs["layer_names"] = [b"dense"]
        layer.attrs["weight_names"] = [b"dense/kernel:0"]
        layer.create_dataset("dense/kernel:0", shape=(10**12,), dtype="f4", chunks=(1024,))
    with pytest.raises(ValueError, match="dense/kernel:0 holds 1,000,000,000,000 numbers"):
        convert(tmp_path / "huge.h5", tmp_path / "ours")
    with h5py.File(source, "a") as file:
        del file.attrs["model_config"]
    with pytest.raises(ValueError, match=r"write one with model\.save, not model\.save_weights"):
        convert(source, tmp_path / "ours")


def test_without_h5py_the_error_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match=r'pip install "chromhub\[convert\]"'):
        convert(tmp_path / "model.h5", tmp_path / "ours")
