"""A Keras 2 model file (HDF5): its layers with their numbers, and the description of its network.

The layout is that of `model.save("x.h5")`: a JSON description in the attribute `model_config`, and under the group
`model_weights` one group a layer, in the order of the attribute `layer_names`, each with its arrays in the order of
`weight_names`. A model inside a model is one layer there; its arrays carry the inner layer's name, which may have
gained a suffix, and moving statistics may come after everything else.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
MODELS = ("Model", "Functional", "Sequential")
_MOST_NUMBERS = 10_000_000  # of one array; ChromTransfer's largest has 65,536
# What a layer of each class holds.
_ARRAYS = {
    "Conv1D": {"kernel", "bias"},
    "Dense": {"kernel", "bias"},
    "BatchNormalization": {"gamma", "beta", "moving_mean", "moving_variance"},
}


@dataclass(frozen=True)
class KerasLayer:
    """A layer that holds numbers.

    Args:
        path: its name, inside a nested model after that model's name and a slash.
        kind: "Conv1D", "Dense" or "BatchNormalization".
        source: path of the layer whose output it reads.
        arrays: "kernel" ((k, in, out) or (in, out)) and "bias", or "gamma", "beta", "moving_mean", "moving_variance".
    """

    path: str
    kind: str
    source: str
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class KerasModel:
    """A model file's content.

    Args:
        description: `model_config`, {"class_name": ..., "config": ...}.
        layers: those with numbers, by path, in the order of the network.
    """

    description: dict[str, Any]
    layers: dict[str, KerasLayer]


def read_keras(path: str | Path) -> KerasModel:
    """Read a model file; nothing in it is run.

    Raises:
        ValueError: h5py is missing, the file is damaged or of another layout, or a layer is of a class that
            ChromTransfer does not have.
    """
    try:
        import h5py
    except ImportError:
        raise ValueError('a Keras file is read by h5py, which is missing: pip install "chromhub[convert]"') from None
    try:
        with h5py.File(path, "r") as file:
            whole = "model_config" in file.attrs and "model_weights" in file
            root: Any = file["model_weights"] if whole else {}
            stored = {name: _arrays(root[name]) for name in _names(root, "layer_names")} if whole else {}
            description = json.loads(str(file.attrs["model_config"])) if whole else {}
    except (OSError, LookupError, RuntimeError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
            raise
        raise ValueError(f"{path} is no Keras HDF5 file, or it is cut off or damaged ({error})") from None
    if not whole:
        raise ValueError(
            f"{path} holds no whole Keras model (group model_weights, attribute model_config); "
            "write one with model.save, not model.save_weights"
        )
    return KerasModel(description, {layer.path: layer for layer in _layers(description, stored)})


def inner_layers(description: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the descriptions of a model's layers.

    Raises:
        ValueError: there are none.
    """
    config = description.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config  # old Sequential models hold a plain list
    if not isinstance(layers, list):
        raise ValueError("the file's model_config lists no layers")
    return layers


def layer_name(description: dict[str, Any]) -> str:
    """Return the name of a layer."""
    return description.get("name") or description["config"]["name"]


def sources(description: dict[str, Any]) -> list[str]:
    """Return the names of the layers that a layer reads.

    Raises:
        ValueError: the layer stands in several places of its network.
    """
    nodes = description.get("inbound_nodes") or []
    if len(nodes) > 1:
        raise ValueError(f"layer {layer_name(description)!r} is used {len(nodes)} times, in ChromTransfer once")
    return _tensors(nodes)


def _tensors(node: Any) -> list[str]:
    """Find layers in an inbound node: Keras 2 has [name, 0, 0, {}], Keras 3 {"keras_history": [name, 0, 0]}."""
    if isinstance(node, dict):
        history = node.get("keras_history")
        return [history[0]] if history else [name for value in node.values() for name in _tensors(value)]
    if isinstance(node, list):
        return [node[0]] if node and isinstance(node[0], str) else [name for item in node for name in _tensors(item)]
    return []


def _names(group: Any, attribute: str) -> list[str]:
    """Return a list of names that Keras keeps in an attribute."""
    return [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]


def _arrays(group: Any) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of a layer's group, {scope: {array: values}}; a nested model has one scope a layer."""
    scopes: dict[str, dict[str, np.ndarray]] = {}
    for name in _names(group, "weight_names"):
        if group[name].size > _MOST_NUMBERS:
            raise ValueError(f"{name} holds {group[name].size:,} numbers")
        scope, _, leaf = name.rpartition("/")
        scopes.setdefault(scope.rpartition("/")[2], {})[leaf.partition(":")[0]] = group[name][()]
    return scopes


def _layers(description: dict[str, Any], stored: dict[str, dict[str, dict[str, np.ndarray]]]) -> Iterator[KerasLayer]:
    """Yield the layers with numbers, each joined with its arrays."""
    known = {layer_name(layer): layer for layer in inner_layers(description)}
    for name, scopes in stored.items():
        if not scopes:
            continue
        if name not in known:
            raise ValueError(f"the file holds numbers of layer {name!r}, which its model_config does not have")
        if known[name]["class_name"] not in MODELS:
            merged = {leaf: values for arrays in scopes.values() for leaf, values in arrays.items()}
            yield _layer(known[name], name, merged)
            continue
        inner = [(f"{name}/{path}", layer) for path, layer in _described(known[name]) if layer["class_name"] in _ARRAYS]
        names = [path.rpartition("/")[2] for path, _ in inner]
        if len(names) != len(scopes):
            raise ValueError(f"the model {name!r} has {len(names)} layers with numbers, the file holds {len(scopes)}")
        # A scope may have gained a suffix; trained arrays come in the order of the layers all the same.
        in_order = names if set(names) == set(scopes) else list(scopes)
        for (path, layer), scope in zip(inner, in_order, strict=True):
            yield _layer(layer, path, scopes[scope])


def _described(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, description) of the layers inside a model, also of models inside it."""
    for layer in inner_layers(description):
        name = layer_name(layer)
        if layer["class_name"] in MODELS:
            yield from ((f"{name}/{path}", inner) for path, inner in _described(layer))
        else:
            yield name, layer


def _layer(description: dict[str, Any], path: str, arrays: dict[str, np.ndarray]) -> KerasLayer:
    """Check a layer against its class."""
    kind = description["class_name"]
    if kind not in _ARRAYS:
        raise ValueError(f"layer {path!r} is a {kind}, which ChromTransfer does not have")
    if set(arrays) != _ARRAYS[kind]:
        raise ValueError(f"layer {path!r} must hold {sorted(_ARRAYS[kind])}, the file has {sorted(arrays)}")
    prefix = path.rpartition("/")[0]
    read = sources(description)
    source = f"{prefix}/{read[0]}" if prefix and read else "".join(read[:1])
    return KerasLayer(path, kind, source, {leaf: np.asarray(values, np.float32) for leaf, values in arrays.items()})
