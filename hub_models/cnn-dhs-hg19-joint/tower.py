"""The tower between stem and sequence model: residual blocks of depthwise ConvNeXt V2 or of plain convolutions."""

from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .architecture_parts import TransformerCoreConfig, XlstmCoreConfig
from .convnext_block import ConvNextBlock
from .stems import ConvUnit


class ResidualConvUnit(GradientCheckpointingLayer):
    """GELU, convolution and batch normalisation, added to the input."""

    def __init__(self, channels: int, *, kernel_size: int) -> None:
        super().__init__()
        self.unit = ConvUnit(channels, channels, kernel_size=kernel_size, zero_scale=True)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C, P) to (B, C, P)."""
        return hidden + self.unit(hidden)


def build_tower(config: TransformerCoreConfig | XlstmCoreConfig, channels: int) -> nn.Sequential:
    """Return the tower that `config` describes: (B, C, P) -> (B, C, P)."""
    kernel_size = config.tower_kernel_size
    if config.tower == "conv":
        return nn.Sequential(*(ResidualConvUnit(channels, kernel_size=kernel_size) for _ in range(config.tower_blocks)))
    return nn.Sequential(
        *(
            ConvNextBlock(channels, channels, kernel_size=kernel_size, depthwise=True)
            for _ in range(config.tower_blocks)
        )
    )
