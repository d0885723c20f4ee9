"""Stems: one-hot DNA (B, 4, L) -> features (B, C, L), one position a base."""

from torch import Tensor, nn

from .configuration_atac import StemConfig
from .convnext_block import ConvNextBlock


class ZeroScaleBatchNorm(nn.BatchNorm1d):
    """Batch normalisation whose scale starts at 0, so that a residual block starts as the identity."""


class ConvUnit(nn.Module):
    """GELU, convolution, batch normalisation: Basenji's pre-activation unit."""

    def __init__(
        self, in_channels: int, channels: int, *, kernel_size: int, dilation: int = 1, zero_scale: bool = False
    ) -> None:
        super().__init__()
        self.activation = nn.GELU()
        self.conv = nn.Conv1d(
            in_channels,
            channels,
            kernel_size,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            bias=False,
        )
        self.norm = (ZeroScaleBatchNorm if zero_scale else nn.BatchNorm1d)(channels)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C_in, L) to (B, C, L)."""
        return self.norm(self.conv(self.activation(hidden)))


def build_stem(config: StemConfig) -> nn.Module:
    """Return the stem that `config` describes.

    By its `type`, not its class: a checkpoint loaded with remote code brings its own copy of the class.

    Raises:
        ValueError: no such type.
    """
    if config.type == "conv":
        # The activation sees the one-hot itself (1 -> 0.8413), as in the reference.
        return ConvUnit(4, config.channels, kernel_size=config.kernel_size)
    if config.type == "convnext":
        return ConvNextBlock(4, config.channels, kernel_size=config.kernel_size, expansion=config.expansion)
    raise ValueError(f"`stem.type` must be conv or convnext, got {config.type!r}")
