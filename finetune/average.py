"""An exponential moving average of the weights (EMA), which is evaluated and published in place of the last step's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FILE_NAME = "average.safetensors"  # in a checkpoint, beside the weights that training goes on from


class WeightAverage:
    """The moving average of what a run trains, and of batch normalisation's running statistics.

    Args:
        model: as training starts.
        decay: of the average a step; in the first steps (1 + step) / (10 + step) where that is less, so that a short
            run leaves its start behind.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        # Names, not tensors: a checkpoint that is loaded may bring tensors of its own.
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        buffers = {name for name, buffer in model.named_buffers() if buffer.is_floating_point()}
        self.names = trained | buffers
        self.average = {name: tensor.clone() for name, tensor in self._tensors(model)}

    def _tensors(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if name in self.names:
                yield name, tensor.detach()

    def update(self, model: nn.Module, *, step: int) -> None:
        """Take in the weights after optimiser step `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in self._tensors(model):
            self.average[name].lerp_(tensor, 1 - decay)

    def copy_to(self, model: nn.Module) -> None:
        """Make the average the model's weights."""
        with torch.no_grad():
            for name, tensor in self._tensors(model):
                tensor.copy_(self.average[name])

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Give the model the average inside, and its own weights back."""
        own = {name: tensor.clone() for name, tensor in self._tensors(model)}
        self.copy_to(model)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in self._tensors(model):
                    tensor.copy_(own[name])

    def save(self, checkpoint: str | Path) -> None:
        """Write the average into a checkpoint."""
        tensors = {name: tensor.contiguous() for name, tensor in self.average.items()}
        save_file(tensors, Path(checkpoint) / FILE_NAME)

    def load(self, checkpoint: str | Path) -> None:
        """Take the average from a checkpoint."""
        for name, tensor in load_file(Path(checkpoint) / FILE_NAME).items():
            self.average[name].copy_(tensor)
