"""Windows side by side: a thread for each core, and in each PyTorch with one thread.

An operation that PyTorch splits over the cores waits for the slowest of them. One window is hundreds of short
operations, so whole windows on separate cores wait less, most of all on a machine that is busy with other work.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

_Result = TypeVar("_Result")
_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_pools.clear)  # threads do not survive a fork


def over_windows(count: int, function: Callable[[range], _Result]) -> list[_Result]:
    """Call `function` with as many ranges as PyTorch has threads, together 0 to `count`; without gradients.

    Returns:
        Its results in order.
    """
    threads = min(torch.get_num_threads(), count)
    if threads < 2:
        return [function(range(count))]

    def run(piece: range) -> _Result:
        with torch.no_grad():  # a setting of the thread
            return function(piece)

    starts = [count * i // threads for i in range(threads + 1)]
    return list(_pool(threads).map(run, map(range, starts, starts[1:])))


def sum_over_windows(count: int, function: Callable[[range], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Return the sums of the tensors that `function` returns for each range of windows."""
    first, *others = over_windows(count, function)
    for other in others:
        for total, part in zip(first, other, strict=True):
            total += part
    return first


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            outside = torch.get_num_threads()
            pool = ThreadPoolExecutor(threads, "windows", initializer=_use_one_thread)
            barrier = threading.Barrier(threads)
            for started in [pool.submit(barrier.wait) for _ in range(threads)]:
                started.result()
            torch.set_num_threads(outside)  # the last call also decides for threads that start later
            _pools[threads] = pool
        return _pools[threads]


def _use_one_thread() -> None:
    """Settings of a thread; reading the number first keeps PyTorch from setting it later."""
    torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
