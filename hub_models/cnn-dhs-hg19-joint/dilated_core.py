"""The dilated core: features at one base (B, C, L) -> features at one bin (B, F, N)."""

from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .architecture_parts import DilatedCoreConfig
from .dropout import FastDropout
from .fast_pool import max_pool
from .fused_dilated import fast_pointwise, fast_pointwise_applies
from .stems import ConvUnit


class DilatedBlock(GradientCheckpointingLayer):
    """A dilated and a pointwise unit around a bottleneck, added to the input."""

    def __init__(self, channels: int, bottleneck_channels: int, *, kernel_size: int, dilation: int, dropout: float):
        super().__init__()
        self.dilated = ConvUnit(channels, bottleneck_channels, kernel_size=kernel_size, dilation=dilation)
        self.pointwise = ConvUnit(bottleneck_channels, channels, kernel_size=1, zero_scale=True)
        self.dropout = FastDropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C, P) to (B, C, P), in training on a CPU by the fast path."""
        narrow = self.dilated(hidden)
        if fast_pointwise_applies(self.pointwise, self.dropout, narrow):
            return fast_pointwise(self.pointwise, self.dropout, narrow, residual=hidden)
        return hidden + self.dropout(self.pointwise(narrow))


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
        self.positions_per_bin = bin_size // config.pool_size
        self.bin_pool = nn.AvgPool1d(self.positions_per_bin)
        self.feature_channels, self.bins_per_position = config.feature_channels, 1

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C, L) to (B, F, N)."""
        # The reference pads one zero on the left: pooled position j covers bases 2j - 1 and 2j.
        hidden = max_pool(self.pool, hidden, self.left_padding)
        for block in self.blocks:
            hidden = block(hidden)
        if fast_pointwise_applies(self.features, self.feature_dropout, hidden):
            return fast_pointwise(self.features, self.feature_dropout, hidden, pool=self.positions_per_bin)
        return self.bin_pool(self.feature_dropout(self.features(hidden)))
