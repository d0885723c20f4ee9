"""A Keras model's outputs, computed from its description and numbers alone with numpy.

Made to check a conversion: it shares no code with the models of this package, and follows the layers as the file
connects them. It knows what ChromTransfer is made of and refuses anything else.
"""

from typing import Any

import numpy as np

from .keras_file import MODELS, KerasModel, inner_layers, layer_name, sources

_IDENTITIES = ("InputLayer", "Dropout")
_FINAL = ("sigmoid", "softmax")


def evaluate(model: KerasModel, inputs: np.ndarray) -> tuple[np.ndarray, str]:
    """Evaluate a model.

    Args:
        model: as read.
        inputs: (B, L, 4) one-hot.

    Returns:
        (B, num_labels) float64, what its last activation reads, and the name of that activation.

    Raises:
        ValueError: the network has a part that ChromTransfer does not have.
    """
    network = _Network(model)
    outputs = network.run(model.description, "", inputs.astype(np.float64))
    if outputs.ndim != 2:
        raise ValueError(f"the network must end in one row a sequence, it ends in shape {outputs.shape}")
    return outputs, network.final_activation or "linear"


class _Network:
    """The walk through the layers; remembers the activation that ends it."""

    def __init__(self, model: KerasModel) -> None:
        self.numbers = {
            path: {leaf: values.astype(np.float64) for leaf, values in layer.arrays.items()}
            for path, layer in model.layers.items()
        }
        self.final_activation = ""

    def run(self, description: dict[str, Any], prefix: str, inputs: np.ndarray) -> np.ndarray:
        """Evaluate a model or a model inside one, whose layers' paths begin with `prefix`."""
        outputs: dict[str, np.ndarray] = {}
        previous = inputs
        for layer in inner_layers(description):
            read = sources(layer)
            if missing := [name for name in read if name not in outputs]:
                raise ValueError(f"layer {layer_name(layer)!r} reads {missing[0]!r}, which comes after it")
            values = [outputs[name] for name in read] or [previous]
            previous = outputs[layer_name(layer)] = self.layer(layer, prefix, values)
        config = description["config"]
        ends = config.get("output_layers") if isinstance(config, dict) else None
        if not ends:
            return previous
        return outputs[ends[0] if isinstance(ends[0], str) else ends[0][0]]

    def layer(self, layer: dict[str, Any], prefix: str, values: list[np.ndarray]) -> np.ndarray:
        """Evaluate one layer."""
        kind, config, path = layer["class_name"], layer["config"], prefix + layer_name(layer)
        value = values[0]
        if kind in _IDENTITIES:
            return value
        if self.final_activation:
            raise ValueError(f"layer {path!r} comes after the {self.final_activation}, which must be the last")
        if kind in MODELS:
            return self.run(layer, f"{path}/", value)
        if kind == "Activation":
            return self.activate(value, config["activation"], path)
        if kind == "ReLU":
            return self.activate(value, "relu", path)
        if kind == "Add":
            return sum(values[1:], start=value)
        if kind == "Concatenate":
            return np.concatenate(values, axis=-1)
        if kind == "GlobalAveragePooling1D":
            return value.mean(axis=1)
        if kind == "BatchNormalization":
            numbers = self.numbers[path]
            scale = numbers["gamma"] / np.sqrt(numbers["moving_variance"] + config["epsilon"])
            return (value - numbers["moving_mean"]) * scale + numbers["beta"]
        if kind == "Dense":
            return self.activate(
                value @ self.numbers[path]["kernel"] + self.numbers[path]["bias"], config["activation"], path
            )
        if kind == "Conv1D":
            return self.activate(self.convolve(value, config, path), config["activation"], path)
        raise ValueError(f"layer {path!r} is a {kind}, which ChromTransfer does not have")

    def convolve(self, value: np.ndarray, config: dict[str, Any], path: str) -> np.ndarray:
        """Convolve (B, L, in) to (B, L, out): one product for each position of the kernel."""
        plain = {"strides": 1, "dilation_rate": 1, "groups": 1, "padding": "same", "data_format": "channels_last"}
        for name, expected in plain.items():
            found = config.get(name, expected)
            if (found[0] if isinstance(found, list) else found) != expected:
                raise ValueError(f"layer {path!r} has {name} {found}, ChromTransfer has {expected}")
        kernel = self.numbers[path]["kernel"]
        left = (len(kernel) - 1) // 2
        padded = np.pad(value, ((0, 0), (left, len(kernel) - 1 - left), (0, 0)))
        length = value.shape[1]
        return sum(
            (padded[:, i : i + length] @ weights for i, weights in enumerate(kernel)), start=self.numbers[path]["bias"]
        )

    def activate(self, value: np.ndarray, name: str, path: str) -> np.ndarray:
        """Apply an activation; the one that ends the network is noted instead, so that nothing saturates."""
        if name == "relu":
            return np.maximum(value, 0)
        if name in _FINAL:
            self.final_activation = name
        elif name != "linear":
            raise ValueError(f"layer {path!r} has the activation {name!r}, which ChromTransfer does not have")
        return value
