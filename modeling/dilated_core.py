"""The dilated core: features at one base (B, C, L) -> features at one bin (B, F, N)."""

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from .architecture_parts import DilatedCoreConfig
from .dropout import FastDropout
from .stems import ConvUnit


class DilatedBlock(GradientCheckpointingLayer):
    """A dilated and a pointwise unit around a bottleneck, added to the input."""

    def __init__(self, channels: int, bottleneck_channels: int, *, kernel_size: int, dilation: int, dropout: float):
        super().__init__()
        self.dilated = ConvUnit(channels, bottleneck_channels, kernel_size=kernel_size, dilation=dilation)
        self.pointwise = ConvUnit(bottleneck_channels, channels, kernel_size=1, zero_scale=True)
        self.dropout = FastDropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C, P) to (B, C, P)."""
        return hidden + self.dropout(self.pointwise(self.dilated(hidden)))


class DilatedCore(nn.Module):
    """Pool, residual dilated blocks, one wide pointwise unit, average to bins."""

    def __init__(self, config: DilatedCoreConfig, channels: int, *, bin_size: int) -> None:
        super().__init__()
        self.left_padding = config.pool_left_padding
        self.pool = nn.MaxPool1d(config.pool_size)
        self.blocks = nn.ModuleList(
            DilatedBlock(
                channels,
                config.bottleneck_channels,
                kernel_size=config.kernel_size,
                dilation=dilation,
                dropout=config.dropout,
            )
            for dilation in config.dilations
        )
        self.features = ConvUnit(channels, config.feature_channels, kernel_size=1)
        self.feature_dropout = FastDropout(config.feature_dropout)
        self.bin_pool = nn.AvgPool1d(bin_size // config.pool_size)
        self.feature_channels, self.bins_per_position = config.feature_channels, 1

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C, L) to (B, F, N)."""
        # The reference pads one zero on the left: pooled position j covers bases 2j - 1 and 2j.
        hidden = self.pool(F.pad(hidden, (self.left_padding, 0)))
        for block in self.blocks:
            hidden = block(hidden)
        return self.bin_pool(self.feature_dropout(self.features(hidden)))
