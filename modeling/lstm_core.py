"""The LSTM core: pool, a bidirectional LSTM, and a dense layer on its last step or on every step."""

import torch
from torch import Tensor, nn

from .architecture_parts import LstmCoreConfig
from .dropout import FastDropout
from .fast_path import fast_path_allowed
from .fast_pool import max_pool


class LstmCore(nn.Module):
    """Map (B, C, L) to features (B, F, P), where P is 1 in the "last" form.

    Args:
        config: of this core.
        channels: C.
        num_bins: of a window of `input_length`.
        bin_size: bp.
    """

    def __init__(self, config: LstmCoreConfig, channels: int, *, num_bins: int, bin_size: int) -> None:
        super().__init__()
        self.last_step = config.output == "last"
        self.pool = nn.MaxPool1d(config.pool_size)
        self.pool_dropout = FastDropout(config.pool_dropout)
        self.lstm = nn.LSTM(channels, config.hidden_size, batch_first=True, bidirectional=True)
        self.output_dropout = FastDropout(config.output_dropout)
        self.dense = nn.Linear(2 * config.hidden_size, config.dense_size)
        self.activation = nn.ReLU()
        self.dense_dropout = FastDropout(config.dense_dropout)
        steps_per_bin = 1 if self.last_step else bin_size // config.pool_size
        self.bin_pool = nn.AvgPool1d(steps_per_bin) if steps_per_bin > 1 else nn.Identity()
        self.feature_channels, self.bins_per_position = config.dense_size, num_bins if self.last_step else 1

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C, L) to (B, F, P)."""
        hidden = self.pool_dropout(max_pool(self.pool, hidden)).transpose(1, 2)  # (B, P, C)
        if not self.last_step:
            hidden = self.lstm(hidden)[0]
        elif _single_direction_is_cheaper(self.lstm, hidden):
            hidden = last_step(self.lstm, hidden)
        else:
            hidden = self.lstm(hidden)[0][:, -1:]
        hidden = self.dense_dropout(self.activation(self.dense(self.output_dropout(hidden))))
        return self.bin_pool(hidden.transpose(1, 2))


def last_step(lstm: nn.LSTM, inputs: Tensor) -> Tensor:
    """Return the output at the last step alone: the backward direction has read one step there, so it runs one step.

    Args:
        lstm: one bidirectional layer, batch first.
        inputs: (B, P, C).

    Returns:
        (B, 1, 2H), equal to `lstm(inputs)[0][:, -1:]`.
    """
    state = inputs.new_zeros(1, len(inputs), lstm.hidden_size)
    outputs = []
    for suffix, steps in (("", inputs), ("_reverse", inputs[:, -1:])):
        weights = [getattr(lstm, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        run = torch.lstm(steps, (state, state), weights, True, 1, 0.0, lstm.training, False, True)
        outputs.append(run[0][:, -1:])
    return torch.cat(outputs, dim=-1)


def _single_direction_is_cheaper(lstm: nn.LSTM, inputs: Tensor) -> bool:
    """On a CPU; cuDNN wants the weights of both directions in one piece of memory."""
    return type(lstm) is nn.LSTM and fast_path_allowed(lstm, inputs, {})
