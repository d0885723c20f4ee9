"""The xLSTM core: pool, a tower of convolutions, residual blocks of mLSTM and sLSTM (arXiv:2405.04517).

The blocks are those of the paper's appendix, with the sizes of Grover et al.'s ConvNeXt-xLSTM; what neither prints
follows the reference's outputs and the statistics of its weights at the start. So norms store their scale as its
difference from 1.

Shapes: B batch, C channels, P positions, H heads; E = `mlstm_expansion` * C. Inside a block the layout is (B, P, C).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .architecture_parts import XlstmCoreConfig
from .fast_pool import max_pool
from .mlstm import chunkwise_mlstm
from .slstm import slstm
from .tower import build_tower


class OffsetNorm(nn.Module):
    """LayerNorm of each head's channels, without bias, scaled by 1 + `weight`."""

    chromhub_init = True

    def __init__(self, channels: int, num_heads: int = 1, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_heads, self.eps = num_heads, eps
        self.weight = nn.Parameter(torch.zeros(channels))

    def reset_parameters(self) -> None:
        """Scale by 1."""
        init.zeros_(self.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, P, C) to (B, P, C)."""
        heads = hidden.unflatten(-1, (self.num_heads, -1))
        return F.layer_norm(heads, heads.shape[-1:], eps=self.eps).flatten(-2) * (1 + self.weight)


class CausalConv1d(nn.Conv1d):
    """A depthwise convolution whose output at a position reads that position and those before it."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__(channels, channels, kernel_size, groups=channels)

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, P, C) to (B, P, C)."""
        padded = F.pad(input, (0, 0, self.kernel_size[0] - 1, 0)).transpose(1, 2)
        # In two dimensions: there PyTorch keeps channels last and copies nothing.
        outputs = F.conv2d(padded.unsqueeze(2), self.weight.unsqueeze(2), self.bias, groups=self.groups)
        return outputs.squeeze(2).transpose(1, 2)


class HeadLinear(nn.Module):
    """A linear map of each head's channels, itself in diagonal blocks, without bias.

    Args:
        channels: of all heads.
        num_heads: H.
        block_size: channels that are mixed; divides `channels` / H.
        init_width: the weights start with standard deviation sqrt(2 / (5 * `init_width`)).

    Raises:
        ValueError: the blocks do not fill the heads.
    """

    chromhub_init = True

    def __init__(self, channels: int, *, num_heads: int, block_size: int, init_width: int) -> None:
        super().__init__()
        if channels % (num_heads * block_size):
            raise ValueError(
                f"`num_heads` * block size must divide the {channels} channels of an xLSTM block, "
                f"got {num_heads} * {block_size}"
            )
        self.num_heads, self.init_width = num_heads, init_width
        self.weight = nn.Parameter(torch.empty(channels // block_size, block_size, block_size))  # (block, out, in)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights."""
        small_init(self.weight, self.init_width)

    def forward(self, heads: Tensor) -> Tensor:
        """Map (..., H, P, D) to (..., H, P, D)."""
        blocks, size, _ = self.weight.shape
        # A head's blocks as one matrix: products with zeros are faster than small products.
        eye = torch.eye(blocks // self.num_heads, dtype=self.weight.dtype, device=self.weight.device)
        matrix = self.weight.view(self.num_heads, -1, size, 1, size) * eye[:, None, :, None]
        return heads @ matrix.flatten(3, 4).flatten(1, 2).transpose(1, 2)


class MlstmBlock(GradientCheckpointingLayer):
    """Widen, convolve, store and read a matrix memory, gate, narrow; added to the input."""

    chromhub_init = True

    def __init__(self, config: XlstmCoreConfig, channels: int) -> None:
        super().__init__()
        self.num_heads, self.num_blocks, inner = config.num_heads, config.num_blocks, config.mlstm_expansion * channels
        self.norm = OffsetNorm(channels)
        self.up = nn.Linear(channels, 2 * inner, bias=False)
        self.conv = CausalConv1d(inner, config.conv_kernel_size)
        self.conv_activation = nn.SiLU()
        self.query, self.key, self.value = (
            HeadLinear(inner, num_heads=self.num_heads, block_size=config.qkv_block_size, init_width=channels)
            for _ in range(3)
        )
        self.input_gate = nn.Linear(3 * inner, self.num_heads)
        self.forget_gate = nn.Linear(3 * inner, self.num_heads)
        self.head_norm = OffsetNorm(inner, self.num_heads)
        self.skip = nn.Parameter(torch.ones(inner))
        self.gate_activation = nn.SiLU()
        self.down = nn.Linear(inner, channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as the reference does: gates that read nothing yet, heads that forget at different speeds."""
        small_init(self.up.weight, self.up.in_features)
        residual_init(self.down.weight, self.num_blocks)
        for gate in (self.input_gate, self.forget_gate):
            init.zeros_(gate.weight)
        init.normal_(self.input_gate.bias, std=0.1)
        init.copy_(self.forget_gate.bias, torch.linspace(3, 6, self.num_heads))
        init.ones_(self.skip)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, P, C) to (B, P, C)."""
        hidden, outer_gate = self.up(self.norm(inputs)).chunk(2, -1)  # (B, P, E)
        convolved = self.conv_activation(self.conv(hidden))
        by_head = convolved.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, H, P, E / H)
        query, key = self.query(by_head), self.key(by_head)
        value = self.value(hidden.unflatten(-1, (self.num_heads, -1)).transpose(1, 2))
        projected = torch.cat([heads.transpose(1, 2).flatten(2) for heads in (query, key, value)], -1)
        dtype = torch.promote_types(projected.dtype, torch.float32)
        input_gate, forget_gate = (
            gate(projected).transpose(1, 2).to(dtype)  # (B, H, P)
            for gate in (self.input_gate, self.forget_gate)
        )
        hidden = chunkwise_mlstm(query, key, value, input_gate=input_gate, forget_gate=forget_gate)
        hidden = self.head_norm(hidden.transpose(1, 2).flatten(2)) + self.skip * convolved
        return inputs + self.down(hidden * self.gate_activation(outer_gate))


class SlstmBlock(GradientCheckpointingLayer):
    """A scalar memory whose gates read its last output, then a gated MLP; each added to its input.

    Args:
        config: of the core.
        channels: C.
        depth: 0 for the first block of the stack, 1 for the last; sets how the forget gates start.
    """

    chromhub_init = True

    def __init__(self, config: XlstmCoreConfig, channels: int, *, depth: float) -> None:
        super().__init__()
        self.num_heads, self.num_blocks, self.depth = config.num_heads, config.num_blocks, depth
        size, inner = channels // config.num_heads, config.feedforward_expansion * channels
        self.norm = OffsetNorm(channels)
        self.conv = CausalConv1d(channels, config.conv_kernel_size)
        self.conv_activation = nn.SiLU()
        self.input_gate, self.forget_gate, self.cell_gate, self.output_gate = (
            HeadLinear(channels, num_heads=self.num_heads, block_size=size, init_width=channels) for _ in range(4)
        )
        self.bias = nn.Parameter(torch.zeros(4 * channels))  # (gate, head, channel)
        self.recurrent = nn.Parameter(torch.zeros(self.num_heads, 4 * size, size))
        self.head_norm = OffsetNorm(channels, self.num_heads)
        self.feedforward_norm = OffsetNorm(channels)
        self.feedforward_in = nn.Linear(channels, 2 * inner, bias=False)
        self.activation = nn.GELU()
        self.feedforward_out = nn.Linear(inner, channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as the reference does: no recurrence, forget biases from 5 to -7 along each head's channels."""
        size = self.recurrent.shape[-1]
        spread = torch.linspace(0, 1, size) ** (0.3 + 1.3 * self.depth)
        bias = torch.zeros(4, self.num_heads, size)
        bias[1] = 5 - 12 * spread
        init.copy_(self.bias, bias.flatten())
        init.zeros_(self.recurrent)
        small_init(self.feedforward_in.weight, self.feedforward_in.in_features)
        residual_init(self.feedforward_out.weight, self.num_blocks)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, P, C) to (B, P, C)."""
        hidden = self.norm(inputs)
        hidden = slstm(self.gates(hidden), self.recurrent).to(hidden.dtype)  # (H, P, B, C / H)
        hidden = inputs + self.head_norm(hidden.permute(2, 1, 0, 3).flatten(2))
        inner, gate = self.feedforward_in(self.feedforward_norm(hidden)).chunk(2, -1)
        return hidden + self.feedforward_out(self.activation(inner) * gate)

    def gates(self, hidden: Tensor) -> Tensor:
        """Return what (B, P, C) alone gives the gates, (H, P, B, 4C / H): input, forget, cell, output."""
        batch, positions, _ = hidden.shape
        convolved = self.conv_activation(self.conv(hidden))
        # (H, P * B, C / H)
        convolved, plain = (
            tensor.unflatten(-1, (self.num_heads, -1)).permute(2, 1, 0, 3).flatten(1, 2)
            for tensor in (convolved, hidden)
        )
        maps = [self.input_gate(convolved), self.forget_gate(convolved), self.cell_gate(plain), self.output_gate(plain)]
        bias = self.bias.view(4, self.num_heads, 1, -1).unbind()
        return torch.cat([each + its for each, its in zip(maps, bias, strict=True)], -1).unflatten(
            1, (positions, batch)
        )


class XlstmStack(nn.Module):
    """Blocks, then a norm. Any length; without `bidirectional` an output reads nothing to its right."""

    def __init__(self, config: XlstmCoreConfig, channels: int) -> None:
        super().__init__()
        self.bidirectional, last = config.bidirectional, max(config.num_blocks - 1, 1)
        self.blocks = nn.ModuleList(
            SlstmBlock(config, channels, depth=i / last) if i in config.slstm_at else MlstmBlock(config, channels)
            for i in range(config.num_blocks)
        )
        self.norm = OffsetNorm(channels)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C, P) to (B, C, P)."""
        hidden = hidden.transpose(1, 2)
        for i, block in enumerate(self.blocks):
            backwards = self.bidirectional and i % 2 == 1
            hidden = block(hidden.flip(1)).flip(1) if backwards else block(hidden)
        return self.norm(hidden).transpose(1, 2)


class XlstmCore(nn.Module):
    """Map (B, C, L) to features (B, C, N)."""

    def __init__(self, config: XlstmCoreConfig, channels: int, *, bin_size: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool1d(config.pool_size)
        self.tower = build_tower(config, channels)
        self.stack = XlstmStack(config, channels)
        steps_per_bin = bin_size // config.pool_size
        self.bin_pool = nn.AvgPool1d(steps_per_bin) if steps_per_bin > 1 else nn.Identity()
        self.feature_channels, self.bins_per_position = channels, 1

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, C, L) to (B, C, N)."""
        return self.bin_pool(self.stack(self.tower(max_pool(self.pool, hidden))))


def small_init(weight: Tensor, width: int) -> None:
    """Draw from a normal with variance 2 / (5 `width`) (arXiv:1910.05895)."""
    init.normal_(weight, std=math.sqrt(2 / (5 * width)))


def residual_init(weight: Tensor, num_blocks: int) -> None:
    """Draw what ends a residual branch with standard deviation 2 / (blocks * sqrt(C)) (gpt-neox's "wang_init")."""
    init.normal_(weight, std=2 / (num_blocks * math.sqrt(weight.shape[0])))
