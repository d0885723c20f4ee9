"""The device a command runs on, and what makes a CPU fast before the first tensor is made."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .gpu import float32_products, out_of_memory

MAX_THREADS = 512  # with very many the libraries below crash rather than refuse
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def prepare_cpu(threads: int | None = None) -> str:
    """Set process-wide CPU options and return them in one line.

    Denormal numbers are flushed to zero, and freed memory is kept for the next tensor instead of going back to the
    system: every operation otherwise pays page faults for its output (about 2x on a training step, for some 30-50 %
    more resident memory). CHROMHUB_NO_MALLOPT=1 opts out of the second.

    Args:
        threads: torch threads; None keeps torch's choice.

    Raises:
        ValueError: no number of threads that a machine can start.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise ValueError(f"--threads must be 1 to {MAX_THREADS}, got {threads}")
    torch.set_flush_denormal(True)
    if threads is not None:
        torch.set_num_threads(threads)
    reuse = platform.libc_ver()[0] == "glibc" and os.environ.get("CHROMHUB_NO_MALLOPT") != "1"
    if reuse:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)
        libc.mallopt(_M_TOP_PAD, 1 << 26)
    return f"{torch.get_num_threads()} threads, heap {'reused' if reuse else 'default'}"


def pick_device(name: str | None = None) -> torch.device:
    """Return the device to run on: `name`, else CUDA, Apple's MPS or the CPU, in this order.

    Raises:
        ValueError: `name` is no device of this machine.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device must be cpu, cuda, cuda:N or mps, got {name!r}") from None
    count = torch.cuda.device_count() if device.type == "cuda" else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        there = " or ".join([*(f"cuda:{i}" for i in range(count)), "cpu"])
        raise ValueError(f"--device {name}: this machine has {count} CUDA devices; use --device {there}")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("--device mps: not available on this machine; use --device cpu")
    return device


@contextmanager
def computing(device: torch.device, *, bf16: bool) -> Iterator[None]:
    """Have models on `device` compute in bfloat16 inside where that is safe, or in float32 as it is.

    On CPUs with bfloat16 matrix units (AMX) it is two to three times faster; predictions move in the third digit.
    Weights stay float32. On CUDA what is left in float32 is rounded likewise (TF32) with `bf16`, and not without.

    Args:
        device: of the models.
        bf16: as `gpu.use_bf16` decides where nobody has.

    Raises:
        ValueError: the GPU's memory ran out.
    """
    with (
        out_of_memory("predict fewer windows at once (a lower --batch-size), or use --device cpu"),
        float32_products(device, rounded=bf16),
        torch.autocast(device.type, torch.bfloat16, enabled=bf16),
    ):
        yield


def device_name(device: torch.device) -> str:
    """Name a device for people, e.g. "cuda:0 (NVIDIA H200)" or "cpu (2 threads)"."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def bf16_warning(device: torch.device, capability: str | None = None) -> str | None:
    """Return a sentence where bfloat16 would be slower than float32: on an x86 CPU without AVX-512.

    Args:
        device: that computes.
        capability: of the CPU; None asks torch.
    """
    found = torch.backends.cpu.get_cpu_capability() if capability is None else capability
    if device.type != "cpu" or found != "AVX2":
        return None
    return "this CPU has no bfloat16 instructions, so bf16 is several times slower than float32 here: leave it out"
