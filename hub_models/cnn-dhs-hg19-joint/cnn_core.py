"""The CNN core: convolutions and max pooling, then one dense layer over the window or at every position."""

from torch import Tensor, nn

from .architecture_parts import CnnCoreConfig
from .convnext_block import ConvNextBlock
from .dropout import FastDropout
from .fast_pool import max_pool
from .stems import ConvReluUnit


class PooledLayer(nn.Module):
    """A convolution or ConvNeXt V2 block, max pooling, dropout."""

    def __init__(self, layer: nn.Module, *, pool_size: int, dropout: float) -> None:
        super().__init__()
        self.layer = layer
        self.pool = nn.MaxPool1d(pool_size) if pool_size > 1 else nn.Identity()
        self.dropout = FastDropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C_in, P) to (B, C, P / pool_size), a rest that fills no pool left out."""
        hidden = self.layer(hidden)
        pooled = max_pool(self.pool, hidden) if isinstance(self.pool, nn.MaxPool1d) else self.pool(hidden)
        return self.dropout(pooled)


class CnnCore(nn.Module):
    """Map (B, C, L) to features (B, F, P), where P is 1 in the "window" form.

    Args:
        config: of this core.
        channels: C.
        num_positions: what the stem makes of a window of `input_length`; the "window" form is built for it.
        num_bins: of that window.
        bin_size: bp.
    """

    def __init__(
        self, config: CnnCoreConfig, channels: int, *, num_positions: int, num_bins: int, bin_size: int
    ) -> None:
        super().__init__()
        in_channels = channels
        layers: list[nn.Module] = [nn.Identity()]  # the first pools the stem
        for out_channels in config.channels:
            layers.append(_layer(config, in_channels, out_channels))
            in_channels = out_channels
        self.layers = nn.Sequential(
            *(
                PooledLayer(layer, pool_size=pool_size, dropout=dropout)
                for layer, pool_size, dropout in zip(layers, config.pool_sizes, config.dropouts, strict=True)
            )
        )
        self.whole_window = config.output == "window"
        width, bp_per_position = in_channels, 1
        for i, pool_size in enumerate(config.pool_sizes):
            if i and config.padding == "valid" and config.block == "conv":
                num_positions -= config.kernel_size - 1
            num_positions //= pool_size
            bp_per_position *= pool_size
        if num_positions < 1:
            raise ValueError(
                "`input_length` is too short for this CNN core: nothing is left of the window after its convolutions "
                "and pooling; use smaller `core.kernel_size` or `core.pool_sizes`"
            )
        if self.whole_window:
            width *= num_positions
            self.bins_per_position = num_bins
        else:
            self.bins_per_position = bp_per_position // bin_size
        self.dense = nn.Linear(width, config.hidden_size)
        self.activation = nn.ReLU()
        self.feature_channels = config.hidden_size

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C, L) to (B, F, P)."""
        hidden = self.layers(hidden).transpose(1, 2)  # (B, P, C)
        if self.whole_window:
            hidden = hidden.flatten(1).unsqueeze(1)  # (B, 1, P * C)
        return self.activation(self.dense(hidden)).transpose(1, 2)


def _layer(config: CnnCoreConfig, in_channels: int, channels: int) -> nn.Module:
    if config.block == "convnext":
        return ConvNextBlock(in_channels, channels, kernel_size=config.kernel_size, depthwise=True)
    return ConvReluUnit(in_channels, channels, kernel_size=config.kernel_size, padding=config.padding)
