"""The ConvNeXt V2 block one window at a time: the CPU's fast path, equal to `ConvNextBlock`.

On a CPU the plain block is bound by memory: each of its element-wise steps reads and writes (B, L, 4C). Here one
window's (L, 4C) stays in cache from the first pointwise layer to the second, and two identities save passes over it:

* GRN scales each channel of a window by one number, so the scale goes into that window's second weight matrix;
  its `beta` goes through that matrix into the bias.
* a sum of squares over positions is a product with a row of ones.

The backward pass is written by hand for the same reason, LayerNorm's in float32 always: its gradients lose a fifth in
bfloat16. A dense convolution of 4 bases is one product with the unfolded window; a depthwise one runs with channels
innermost, and the gradient of its weights tap by tap.
Shapes: B batch, L positions, C channels, H = expansion * C, K kernel size.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .fast_path import compute_dtype, fast_path_allowed, is_differentiated_again, plain_gradients
from .products import column_norms, product, product_over_rows
from .window_threads import over_windows, sum_over_windows

_KINDS = {
    "conv": nn.Conv1d,
    "norm": nn.LayerNorm,
    "pointwise_in": nn.Linear,
    "activation": nn.GELU,
    "pointwise_out": nn.Linear,
}


_ROWS = 256  # positions whose pieces stay in a core's cache


class _Shape(NamedTuple):
    """What of a block is no tensor."""

    groups: int
    kernel_size: int
    norm_eps: float
    grn_eps: float
    dtype: torch.dtype

    @property
    def padding(self) -> tuple[int, int]:
        """Positions left and right of a window; an even kernel reads one more on the right."""
        return (self.kernel_size - 1) // 2, self.kernel_size // 2


def fusible(block: Any, inputs: Tensor) -> bool:
    """Tell whether the fast path computes what `block` would: depthwise, or dense on inputs without gradient."""
    if not fast_path_allowed(block, inputs, _KINDS):
        return False
    conv = block.conv
    dense = conv.groups == 1 and conv.in_channels != conv.out_channels and not inputs.requires_grad
    return dense or conv.groups == conv.in_channels


def fused_convnext(block: Any, inputs: Tensor) -> Tensor:
    """Map (B, C_in, L) to (B, C, L) as `block` does, in the dtype of autocast where that is on."""
    conv = block.conv
    shape = _Shape(conv.groups, conv.kernel_size[0], block.norm.eps, block.grn.eps, compute_dtype(inputs))
    with torch.autocast("cpu", enabled=False):
        hidden = _FusedBlock.apply(
            inputs.transpose(1, 2).to(shape.dtype).contiguous(),
            conv.weight,
            conv.bias,
            block.norm.weight,
            block.norm.bias,
            block.pointwise_in.weight,
            block.pointwise_in.bias,
            block.grn.gamma,
            block.grn.beta,
            block.pointwise_out.weight,
            block.pointwise_out.bias,
            shape,
        )
    return hidden.transpose(1, 2)


def _plain_block(
    inputs: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    in_weight: Tensor,
    in_bias: Tensor,
    gamma: Tensor,
    beta: Tensor,
    out_weight: Tensor,
    out_bias: Tensor,
    *,
    shape: _Shape,
) -> Tensor:
    inputs = inputs.float()
    padded = F.pad(inputs.transpose(1, 2), shape.padding)
    convolved = F.conv1d(padded, conv_weight, conv_bias, groups=shape.groups).transpose(1, 2)
    normed = F.layer_norm(convolved, convolved.shape[2:], norm_weight, norm_bias, shape.norm_eps)
    hidden = F.gelu(F.linear(normed, in_weight, in_bias))
    norm = torch.linalg.vector_norm(hidden, dim=1, keepdim=True)
    share = norm / (norm.mean(-1, keepdim=True) + shape.grn_eps)
    hidden = F.linear(beta + hidden * (1 + gamma * share), out_weight, out_bias)
    return hidden + (inputs if inputs.shape[2] == convolved.shape[2] else convolved)


class _FusedBlock(torch.autograd.Function):
    """(B, L, C_in) -> (B, L, C)."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        conv_weight: Tensor,
        conv_bias: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        in_weight: Tensor,
        in_bias: Tensor,
        gamma: Tensor,
        beta: Tensor,
        out_weight: Tensor,
        out_bias: Tensor,
        shape: _Shape,
    ) -> Tensor:
        (batch, length, in_channels), (channels, width), dtype = inputs.shape, out_weight.shape, shape.dtype
        bias = (out_bias + (out_weight * beta.view(-1)).sum(1)).to(dtype)
        # Copies: products read memory-mapped weights, which are not aligned, in another order.
        in_matrix, in_bias_ = in_weight.t().to(dtype).contiguous(), in_bias.to(dtype)
        norm_weight_, norm_bias_ = norm_weight.to(dtype), norm_bias.to(dtype)
        convolved = _convolve(inputs, conv_weight, conv_bias, shape)
        residual = inputs if in_channels == channels else convolved
        normed = torch.empty(batch, length, channels, dtype=dtype)
        mean, rstd = torch.empty(2, batch, length, 1)
        before: list[Tensor] = [inputs] * batch  # GELU, (L, H) each
        norms = torch.empty(batch, width)  # of each channel over the window
        outputs = torch.empty(batch, length, channels, dtype=dtype)

        def compute(piece: range) -> None:
            hidden = torch.empty(length, width, dtype=dtype)
            for i in piece:
                normed[i], mean[i], rstd[i] = torch.native_layer_norm(
                    convolved[i], [channels], norm_weight_, norm_bias_, shape.norm_eps
                )
                before[i] = product(normed[i], in_matrix, in_bias_)
                torch.ops.aten.gelu.out(before[i], out=hidden)
                norms[i] = column_norms(hidden)
                scale = 1 + gamma.view(-1) * (norms[i] / (norms[i].mean() + shape.grn_eps))
                torch.add(residual[i], product(hidden, (out_weight * scale).to(dtype).t(), bias), out=outputs[i])

        over_windows(batch, compute)
        block = conv_weight, conv_bias, norm_weight, norm_bias, in_weight, in_bias, gamma, beta, out_weight, out_bias
        ctx.save_for_backward(inputs, *block, convolved, mean, rstd, normed, norms, *before)
        ctx.shape = shape
        return outputs

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if is_differentiated_again(gradients[0]):
            plain = partial(_plain_block, shape=ctx.shape)
            return plain_gradients(ctx, plain, ctx.saved_tensors[:11], gradients[0])
        inputs, conv_weight, _, norm_weight, norm_bias, in_weight, _, gamma, beta, out_weight, _, *saved = (
            ctx.saved_tensors
        )
        convolved, mean, rstd, normed, norms, *before = saved
        shape, dtype = ctx.shape, ctx.shape.dtype
        gradient = gradients[0].to(dtype).contiguous()  # (B, L, C)
        (batch, length, channels), width, gamma_row = gradient.shape, norms.shape[1], gamma.view(-1)
        is_residual = inputs.shape[2] == channels
        d_convolved = torch.empty_like(gradient) if ctx.needs_input_grad[0] else None
        in_matrix = in_weight.to(dtype)

        def compute(piece: range) -> tuple[Tensor, ...]:
            d_in_weight, d_in_bias = torch.zeros_like(in_weight), torch.zeros(width)
            d_out_weight, d_gamma = torch.zeros_like(out_weight), torch.zeros(width)
            d_norm_weight, d_norm_bias = torch.zeros(2, channels)
            d_conv_weight, d_conv_bias = _empty_weight_gradient(conv_weight), torch.zeros(channels)
            d_out_bias = torch.zeros(channels)
            hidden, ones = torch.empty(length, width, dtype=dtype), torch.ones(1, length, dtype=dtype)
            for i in piece:
                d_out_bias += gradient[i].sum(0, dtype=torch.float32)
                norm = norms[i]
                mean_norm = norm.mean() + shape.grn_eps
                share = norm / mean_norm
                scale = 1 + gamma_row * share
                torch.ops.aten.gelu.out(before[i], out=hidden)
                d_scaled = product(gradient[i].t(), hidden).float()  # gradient of out_weight * scale, (C, H)
                d_out_weight.addcmul_(d_scaled, scale)
                d_scale = (d_scaled * out_weight).sum(0)
                d_gamma.addcmul_(d_scale, share)
                d_share = d_scale * gamma_row
                d_norm = d_share / mean_norm - (d_share * norm).sum() / (mean_norm * mean_norm) / width
                d_hidden = product(gradient[i], (out_weight * scale).to(dtype))
                # d norm / d hidden = hidden / norm; a channel that is 0 everywhere has no direction
                d_hidden.addcmul_(hidden, (d_norm / norm.clamp_min(1e-12)).to(dtype))
                torch.ops.aten.gelu_backward.grad_input(d_hidden, before[i], grad_input=hidden)  # d before, in place
                d_in_bias += (ones @ hidden).float().view(-1)
                d_in_weight += product_over_rows(hidden, normed[i])
                d_window, d_weight, d_bias = torch.ops.aten.native_layer_norm_backward(
                    product(hidden, in_matrix).float(),
                    convolved[i].float(),
                    [channels],
                    mean[i],
                    rstd[i],
                    norm_weight,
                    norm_bias,
                    [True] * 3,
                )
                d_norm_weight += d_weight
                d_norm_bias += d_bias
                if not is_residual:
                    d_window += gradient[i]
                d_conv_bias += d_window.sum(0)
                _add_weight_gradient(d_conv_weight, inputs[i], d_window, shape)
                if d_convolved is not None:
                    d_convolved[i] = d_window
            return (
                d_conv_weight,
                d_conv_bias,
                d_norm_weight,
                d_norm_bias,
                d_in_weight,
                d_in_bias,
                d_gamma,
                d_out_weight,
                d_out_bias,
            )

        d_conv_weight, d_conv_bias, d_norm_weight, d_norm_bias, *others = sum_over_windows(batch, compute)
        d_in_weight, d_in_bias, d_gamma, d_out_weight, d_out_bias = others
        d_inputs = None
        if d_convolved is not None:
            d_inputs = _convolve_back(d_convolved, conv_weight, shape)
            if is_residual:
                d_inputs += gradient
        d_out_weight.addr_(d_out_bias, beta.view(-1))
        return (
            d_inputs,
            d_conv_weight.view(shape.kernel_size, -1, channels).permute(2, 1, 0),
            d_conv_bias,
            d_norm_weight,
            d_norm_bias,
            d_in_weight,
            d_in_bias,
            d_gamma.view_as(gamma),
            (d_out_bias @ out_weight).view_as(beta),
            d_out_weight,
            d_out_bias,
            None,
        )


def _unfold(window: Tensor, shape: _Shape) -> Tensor:
    """Return what the kernel sees at each position of (L, C_in): (L, K * C_in)."""
    padded = F.pad(window, (0, 0, *shape.padding))
    bases = window.shape[1]
    return padded.as_strided((len(window), shape.kernel_size * bases), (bases, 1)).contiguous()


def _convolve(inputs: Tensor, weight: Tensor, bias: Tensor, shape: _Shape) -> Tensor:
    """Convolve (B, L, C_in) to (B, L, C)."""
    batch, length, in_channels = inputs.shape
    channels, dtype = len(weight), shape.dtype
    if shape.groups == 1:
        matrix = weight.permute(2, 1, 0).reshape(-1, channels).to(dtype)  # (K * C_in, C)
        bias = bias.to(dtype)
        outputs = torch.empty(batch, length, channels, dtype=dtype)

        def compute(piece: range) -> None:
            for i in piece:
                outputs[i] = product(_unfold(inputs[i], shape), matrix, bias)

        over_windows(batch, compute)
        return outputs
    repeated = inputs.repeat_interleave(channels // in_channels, 2) if channels > in_channels else inputs
    left, right = shape.padding
    padded = F.pad(repeated, (0, 0, 0, right - left)) if right > left else repeated
    return _depthwise(padded, weight, bias, left).to(dtype)


@torch.autocast("cpu", enabled=False)
def _depthwise(hidden: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Convolve (B, L, C) with (C, 1, K).

    In float32, which is no slower here than bfloat16: oneDNN never ends on 16 channels and K >= 15 in bfloat16.
    """
    image = hidden.float().transpose(1, 2).unsqueeze(2)  # (B, C, 1, L), channels innermost
    convolved = F.conv2d(image, weight.unsqueeze(2), bias, padding=(0, padding), groups=len(weight))
    return convolved.squeeze(2).transpose(1, 2)


def _convolve_back(gradient: Tensor, weight: Tensor, shape: _Shape) -> Tensor:
    """Return the gradient of a depthwise convolution's inputs (B, L, C_in), given that of its outputs (B, L, C)."""
    left, right = shape.padding
    padded = F.pad(gradient, (0, 0, right - left, 0)) if right > left else gradient
    d_inputs = _depthwise(padded, weight.flip(2), None, left)
    return d_inputs.unflatten(2, (shape.groups, -1)).sum(3).to(shape.dtype)


def _empty_weight_gradient(weight: Tensor) -> Tensor:
    """Return zeros for `_add_weight_gradient`: (K * C_in / groups, C)."""
    return torch.zeros(weight.shape[1] * weight.shape[2], len(weight))


def _add_weight_gradient(total: Tensor, window: Tensor, gradient: Tensor, shape: _Shape) -> None:
    """Add one window's gradient of the convolution's weights, from its input (L, C_in) and its output's (L, C)."""
    length, channels = gradient.shape
    if shape.groups == 1:
        total += product_over_rows(_unfold(window, shape).float(), gradient)
        return
    repeated = window.float().repeat_interleave(channels // window.shape[1], 1)
    padded = F.pad(repeated, (0, 0, *shape.padding))
    for start in range(0, length, _ROWS):  # a piece of the window stays in cache for all taps
        piece = gradient[start : start + _ROWS]
        weighted, ones = torch.empty_like(piece), torch.ones(1, len(piece))
        for tap in range(shape.kernel_size):
            torch.mul(piece, padded[start + tap :][: len(piece)], out=weighted)
            total[tap] += (ones @ weighted).view(-1)
