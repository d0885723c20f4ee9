"""Stems: one-hot DNA (B, 4, L) -> features (B, C, L), one position a base."""

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from .architecture_parts import StemConfig
from .convnext_block import ConvNextBlock
from .dilated_conv import DilatedConv1d
from .fast_path import compute_dtype, fast_path_allowed
from .fused_dilated import fast_unit, fast_unit_applies
from .unfolded_conv import unfolded_conv


class ZeroScaleBatchNorm(nn.BatchNorm1d):
    """Batch normalisation whose scale starts at 0, so that a residual block starts as the identity."""


class ConvUnit(nn.Module):
    """GELU, convolution, batch normalisation: Basenji's pre-activation unit."""

    def __init__(
        self, in_channels: int, channels: int, *, kernel_size: int, dilation: int = 1, zero_scale: bool = False
    ) -> None:
        super().__init__()
        self.activation = nn.GELU()
        self.right_padding = dilation * (1 - kernel_size % 2)  # an even kernel reads one position more on the right
        padding = dilation * ((kernel_size - 1) // 2)  # says the dilation, too
        self.conv = DilatedConv1d(in_channels, channels, kernel_size, padding=padding, bias=False)
        self.norm = (ZeroScaleBatchNorm if zero_scale else nn.BatchNorm1d)(channels)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C_in, L) to (B, C, L), on a CPU by the fast path."""
        if fast_unit_applies(self, hidden):
            return fast_unit(self, hidden)
        hidden = self.activation(hidden)
        return self.norm(self.conv(F.pad(hidden, (0, self.right_padding)) if self.right_padding else hidden))


class ConvReluUnit(GradientCheckpointingLayer):
    """Convolution and ReLU, with the window's length kept ("same") or shortened by the kernel ("valid")."""

    def __init__(self, in_channels: int, channels: int, *, kernel_size: int, padding: str) -> None:
        super().__init__()
        same = padding == "same"
        self.right_padding = 1 - kernel_size % 2 if same else 0
        self.conv = nn.Conv1d(in_channels, channels, kernel_size, padding=(kernel_size - 1) // 2 if same else 0)
        self.activation = nn.ReLU()

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C_in, L) to (B, C, L), or (B, C, L - kernel_size + 1), bases on a CPU by the fast path."""
        if hidden.shape[1] == 4 and fast_path_allowed(self, hidden, {"conv": nn.Conv1d, "activation": nn.ReLU}):
            return unfolded_conv(
                self.conv,
                hidden.transpose(1, 2),
                dtype=compute_dtype(hidden),
                relu_after=True,
                right_padding=self.right_padding,
            ).transpose(1, 2)
        return self.activation(self.conv(F.pad(hidden, (0, self.right_padding)) if self.right_padding else hidden))


class ActivatedConvNextBlock(ConvNextBlock):
    """A ConvNeXt V2 block with a ReLU after it."""

    def __init__(self, in_channels: int, channels: int, *, kernel_size: int, expansion: int) -> None:
        super().__init__(in_channels, channels, kernel_size=kernel_size, expansion=expansion)
        self.output_activation = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, C_in, L) to (B, C, L)."""
        return self.output_activation(super().forward(inputs))


def build_stem(config: StemConfig) -> nn.Module:
    """Return the stem that `config` describes.

    By its `type`, not its class: a checkpoint loaded with remote code brings its own copy of the class.

    Raises:
        ValueError: no such type.
    """
    channels, kernel_size = config.channels, config.kernel_size
    if config.type == "conv" and config.unit == "conv-relu":
        return ConvReluUnit(4, channels, kernel_size=kernel_size, padding=config.padding)
    if config.type == "conv" and config.padding == "same":
        # The activation sees the one-hot itself (1 -> 0.8413), as in the reference.
        return ConvUnit(4, channels, kernel_size=kernel_size)
    if config.type == "convnext":
        block = ActivatedConvNextBlock if config.activation == "relu" else ConvNextBlock
        return block(4, channels, kernel_size=kernel_size, expansion=config.expansion)
    raise ValueError(f"`stem` must be a ConvNeXt block, a conv-relu or a padded gelu-conv-norm unit, got {config}")


def stem_length(config: StemConfig, length: int) -> int:
    """Return the positions that a stem makes of `length` bp."""
    return length - config.kernel_size + 1 if getattr(config, "padding", "same") == "valid" else length
