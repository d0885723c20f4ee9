"""Keras 2 model files of ChromTransfer, written by h5py: the description and the arrays that `model.save` writes."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


class Network:
    """A network put down layer by layer, in the order in which Keras lists layers: by depth."""

    def __init__(self, seed: int = 0, suffix: str = "") -> None:
        self.layers: list[dict[str, Any]] = []
        self.arrays: dict[str, Arrays] = {}
        self.rng = np.random.default_rng(seed)
        self.suffix = suffix

    def add(self, kind: str, sources: Iterable[str], arrays: Arrays | None = None, **config: Any) -> str:
        count = sum(layer["class_name"] == kind for layer in self.layers)
        name = f"{kind.lower()}{self.suffix}_{count}"
        nodes = [[[source, 0, 0, {}] for source in sources]] if sources else []
        config = {"name": name, **config}
        self.layers.append({"class_name": kind, "config": config, "name": name, "inbound_nodes": nodes})
        if arrays:
            self.arrays[name] = {leaf: values.astype(np.float32) for leaf, values in arrays.items()}
        return name

    def weight(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))

    def conv(self, source: str, kernel: int, channels: tuple[int, int]) -> str:
        arrays = {"kernel": self.weight(kernel, *channels), "bias": 0.1 * self.rng.standard_normal(channels[1])}
        settings = {"strides": [1], "dilation_rate": [1], "padding": "same", "data_format": "channels_last"}
        return self.add("Conv1D", [source], arrays, activation="relu", **settings)

    def dense(self, source: str, features: tuple[int, int], activation: str) -> str:
        arrays = {"kernel": self.weight(*features), "bias": 0.1 * self.rng.standard_normal(features[1])}
        return self.add("Dense", [source], arrays, activation=activation)

    def norm(self, source: str, channels: int) -> str:
        arrays = {leaf: 0.1 * self.rng.standard_normal(channels) for leaf in ("beta", "moving_mean")}
        arrays |= {leaf: self.rng.uniform(0.5, 1.5, channels) for leaf in ("gamma", "moving_variance")}
        return self.add("BatchNormalization", [source], arrays, epsilon=0.001, momentum=0.99)

    def drop(self, source: str) -> str:
        return self.add("Dropout", [source], rate=0.1)

    def unit(self, source: str, kernel: int, channels: tuple[int, int]) -> str:
        return self.drop(self.norm(self.conv(source, kernel, channels), channels[1]))

    def projection(self, source: str, kernel: int, channels: tuple[int, int], shortcut_first: bool) -> str:
        width = channels[1]
        inner = self.unit(source, kernel, channels)
        ways = [(inner, (width, width)), (source, channels)]  # second unit and shortcut lie at one depth
        ways = ways[::-1] if shortcut_first else ways
        convs = [self.conv(read, kernel, both) for read, both in ways]
        ends = [self.drop(norm) for norm in [self.norm(conv, width) for conv in convs]]
        return self.add("Add", ends)

    def identity(self, source: str, kernel: int, width: int) -> str:
        inner = self.unit(source, kernel, (width, width))
        return self.add("Add", [self.unit(inner, kernel, (width, width)), source])

    def body(self, shortcut_first: bool = False) -> str:
        hidden = self.unit(self.add("InputLayer", []), 25, (4, 64))
        hidden = self.projection(hidden, 20, (64, 32), shortcut_first)
        ends = []
        for _ in range(3):
            hidden = self.identity(hidden, 15, 32)
            ends.append(hidden)
        hidden = self.projection(self.add("Concatenate", ends, axis=-1), 10, (96, 64), shortcut_first)
        for _ in range(3):
            hidden = self.identity(hidden, 5, 64)
        return self.add("GlobalAveragePooling1D", [self.conv(self.unit(hidden, 10, (64, 64)), 5, (64, 64))])

    def head(self, source: str, sizes: list[int], *, norm: bool, activation: str) -> str:
        width = 64
        for size in sizes[:-1]:
            source = self.dense(source, (width, size), "relu")
            source = self.drop(self.norm(source, size) if norm else source)
            width = size
        return self.dense(source, (width, sizes[-1]), activation)

    def nest(self, inner: "Network", source: str) -> str:
        """Put a whole network in as one layer; its moving statistics come last, under names with a suffix."""
        name = self.add("Model", [source])
        self.layers[-1]["config"] = inner.description(name)["config"]
        flat = {
            f"{layer}_1/{leaf}": values for layer, arrays in inner.arrays.items() for leaf, values in arrays.items()
        }
        self.arrays[name] = dict(sorted(flat.items(), key=lambda item: "moving" in item[0]))
        return name

    def description(self, name: str = "model") -> dict[str, Any]:
        config = {"name": name, "layers": self.layers}
        config |= {"input_layers": [[self.layers[0]["name"], 0, 0]], "output_layers": [[self.layers[-1]["name"], 0, 0]]}
        return {"class_name": "Model", "config": config}

    def save(self, path: Path) -> Path:
        import h5py

        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(self.description())
            file.attrs["keras_version"] = "2.3.1"
            root = file.create_group("model_weights")
            root.attrs["layer_names"] = [layer["name"].encode() for layer in self.layers]
            for layer in self.layers:
                group = root.create_group(layer["name"])
                arrays = self.arrays.get(layer["name"], {})
                names = [leaf if "/" in leaf else f"{layer['name']}/{leaf}" for leaf in arrays]
                group.attrs["weight_names"] = [f"{name}:0".encode() for name in names]
                for name, values in zip(names, arrays.values(), strict=True):
                    group.create_dataset(f"{name}:0", data=values)
        return path


def chromtransfer(head: str, *, seed: int = 0, shortcut_first: bool = False) -> Network:
    """A published network with random numbers: "pretraining", "finetuning" or "multiclass"."""
    network = Network(seed)
    sizes, norm = ([1024, 32, 1], False) if head == "finetuning" else ([512, 128, 1], True)
    if head == "multiclass":
        sizes[-1] = 7
    activation = "softmax" if head == "multiclass" else "sigmoid"
    network.head(network.body(shortcut_first), sizes, norm=norm, activation=activation)
    return network


def nested(seed: int = 0) -> Network:
    """A fine-tuned network whose body is a model of its own."""
    body = Network(seed, suffix="_body")
    body.body()
    network = Network(seed + 1)
    pooled = network.nest(body, network.add("InputLayer", []))
    network.head(pooled, [1024, 32, 1], norm=False, activation="sigmoid")
    return network


def older(seed: int = 0) -> Network:
    """The network of the repository's history."""
    network = Network(seed)
    hidden = network.unit(network.unit(network.add("InputLayer", []), 25, (4, 64)), 20, (64, 32))
    ends = []
    for kernel in (15, 10, 5):
        ends.append(network.conv(hidden, kernel, (32, 32)))
        network.layers[-1]["config"]["dilation_rate"] = [2]
    hidden = network.add("GlobalAveragePooling1D", [network.add("Concatenate", ends)])
    hidden = network.drop(network.norm(network.dense(hidden, (96, 96), "relu"), 96))
    hidden = network.drop(network.norm(network.dense(hidden, (96, 32), "relu"), 32))
    network.dense(hidden, (32, 1), "sigmoid")
    return network
