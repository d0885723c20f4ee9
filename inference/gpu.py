"""What a GPU asks for that a CPU does not: how precise products are, one process a card, and running out of memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch


def use_bf16(device: torch.device, asked: bool | None = None) -> bool:
    """Tell whether models on `device` compute in bfloat16: as asked, else on a GPU with matrix units for it.

    Args:
        device: that computes.
        asked: by the user; None leaves it to the device.
    """
    if asked is not None:
        return asked
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


@contextmanager
def float32_products(device: torch.device, *, rounded: bool) -> Iterator[None]:
    """Say how a GPU multiplies float32 numbers inside: as they are, or rounded to 10 binary digits (TF32) and faster.

    PyTorch rounds for convolutions and LSTMs and not for matrix products unless it is told, so both are said.

    Args:
        device: nothing changes where it is no CUDA device.
        rounded: whether products may be rounded.
    """
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = (cast(Any, kind) for kind in (torch.backends.cuda.matmul, torch.backends.cudnn))
    before = [kind.fp32_precision == "tf32" for kind in (matmul, cudnn.conv)]
    try:
        _round_products(rounded, rounded)
        yield
    finally:
        _round_products(*before)


def _round_products(matrices: bool, convolutions: bool) -> None:
    """Round what products read, or not; of convolutions and LSTMs alike."""
    # By the older names, which set the newer ones with them: PyTorch reads both, and refuses a mixture.
    torch.backends.cuda.matmul.allow_tf32 = matrices
    cudnn: Any = torch.backends.cudnn
    cudnn.allow_tf32 = convolutions
    if not convolutions:  # the older name leaves them to the setting of all backends, which may say otherwise
        cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "ieee"


def precision_name(device: torch.device, *, bf16: bool) -> str:
    """Name what is computed in, to follow a device's name; nothing for float32 on a CPU."""
    if device.type == "cuda":
        return ", bf16 and TF32 (--no-bf16 for float32)" if bf16 else ", float32"
    return ", bf16" if bf16 else ""


@contextmanager
def out_of_memory(remedy: str) -> Iterator[None]:
    """Say in one sentence that a GPU's memory does not hold what was asked.

    Args:
        remedy: what to do about it.

    Raises:
        ValueError: the memory ran out inside.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ValueError(f"the GPU is out of memory: {remedy}") from error


def check_processes() -> None:
    """Refuse more processes on this machine than it has GPUs, before CUDA does so without a reason.

    Raises:
        ValueError: a process would have no GPU of its own.
    """
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if here > max(1, gpus):
        raise ValueError(
            f"{here} processes were started on this machine, each needs a GPU of its own and it has {gpus}: "
            f"start {max(1, gpus)}, or add --device cpu"
        )
