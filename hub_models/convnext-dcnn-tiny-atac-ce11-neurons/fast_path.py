"""When a CPU fast path may stand in for a plain module, and the switch that says never.

Fast paths compute what the plain modules compute, in another order and layout. They step aside where someone looks
inside the modules (hooks, adapters, tracing, compilation, functional transforms) or uses another precision.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

_plain = ContextVar("plain_modules", default=False)


@contextmanager
def plain_modules() -> Iterator[None]:
    """Use no fast path inside, e.g. to differentiate a gradient once more, which hand-written ones do not allow."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def fast_path_allowed(module: nn.Module, inputs: Tensor, kinds: dict[str, Any]) -> bool:
    """Tell whether nothing but `module`'s own arithmetic happens in it, in float32 or bfloat16 autocast, on a CPU.

    Args:
        module: whose submodules the fast path leaves out.
        inputs: what it is called with.
        kinds: type that each named submodule must have; an adapter or a quantised layer has another.
    """
    return (
        tensor_allowed(inputs)
        and is_plain(module, kinds)
        and all(parameter.dtype is torch.float32 for parameter in module.parameters())
        and not any(is_hooked(inner) for inner in module.modules())
    )


def tensor_allowed(inputs: Tensor) -> bool:
    """Tell whether a tensor is an ordinary one on a CPU, in float32 or in bfloat16 autocast."""
    autocast = torch.is_autocast_enabled("cpu")
    return (
        not torch.compiler.is_compiling()  # first: the compiler cannot read what follows in one graph
        and inputs.device.type == "cpu"
        and type(inputs) in (Tensor, nn.Parameter)
        and (torch.get_autocast_dtype("cpu") is torch.bfloat16 if autocast else inputs.dtype is torch.float32)
        and not _plain.get()
        and not torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        and not torch._C._are_functorch_transforms_active()
    )


def is_plain(module: nn.Module, kinds: dict[str, Any]) -> bool:
    """Tell whether each named submodule has its type exactly."""
    return all(type(getattr(module, name)) is kind for name, kind in kinds.items())


def is_hooked(module: nn.Module) -> bool:
    """Tell whether someone watches the module's inputs, outputs or gradients."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def compute_dtype(inputs: Tensor) -> torch.dtype:
    """Return the dtype that products run in: autocast's where that is on."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else inputs.dtype
