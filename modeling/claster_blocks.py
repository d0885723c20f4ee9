"""The building blocks of CLASTER, in one dimension (landscape, rotated contact map) and in two (square contact map).

Shapes: B batch, C channels, P positions; a square map has P x P of them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .claster_plan import ConvLayer
from .configuration_claster import ClasterBranchConfig, ClasterConfig
from .dilated_conv import DilatedConv1d

_REDUCTION = 16  # channels over the hidden width of squeeze and excitation


class Swish(nn.Module):
    """x * sigmoid(beta x) with one beta that is learned (arXiv:1710.05941)."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(1))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map each element."""
        return hidden * torch.sigmoid(self.beta * hidden)


class StochasticDepth(nn.Module):
    """Drop what it is given with a chance of `p` in training, for the whole batch (arXiv:1603.09382)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, hidden: Tensor) -> Tensor:
        """Return 0 or `hidden` / (1 - p)."""
        if not self.training or self.p == 0:
            return hidden
        kept = torch.rand((), device=hidden.device) >= self.p
        return hidden * (kept / max(1 - self.p, 1e-6)).to(hidden.dtype)


class PositionGrid(nn.Module):
    """A number for each row and position that is learned, 0 at first, and added to the input."""

    def __init__(self, shape: list[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, rows, P) to the same."""
        return inputs + self.weight


class SqueezeExcite(nn.Module):
    """Weigh channels by what their means say (arXiv:1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // _REDUCTION)
        self.down = nn.Linear(channels, hidden)
        self.activation = Swish()
        self.up = nn.Linear(hidden, channels)
        self.gate = nn.Sigmoid()

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C, ...) to the same."""
        means = hidden.flatten(2).mean(-1)
        weights = self.gate(self.up(self.activation(self.down(means))))
        return hidden * weights.reshape(*weights.shape, *[1] * (hidden.dim() - 2))


class ResidualConv(nn.Module):
    """Normalisation, a strided and a dilated convolution, their channels weighed; beside them a strided shortcut."""

    def __init__(self, in_channels: int, layer: ConvLayer, config: ClasterBranchConfig, *, first: bool) -> None:
        super().__init__()
        square = config.form == "square"
        conv = nn.Conv2d if square else nn.Conv1d
        self.first = first
        self.norm = nn.GroupNorm(1, in_channels)
        self.conv1 = conv(in_channels, layer.channels, layer.kernel_size, layer.stride, layer.padding)
        self.activation = Swish()
        self.dropout = nn.Dropout2d(config.dropout) if square else nn.Dropout1d(config.dropout)
        width, size, dilation = layer.channels, layer.inner_kernel_size, layer.inner_dilation
        reach = (size - 1) // 2 * dilation
        self.conv2 = (
            nn.Conv2d(width, width, size, padding=reach, dilation=dilation)
            if square
            else DilatedConv1d(width, width, size, padding=reach)
        )
        self.excite = SqueezeExcite(layer.channels)
        self.skip = StochasticDepth(config.stochastic_depth)
        self.shortcut = conv(in_channels, layer.channels, layer.kernel_size, layer.stride, layer.padding)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C_in, P) to (B, C, P / stride); the first block's shortcut sees what is normalised, as the source."""
        normed = self.norm(hidden)
        kept = self.shortcut(normed if self.first else hidden)
        return kept + self.skip(self.excite(self.conv2(self.dropout(self.activation(self.conv1(normed))))))


class AttentionLayer(nn.Module):
    """A transformer layer that normalises first."""

    def __init__(self, width: int, num_heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.num_heads = num_heads if width % num_heads == 0 else 1
        self.dropout_rate = dropout
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout1 = nn.Dropout(dropout)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, 4 * width)
        self.activation = nn.GELU()
        self.inner_dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(4 * width, width)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map tokens (B, n, width) to the same."""
        parts = self.qkv(self.norm1(hidden)).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.dropout_rate if self.training else 0.0
        mixed = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], dropout_p=dropout)
        hidden = hidden + self.dropout1(self.out(mixed.transpose(1, 2).flatten(2)))
        inner = self.inner_dropout(self.activation(self.linear1(self.norm2(hidden))))
        return hidden + self.dropout2(self.linear2(inner))


class Branch(nn.Module):
    """A landscape or a contact map to one vector."""

    def __init__(self, config: ClasterBranchConfig) -> None:
        super().__init__()
        layers = [ConvLayer(**layer) for layer in config.plan or []]
        self.square = config.form == "square"
        self.position = PositionGrid(config.shape)
        # rows as input channels are one convolution over all rows, as the source writes it
        first, rest = layers[0], layers[1:]
        self.stem = (
            nn.Conv2d(1, first.channels, first.kernel_size, first.stride, first.padding)
            if self.square
            else nn.Conv1d(config.shape[0], first.channels, first.kernel_size, first.stride, first.padding)
        )
        channels = [layer.channels for layer in layers]
        self.blocks = nn.ModuleList(
            ResidualConv(before, layer, config, first=i == 0)
            for i, (before, layer) in enumerate(zip(channels, rest, strict=False))
        )
        positions = config.sizes[-1] ** (2 if self.square else 1)
        self.over_channels = config.attention == "channels"
        width = positions if self.over_channels else channels[-1]
        depth = 0 if config.attention == "none" else config.attention_layers
        self.attention = nn.ModuleList(AttentionLayer(width, config.attention_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(channels[-1] * positions)
        self.activation = Swish()
        self.features = nn.Linear(channels[-1] * positions, config.features)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, rows, P), normalised, to (B, features)."""
        hidden = self.position(inputs)
        hidden = self.stem(hidden.unsqueeze(1) if self.square else hidden)
        for block in self.blocks:
            hidden = block(hidden)
        if len(self.attention):
            tokens = hidden.flatten(2)
            tokens = tokens if self.over_channels else tokens.transpose(1, 2)
            for layer in self.attention:
                tokens = layer(tokens)
            hidden = tokens if self.over_channels else tokens.transpose(1, 2)
        return self.features(self.activation(self.norm(hidden.flatten(1))))


class FusionBlock(nn.Module):
    """A residual block of dense layers on the features of all branches."""

    def __init__(self, in_features: int, config: ClasterConfig) -> None:
        super().__init__()
        width = config.fusion_size
        self.norm = nn.LayerNorm(in_features)
        self.linear1 = nn.Linear(in_features, width)
        self.activation = Swish()
        self.dropout = nn.Dropout(config.fusion_dropout)
        self.linear2 = nn.Linear(width, width)
        self.skip = StochasticDepth(config.fusion_stochastic_depth)
        self.shortcut = nn.Linear(in_features, width) if in_features != width else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, F_in) to (B, F)."""
        inner = self.activation(self.linear1(self.norm(features)))
        return self.shortcut(features) + self.skip(self.linear2(self.dropout(inner)))


class ClasterHead(nn.Module):
    """A number for each bin of each track, and the scale those numbers stand in.

    The scale lies here since an adapter's file keeps its own head: fitted to another assay, it brings that assay's.
    """

    target_mean: Tensor
    target_std: Tensor

    def __init__(self, config: ClasterConfig) -> None:
        super().__init__()
        self.shape = (config.num_tracks, config.num_bins)
        self.linear = nn.Linear(config.fusion_size, config.num_tracks * config.num_bins)
        self.register_buffer("target_mean", torch.zeros(self.shape))
        self.register_buffer("target_std", torch.ones(self.shape))

    def forward(self, fused: Tensor) -> Tensor:
        """Map (B, F) to standardised (B, T, N)."""
        return self.linear(fused).unflatten(-1, self.shape)

    def standardise(self, labels: Tensor) -> Tensor:
        """Turn raw signal (B, T, N) into standard deviations from its mean, bin by bin."""
        return (labels - self.target_mean) / self.target_std

    def restore(self, logits: Tensor) -> Tensor:
        """Undo `standardise`."""
        return logits * self.target_std + self.target_mean
