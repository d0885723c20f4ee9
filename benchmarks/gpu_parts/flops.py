"""Floating-point operations of a model's forward pass, counted as it runs: what its speed is divided by."""

from typing import Any

import torch
from chromhub.modeling.fast_path import plain_modules
from chromhub.modeling.xlstm_core import SlstmBlock
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def gflop(model: nn.Module, length: int) -> float:
    """Return GFLOP a window, without gradients: 2 for each multiplication in products, convolutions and attention.

    The counter does not see into recurrent layers, whose products are added by their shapes.

    Args:
        model: on the CPU.
        length: bp of a window.
    """
    unseen = 0.0

    def recurrent(module: Any, inputs: tuple[torch.Tensor, ...], _: Any) -> None:
        nonlocal unseen
        batch, positions, channels = inputs[0].shape
        if isinstance(module, nn.LSTM):
            directions, size = 1 + module.bidirectional, module.hidden_size
            unseen += 2 * batch * positions * directions * 4 * size * (channels + size)
        else:
            unseen += 2 * batch * positions * module.recurrent.numel()

    kinds = (nn.LSTM, SlstmBlock)
    hooks = [module.register_forward_hook(recurrent) for module in model.modules() if isinstance(module, kinds)]
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), plain_modules(), counter:
            model(torch.zeros(1, length, dtype=torch.uint8))
    finally:
        for hook in hooks:
            hook.remove()
    return (counter.get_total_flops() + unseen) / 1e9
