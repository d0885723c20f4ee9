"""The ConvNeXt V2 block in one dimension (arXiv:2301.00808), as Grover et al. 2026 use it.

Shapes: B batch, C channels, H hidden channels, L positions. Inside a block the layout is (B, L, C).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from .fused_convnext import fused_convnext, fusible


class GlobalResponseNorm(nn.Module):
    """Scale each channel by its share of the window's response (arXiv:2301.00808, algorithm 1).

    The norm runs over the whole window, so every output depends on every input once `gamma` is not 0.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.zeros(1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, channels))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, L, H) to (B, L, H)."""
        norm = torch.linalg.vector_norm(hidden, dim=1, keepdim=True)  # (B, 1, H), over the window
        share = norm / (norm.mean(dim=-1, keepdim=True) + self.eps)
        # gamma * (hidden * share) + beta + hidden, in one pass over memory
        return torch.addcmul(self.beta, hidden, 1 + self.gamma * share)


class ConvNextBlock(GradientCheckpointingLayer):
    """Convolution, LayerNorm, pointwise MLP with GELU and GRN, residual.

    Where the channels change, the residual is the convolution's output (the reference's choice).
    """

    def __init__(
        self, in_channels: int, channels: int, *, kernel_size: int, expansion: int = 4, depthwise: bool = False
    ) -> None:
        super().__init__()
        groups = in_channels if depthwise else 1
        self.right_padding = 1 - kernel_size % 2  # an even kernel reads one base more on the right
        self.conv = nn.Conv1d(in_channels, channels, kernel_size, padding=(kernel_size - 1) // 2, groups=groups)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pointwise_in = nn.Linear(channels, expansion * channels)
        self.activation = nn.GELU()
        self.grn = GlobalResponseNorm(expansion * channels)
        self.pointwise_out = nn.Linear(expansion * channels, channels)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, C_in, L) to (B, C, L), on a CPU by the fast path where that is equal."""
        return fused_convnext(self, inputs) if fusible(self, inputs) else self.plain_forward(inputs)

    def plain_forward(self, inputs: Tensor) -> Tensor:
        """The block as the paper writes it."""
        convolved = self.conv(F.pad(inputs, (0, self.right_padding)) if self.right_padding else inputs)
        hidden = self.norm(convolved.transpose(1, 2))  # (B, L, C)
        hidden = self.pointwise_out(self.grn(self.activation(self.pointwise_in(hidden))))
        residual = inputs if inputs.shape[1] == convolved.shape[1] else convolved
        return hidden.transpose(1, 2) + residual
