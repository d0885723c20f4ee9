"""Layer-wise learning-rate decay: layers near the input, which read what all cell types share, move less.

Each layer's rate is `decay` times that of the layer above it, and the head has the whole (arXiv:1801.06146, section
3.2; arXiv:2003.10555).
"""

from torch import nn

from ..modeling import head_modules


def layer_factors(model: nn.Module, *, decay: float) -> dict[str, float]:
    """Return each parameter's factor of the learning rate, by name.

    Layers are the stem, each block of the core, what the core has beside blocks, and the heads, in the order in which
    modules are declared, which is that of the forward pass.
    """
    heads = head_modules(model)  # a PeftModel has its base's attributes
    names = [name for name, _ in model.named_parameters()]
    layers = {name: _layer(name.removeprefix("base_model.model."), heads) for name in names}
    depths = {layer: depth for depth, layer in enumerate(dict.fromkeys(layers.values()))}
    # The heads are last wherever they are declared.
    depths["head"] = max((depth for layer, depth in depths.items() if layer != "head"), default=-1) + 1
    return {name: decay ** (depths["head"] - depths[layers[name]]) for name in names}


def _layer(name: str, heads: list[str]) -> str:
    """Return the layer of a parameter: "stem", "core.blocks.3", "core.features", "head"."""
    first, *rest = parts = name.split(".")
    if first in heads:
        return "head"
    if first != "core":
        return first
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[0] + 1] if numbers else [first, rest[0]])
