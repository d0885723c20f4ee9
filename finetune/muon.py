"""Muon for the matrices of hidden layers, AdamW for everything else, as one optimiser with one state."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..modeling import head_modules


def hidden_matrices(model: nn.Module) -> set[str]:
    """Return the names of the trainable weights that Muon is for: of linear and of full convolution layers.

    Muon moves a matrix by its gradient with every singular value near 1 (Jordan et al. 2024,
    kellerjordan.github.io/posts/muon), which asks for a matrix that maps features to features. So AdamW keeps the first
    convolution, which reads bases, the head, adapters, and what is no single matrix: depthwise convolutions, LSTM
    weights, whose four gates are stacked, and diagonal blocks.
    """
    heads = tuple(f"{name}." for name in head_modules(model))
    first = next((module for module in model.modules() if isinstance(module, nn.Conv1d)), None)
    found = set()
    for name, module in model.named_modules():
        full = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv1d) and module.groups == 1)
        outside = f"{name.removeprefix('base_model.model.')}.".startswith(heads) or "lora_" in name
        if full and module is not first and not outside and module.weight.requires_grad:
            found.add(f"{name}.weight" if name else "weight")
    return found


class MuonAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` and `torch.optim.AdamW` over parameter groups of one optimiser.

    A convolution's weight (out, in, k) is moved as the matrix (out, in * k). Muon's step is scaled to the size of
    AdamW's (arXiv:2502.16982, section 2.2: 0.2 sqrt(max(rows, columns))), so one learning rate and one weight decay
    serve both. State, state dictionary and schedulers are those of any torch optimiser.

    Args:
        groups: with `params`, `weight_decay`, `lr`, and `muon`, True where Muon moves them.
        learning_rate: of groups without `lr`.
        betas: of AdamW.

    Raises:
        ValueError: no group is Muon's.
    """

    def __init__(
        self, groups: list[dict[str, Any]], *, learning_rate: float, betas: tuple[float, float] = (0.9, 0.95)
    ) -> None:
        matrices = [{**group, "params": [_matrix(p) for p in group["params"]]} for group in groups if group["muon"]]
        if not matrices:
            raise ValueError("optimizer muon needs a matrix of a hidden layer to train, got none; use adamw")
        self._muon = torch.optim.Muon(matrices, lr=learning_rate, adjust_lr_fn="match_rms_adamw")
        self._adamw = torch.optim.AdamW([g for g in groups if not g["muon"]], lr=learning_rate, betas=betas)
        options = {True: iter(self._muon.param_groups), False: iter(self._adamw.param_groups)}
        super().__init__([{**next(options[g["muon"]]), "params": g["params"]} for g in groups], {})

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - as torch's own optimisers have it
        self, closure: Callable[[], Tensor] | None = None
    ) -> Tensor | None:
        """Take a step; parameters without a gradient stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # Anew in each step: loading a state replaces groups and state.
        self._adamw.param_groups = [group for group in self.param_groups if not group["muon"]]
        self._adamw.state = self.state
        self._adamw.step()
        self._muon.param_groups = []
        self._muon.state = defaultdict(dict)
        for group in self.param_groups:
            if group["muon"]:
                moved = [parameter for parameter in group["params"] if parameter.grad is not None]
                matrices = [_matrix(parameter) for parameter in moved]
                self._muon.param_groups.append({**group, "params": matrices})
                self._muon.state.update(zip(matrices, [self.state[parameter] for parameter in moved], strict=True))
        self._muon.step()
        return loss


def _matrix(parameter: Tensor) -> Tensor:
    """Return a parameter and its gradient as a matrix in the same memory."""
    matrix = parameter.detach().view(len(parameter), -1)
    if parameter.grad is not None:
        matrix.grad = parameter.grad.reshape(len(parameter), -1)
    return matrix
