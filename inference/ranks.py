"""One job over several processes, as `accelerate launch` or `torchrun` start them."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .gpu import check_processes


def _go_on() -> None:
    """Wait for nobody."""


@dataclass(frozen=True)
class Ranks:
    """Which share of a job is this process's.

    Attributes:
        rank: of this process, from 0.
        size: processes.
        wait: returns when every process has called it.
    """

    rank: int = 0
    size: int = 1
    wait: Callable[[], None] = _go_on

    @property
    def leads(self) -> bool:
        """Whether this process puts the shares together and speaks."""
        return self.rank == 0

    def owns(self, index: int) -> bool:
        """Tell whether a piece of the work is this process's."""
        return index % self.size == self.rank


ALONE = Ranks()


def find_ranks(device: str | None = None) -> tuple[Ranks, str | None]:
    """Return this process's place among those launched together, and its device: each CUDA process gets its own.

    Args:
        device: what the user asked for; None for the best.

    Raises:
        ValueError: more processes on this machine than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return ALONE, device
    from accelerate import PartialState

    on_cuda = torch.cuda.is_available() if device is None else device.startswith("cuda")
    if on_cuda:
        check_processes()
    state = PartialState(cpu=not on_cuda)
    ranks = Ranks(state.process_index, state.num_processes, state.wait_for_everyone)
    return ranks, f"cuda:{state.local_process_index}" if on_cuda else "cpu"
