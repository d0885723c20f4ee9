"""A ChromTransfer model in a Keras HDF5 file -> our model, its outputs checked against the file's own network."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..modeling import CHROMTRANSFER_PRESETS, ChromTransferConfig, ChromTransferForSequenceClassification
from .keras_file import KerasLayer, KerasModel, read_keras
from .keras_graph import evaluate

# Kernel shapes of the models in the repository's history (February 2022): the first two convolutions of the pre-trained
# body, then three dilated ones side by side.
_OLDER_KERNELS = [(25, 4, 64), (20, 64, 32), (15, 32, 32), (10, 32, 32), (5, 32, 32)]
_TOLERANCE = 1e-4


def read_chromtransfer(path: str | Path) -> tuple[ChromTransferForSequenceClassification, KerasModel, str]:
    """Read a model.

    Args:
        path: a file that Keras 2 wrote with `model.save`; its layers are told by their order and shapes.

    Returns:
        Ours, the file's content, and the name of the head: a preset or "other head".

    Raises:
        ValueError: the file is damaged, or holds another network.
    """
    try:
        keras = read_keras(path)
        layers = list(keras.layers.values())
        _refuse_older_network(path, layers)
        _, activation = evaluate(keras, np.zeros((1, 8, 4)))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"the description of the network in {path} is damaged ({error!r})") from None
    config, name = _configuration(layers, activation)
    model = ChromTransferForSequenceClassification(config)
    model.load_state_dict(_state(layers, model), strict=False)  # Keras counts no batches
    return model.eval(), keras, name


def check_outputs(model: ChromTransferForSequenceClassification, keras: KerasModel) -> float:
    """Compare a model with the file it came from on two random sequences with Ns, in float64.

    Args:
        model: ours; not changed.
        keras: the file's content.

    Returns:
        The largest difference of a logit, in units of the largest logit or of 1.

    Raises:
        ValueError: it is above 1e-4.
    """
    codes = np.random.default_rng(0).integers(0, 5, (2, model.config.input_length))
    one_hot = np.eye(5, 4)[codes]
    expected, _ = evaluate(keras, one_hot)
    with torch.inference_mode():
        inputs = torch.from_numpy(one_hot).transpose(1, 2)
        ours = copy.deepcopy(model).double().eval()(inputs).logits.numpy()
    difference = float(np.abs(ours - expected).max() / max(1.0, np.abs(expected).max()))
    if not difference <= _TOLERANCE:  # also where it is not a number
        raise ValueError(
            f"the converted model does not do what the file's network does: logits differ by {difference:.2g}; "
            "nothing was written"
        )
    return difference


def _refuse_older_network(path: str | Path, layers: list[KerasLayer]) -> None:
    if [layer.arrays["kernel"].shape for layer in layers if layer.kind == "Conv1D"] != _OLDER_KERNELS:
        return
    numbers = sum(values.size for layer in layers for values in layer.arrays.values())
    raise ValueError(
        f"{path} is one of the older networks in ChromTransfer's history ({numbers:,} numbers: two convolutions of the "
        "pre-trained body, then three dilated ones side by side), not the published one; chromhub has no such "
        "architecture"
    )


def _configuration(layers: list[KerasLayer], activation: str) -> tuple[ChromTransferConfig, str]:
    """Read the head off the dense layers; return the configuration and the head's name."""
    dense = [layer.arrays["kernel"].shape for layer in layers if layer.kind == "Dense"]
    if not dense or activation == "linear":
        raise ValueError(
            "the network must end in a head of dense layers with a sigmoid or softmax, "
            f"found {len(dense)} dense layers and the activation {activation}"
        )
    first = next(i for i, layer in enumerate(layers) if layer.kind == "Dense")
    norms = sum(layer.kind == "BatchNormalization" for layer in layers[first:])
    if norms not in (0, len(dense) - 1):
        raise ValueError(f"the head must have batch normalisation in every hidden layer or in none, found {norms}")
    head: dict[str, Any] = {"head_hidden_sizes": [units for _, units in dense[:-1]], "head_batch_norm": norms > 0}
    num_labels = dense[-1][1]
    if activation == "softmax" and num_labels == 1:
        raise ValueError("a softmax over one label is always 1; the file holds no trained classifier")
    if activation == "sigmoid" and num_labels > 1:
        head["problem_type"] = "multi_label_classification"
    for name in CHROMTRANSFER_PRESETS:
        config = ChromTransferConfig.from_preset(name)
        found = {"head_hidden_sizes": config.head_hidden_sizes, "head_batch_norm": config.head_batch_norm}
        if found == head and config.num_labels == num_labels:
            return config, name
    return ChromTransferConfig(**head, **{"num_labels": num_labels}), "other head"


def _state(layers: list[KerasLayer], model: ChromTransferForSequenceClassification) -> dict[str, Tensor]:
    """Give every layer its place by order and shape; return a state dict.

    Raises:
        ValueError: a layer too many or too few, or one of another shape.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    blocks = {kind: [layer for layer in layers if layer.kind == kind] for kind in ("Conv1D", "Dense")}
    convs = _convolutions(model.config)
    if len(blocks["Conv1D"]) != len(convs):
        raise ValueError(
            f"ChromTransfer has {len(convs)} convolutions, the file {len(blocks['Conv1D'])}; it is another network"
        )
    # Second unit and shortcut of a block that changes the channels stand side by side, in either order.
    for i, name in enumerate(convs):
        if name.endswith("unit2.conv") and convs[i + 1].endswith("shortcut.conv"):
            kernel = blocks["Conv1D"][i].arrays["kernel"].shape
            if kernel[::-1] != expected[f"{name}.weight"]:
                convs[i], convs[i + 1] = convs[i + 1], convs[i]
    dense = [f"head.layers.{i}.dense" for i in range(len(blocks["Dense"]) - 1)] + ["head.output"]
    places = {layer.path: name for layer, name in zip(blocks["Conv1D"], convs, strict=True)}
    places |= {layer.path: name for layer, name in zip(blocks["Dense"], dense, strict=True)}
    for layer in layers:  # batch normalisation belongs to the layer it reads
        if layer.kind == "BatchNormalization":
            owner = places.get(layer.source)
            if owner is None:
                raise ValueError(f"layer {layer.path!r} must read a convolution or a dense layer, not {layer.source!r}")
            places[layer.path] = f"{owner.rpartition('.')[0]}.norm"
    state: dict[str, Tensor] = {}
    for layer in layers:
        for leaf, values in _tensors(layer).items():
            name = f"{places[layer.path]}.{leaf}"
            if name in state or expected.get(name) != tuple(values.shape):
                raise ValueError(
                    f"layer {layer.path!r} does not fit ChromTransfer: its {leaf} has shape {tuple(values.shape)}, "
                    f"{expected.get(name, 'none')} belongs there"
                )
            state[name] = values
    if missing := sorted(name for name in expected if name not in state and not name.endswith("num_batches_tracked")):
        raise ValueError(f"the file lacks {len(missing)} tensors of ChromTransfer: {', '.join(missing[:3])}")
    return state


def _convolutions(config: ChromTransferConfig) -> list[str]:
    """Return our convolutions in the order in which Keras lists them: by depth."""
    names = ["stem"]
    for tower, blocks in (("1", config.tower1_blocks), ("2", config.tower2_blocks)):
        names += [f"entry{tower}.{unit}" for unit in ("unit1", "unit2", "shortcut")]
        names += [f"tower{tower}.{block}.{unit}" for block in range(blocks) for unit in ("unit1", "unit2")]
    return [*(f"chromtransfer.{name}.conv" for name in (*names, "final")), "chromtransfer.last_conv"]


def _tensors(layer: KerasLayer) -> dict[str, Tensor]:
    """Return a layer's arrays as ours: kernels (k, in, out) as (out, in, k), (in, out) as (out, in)."""
    arrays = {leaf: torch.from_numpy(values) for leaf, values in layer.arrays.items()}
    if layer.kind == "BatchNormalization":
        names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
        return {ours: arrays[theirs] for theirs, ours in names.items()}
    kernel = arrays["kernel"]
    return {"weight": kernel.permute(*reversed(range(kernel.dim()))).contiguous(), "bias": arrays["bias"]}
