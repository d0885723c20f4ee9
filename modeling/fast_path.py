"""When a CPU fast path may stand in for a plain module, the switch that says never, and its second derivatives.

Fast paths compute what the plain modules compute, in another order and layout. They step aside where someone looks
inside the modules (hooks, adapters, tracing, compilation, functional transforms), keeps their weights elsewhere
(offloading, sharding, quantisation) or uses another precision. Their backward passes are written by hand and give first
derivatives; where a gradient is to be differentiated again, `plain_gradients` computes it instead.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

_plain = ContextVar("plain_modules", default=False)


@contextmanager
def plain_modules() -> Iterator[None]:
    """Use no fast path inside, e.g. to compare with one."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def fast_path_allowed(module: nn.Module, inputs: Tensor, kinds: dict[str, Any]) -> bool:
    """Tell whether nothing but `module`'s own arithmetic happens in it, in float32 or bfloat16 autocast, on a CPU.

    Args:
        module: whose submodules the fast path leaves out.
        inputs: what it is called with, or another tensor of the device and dtype that it computes with.
        kinds: type that each named submodule must have; an adapter or a quantised layer has another.
    """
    return (
        tensor_allowed(inputs)
        and is_plain(module, kinds)
        and all(is_ordinary(weight) and weight.dtype is torch.float32 for weight in module.parameters())
        and all(is_ordinary(buffer) for buffer in module.buffers())
        and not any(is_hooked(inner) for inner in module.modules())
    )


def tensor_allowed(inputs: Tensor) -> bool:
    """Tell whether a tensor is an ordinary one on a CPU, in float32 or in bfloat16 autocast, and no one looks on."""
    if is_watched():  # first: torch.compile can read nothing of what follows
        return False
    autocast = torch.is_autocast_enabled("cpu")
    return (
        is_ordinary(inputs)
        and (torch.get_autocast_dtype("cpu") is torch.bfloat16 if autocast else inputs.dtype is torch.float32)
        and not _plain.get()
    )


def is_watched() -> bool:
    """Tell whether operations are recorded or transformed by more than autograd, which sees nothing of a fast path."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        or is_transformed()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack() > 0  # e.g. fake tensors, a count of operations
        or torch._C._len_torch_function_stack() > 0  # e.g. another default device
    )


def is_transformed() -> bool:
    """Tell whether a transform of torch.func is at work: grad, jvp, vmap."""
    return torch._C._are_functorch_transforms_active()


def is_ordinary(tensor: Any) -> bool:
    """Tell whether plain numbers in a CPU's memory are all there is to it, unlike a sharded or quantised weight."""
    return type(tensor) in (Tensor, nn.Parameter) and tensor.device.type == "cpu"


def is_plain(module: nn.Module, kinds: dict[str, Any]) -> bool:
    """Tell whether each named submodule has its type exactly."""
    return all(type(getattr(module, name)) is kind for name, kind in kinds.items())


def is_hooked(module: nn.Module) -> bool:
    """Tell whether someone watches the module's inputs, outputs or gradients, or has replaced its `forward`."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in vars(module)  # accelerate brings offloaded weights so
    )


def compute_dtype(inputs: Tensor) -> torch.dtype:
    """Return the dtype that products run in: autocast's where that is on."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else inputs.dtype


def is_differentiated_again(gradient: Tensor) -> bool:
    """Tell, in a backward pass, whether its result is to be differentiated (`create_graph`) or many go in one pass."""
    functorch: Any = getattr(torch._C, "_functorch")  # noqa: B009 - which has no stub
    many = functorch.is_legacy_batchedtensor(gradient)  # `is_grads_batched`, `jacobian(vectorize=True)`
    return many or torch.is_grad_enabled() or is_transformed()


def plain_gradients(
    ctx: Any, plain: Callable[..., Tensor], inputs: Sequence[Tensor | None], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Return what a backward pass returns, as autograd makes it of differentiable operations, any number of times.

    Args:
        ctx: of a `torch.autograd.Function`.
        plain: maps `inputs` to what its forward pass returns (first, where that is several), in float32.
        inputs: the first arguments of forward, as they were saved; the others are no tensors.
        gradient: of that output.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        # Views of them: that one input was computed from another is not this function's matter.
        views: list[Any] = [None if tensor is None else tensor.view_as(tensor) for tensor in inputs]
        outputs = plain(*views)
        needed = [i for i in range(len(inputs)) if ctx.needs_input_grad[i]]
        found = torch.autograd.grad(outputs, [views[i] for i in needed], gradient.to(outputs.dtype), create_graph=again)
    gradients: list[Tensor | None] = [None] * len(ctx.needs_input_grad)
    for i, each in zip(needed, found, strict=True):
        gradients[i] = each
    return tuple(gradients)
