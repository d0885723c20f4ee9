"""The transformer core: pool, a tower of convolutions, pre-norm transformer layers with rotary positions."""

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .architecture_parts import TransformerCoreConfig
from .dropout import FastDropout
from .fast_pool import max_pool
from .fused_attention import attention
from .tower import build_tower


def rotate(hidden: Tensor, base: float) -> Tensor:
    """Rotate pairs of channels by an angle that grows with the position (arXiv:2104.09864 eq. 34).

    Channel i is paired with channel i + D / 2; pair i turns by `base` ** (-2 i / D) a position.

    Args:
        hidden: (..., P, D), D even.
        base: sets the slowest turn.

    Returns:
        (..., P, D).
    """
    positions, width = hidden.shape[-2:]
    exact = torch.float32 if hidden.device.type == "mps" else torch.float64
    frequency = base ** (-torch.arange(0, width, 2, device=hidden.device, dtype=exact) / width)
    angle = torch.arange(positions, device=hidden.device, dtype=exact)[:, None] * frequency  # (P, D / 2)
    cos, sin = angle.cos().to(hidden.dtype), angle.sin().to(hidden.dtype)
    first, second = hidden.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class SelfAttention(nn.Module):
    """Bidirectional multi-head attention with rotary positions; see `TransformerCoreConfig.rotary`."""

    def __init__(self, config: TransformerCoreConfig, channels: int) -> None:
        super().__init__()
        self.num_heads, self.rotary, self.base = config.num_heads, config.rotary, float(config.rotary_base)
        self.dropout = config.dropout
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.out = nn.Linear(channels, channels)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, P, C) to (B, P, C)."""
        rotated = rotate(hidden, self.base) if self.rotary == "hidden" else hidden
        query, key, value = (
            projected.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, P, C / heads)
            for projected in (self.query(rotated), self.key(rotated), self.value(hidden))
        )
        if self.rotary == "heads":
            query, key = rotate(query, self.base), rotate(key, self.base)
        dropout = self.dropout if self.training else 0.0
        attended = attention(query, key, value, dropout=dropout)
        return self.out(attended.transpose(1, 2).flatten(-2))


class TransformerLayer(GradientCheckpointingLayer):
    """Attention and MLP, each on the normalised input and added to it."""

    def __init__(self, config: TransformerCoreConfig, channels: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = SelfAttention(config, channels)
        self.attention_dropout = FastDropout(config.dropout)
        self.feedforward_norm = nn.LayerNorm(channels)
        self.feedforward_in = nn.Linear(channels, config.feedforward_size)
        self.activation = nn.GELU()
        self.hidden_dropout = FastDropout(config.dropout)
        self.feedforward_out = nn.Linear(config.feedforward_size, channels)
        self.feedforward_dropout = FastDropout(config.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, P, C) to (B, P, C)."""
        hidden = hidden + self.attention_dropout(self.attention(self.attention_norm(hidden)))
        inner = self.hidden_dropout(self.activation(self.feedforward_in(self.feedforward_norm(hidden))))
        return hidden + self.feedforward_dropout(self.feedforward_out(inner))


class TransformerCore(nn.Module):
    """Map (B, C, L) to features (B, C, N)."""

    def __init__(self, config: TransformerCoreConfig, channels: int, *, bin_size: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool1d(config.pool_size)
        self.tower = build_tower(config, channels)
        self.layers = nn.ModuleList(TransformerLayer(config, channels) for _ in range(config.num_layers))
        tokens_per_bin = bin_size // config.pool_size
        self.bin_pool = nn.AvgPool1d(tokens_per_bin) if tokens_per_bin > 1 else nn.Identity()
        self.identical_layers = config.identical_layers
        self.feature_channels, self.bins_per_position = channels, 1

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C, L) to (B, C, N)."""
        hidden = self.tower(max_pool(self.pool, hidden)).transpose(1, 2)  # (B, P, C)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.bin_pool(hidden.transpose(1, 2))
