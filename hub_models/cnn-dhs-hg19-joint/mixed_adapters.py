"""Several adapters on one base, and windows of one batch each with its own.

    model = AutoModel.from_pretrained("ORG/BASE").eval()
    model.load_adapter("ORG/K562", adapter_name="k562")
    model.load_adapter("ORG/HEPG2", adapter_name="hepg2")
    model.set_adapter("k562")  # for all that follows; or, window by window:
    model.predict(inputs, adapter_names=["k562", "hepg2", "__base__", "k562"])

PEFT's own `forward(adapter_names=...)` cannot do that with weights that are adapted as parameters (LSTM, sLSTM), nor
with batch normalisation of an adapter's own. Here the windows of each adapter are predicted together, with every core.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

BASE = "__base__"  # PEFT's name for no adapter


def predict_mixed(
    model: Any, inputs: Tensor, adapter_names: list[str], *, predict: Callable[[Tensor], Tensor]
) -> Tensor:
    """Predict each window with its own adapter.

    Args:
        model: base with adapters that `load_adapter` brought.
        inputs: (B, ...).
        adapter_names: B names; "__base__" is the base alone.
        predict: maps some of the windows (b, ...) to their predictions (b, T, N), with the adapter that is set.

    Returns:
        (B, T, N), in the order of `inputs`.

    Raises:
        ValueError: not one name a window, or an adapter that was not loaded.
    """
    known = {BASE, *getattr(model, "peft_config", {})}
    if len(adapter_names) != len(inputs) or not set(adapter_names) <= known:
        raise ValueError(
            f"`adapter_names` must name one of {', '.join(sorted(known))} for each of {len(inputs)} windows, "
            f"got {adapter_names}"
        )
    rows = {name: [i for i, its in enumerate(adapter_names) if its == name] for name in dict.fromkeys(adapter_names)}
    parts = []
    with _adapters_restored(model):
        for name, chosen in rows.items():
            _enable(model, name != BASE)
            if name != BASE:
                model.set_adapter(name)
            parts.append(predict(inputs[torch.tensor(chosen, device=inputs.device)]))
    order = torch.tensor([i for chosen in rows.values() for i in chosen], device=parts[0].device)
    return torch.cat(parts)[order.argsort()]


@contextmanager
def _adapters_restored(model: Any) -> Iterator[None]:
    """Set the adapters again that were set before."""
    adapted = bool(getattr(model, "peft_config", None))
    before = model.active_adapters() if adapted else []
    enabled = not any(getattr(layer, "disable_adapters", False) is True for layer in _layers(model))
    try:
        yield
    finally:
        if adapted:
            model.set_adapter(before)
            _enable(model, enabled)


def _enable(model: Any, enabled: bool) -> None:
    """Enable or disable adapters and the layers they hold whole, which transformers' `enable_adapters` forgets."""
    for layer in _layers(model):
        layer.enable_adapters(enabled)


def _layers(model: Any) -> list[Any]:
    return [layer for layer in model.modules() if layer is not model and hasattr(layer, "enable_adapters")]
