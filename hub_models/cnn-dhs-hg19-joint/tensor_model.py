"""A model as a function from tensor to tensor, for tools that take any `nn.Module`, such as tangermeme.

Shapes: B batch, L bp, N bins, T tracks.
"""

from typing import Any

from torch import Tensor, nn


class TensorModel(nn.Module):
    """The model as a function from a one-hot (B, 4, L) to a tensor, in evaluation mode for good.

    Tools put the module they are given in evaluation mode and then back as it was, with everything inside: tangermeme
    would leave the model in training if this wrapper ever said that it was. So `train()` changes nothing here.

    Args:
        model: one that returns `predictions`, `logits` or `pooler_output`; put in evaluation mode.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, 4, L) to predictions (B, T, N), logits (B, num_labels) or a pooled vector (B, C)."""
        output = self.model(inputs)
        return next(output[name] for name in ("predictions", "logits", "pooler_output") if name in output)

    def train(self, mode: bool = True) -> "TensorModel":
        """Stay in evaluation mode, whatever `mode`."""
        return super().train(False)


class SummedModel(TensorModel):
    """As `TensorModel`, with tracks summed over bins: tools that explain a number want (B, T), not (B, T, N).

    Args:
        model: as there; of a classifier the logits are returned.
        bins: those that are summed.
        weights: (number of bins,), with which they are counted; None counts each once.
    """

    weights: Tensor | None

    def __init__(self, model: nn.Module, bins: slice, weights: Tensor | None = None) -> None:
        super().__init__(model)
        self.bins = bins
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, 4, L) to (B, T), or to logits (B, num_labels).

        Raises:
            ValueError: `bins` leaves no bin of a window so long.
        """
        output = super().forward(inputs)
        if output.dim() == 2:
            return output
        chosen = output[..., self.bins]
        if not chosen.shape[-1]:
            raise ValueError(f"`bins` must hold a bin of the {output.shape[-1]} there are, got {self.bins}")
        return chosen.sum(-1) if self.weights is None else (chosen * self.weights.to(chosen.dtype)).sum(-1)


def tensor_model(model: nn.Module) -> TensorModel:
    """Return `model` as a module from a one-hot (B, 4, L) to predictions (B, T, N), or to logits (B, num_labels).

    It shares the weights, and `model` is in evaluation mode from here on.
    """
    return TensorModel(model)


def summed_model(model: nn.Module, bins: slice | None = None, weights: Tensor | None = None) -> SummedModel:
    """Return `model` as a module from a one-hot (B, 4, L) to one number a track, (B, T); a classifier as it is.

    Args:
        model: put in evaluation mode; the weights are shared.
        bins: those that are summed; None is the target, all but `config.crop_bins` on each side.
        weights: of the bins, see `SummedModel`.
    """
    config: Any = model.config
    crop = getattr(config, "crop_bins", 0)
    return SummedModel(model, bins if bins is not None else slice(crop, -crop or None), weights)


__all__ = ["SummedModel", "TensorModel", "summed_model", "tensor_model"]
