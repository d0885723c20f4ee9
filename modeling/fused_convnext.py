"""The ConvNeXt V2 block one window at a time: the CPU's fast path, equal to `ConvNextBlock`.

On a CPU the plain block is bound by memory: each of its element-wise steps reads and writes (B, L, 4C). Here one
window's (L, 4C) stays in cache from the first pointwise layer to the second, and two identities save passes over it:

* GRN scales each channel of a window by one number, so the scale goes into that window's second weight matrix;
  its `beta` goes through that matrix into the bias.
* a sum of squares over positions is a product with a row of ones.

The backward pass is written by hand for the same reason. Only for a first layer, whose input needs no gradient.
Shapes: B batch, L positions, C channels, H = expansion * C, K kernel size.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_PLAIN_LAYERS = {"conv": nn.Conv1d, "norm": nn.LayerNorm, "pointwise_in": nn.Linear, "pointwise_out": nn.Linear}


def fusible(block: Any, inputs: Tensor) -> bool:
    """Tell whether the fast path computes what `block` would: on a CPU, no adapter, no hook, a dense convolution."""
    return (
        inputs.device.type == "cpu"
        and not inputs.requires_grad
        and not torch.compiler.is_compiling()
        and all(type(getattr(block, name)) is kind for name, kind in _PLAIN_LAYERS.items())
        and inputs.shape[1] != block.conv.out_channels
        and block.conv.groups == 1
        and block.conv.kernel_size[0] % 2 == 1
        and not any(module._forward_hooks or module._forward_pre_hooks for module in block.modules())
        and block.conv.weight.dtype == torch.float32
    )


def fused_convnext(block: Any, inputs: Tensor) -> Tensor:
    """Map (B, C_in, L) to (B, C, L) as `block` does, in the dtype of autocast where that is on."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else inputs.dtype
    hidden = _FusedBlock.apply(
        inputs,
        block.conv.weight,
        block.conv.bias,
        block.norm.weight,
        block.norm.bias,
        block.pointwise_in.weight,
        block.pointwise_in.bias,
        block.grn.gamma,
        block.grn.beta,
        block.pointwise_out.weight,
        block.pointwise_out.bias,
        block.norm.eps,
        block.grn.eps,
        dtype,
    )
    return hidden.transpose(1, 2)


class _FusedBlock(torch.autograd.Function):
    """(B, C_in, L) -> (B, L, C)."""

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
        norm_eps: float,
        grn_eps: float,
        dtype: torch.dtype,
    ) -> Tensor:
        batch, _, length = inputs.shape
        channels, width = out_weight.shape
        inputs, padding = inputs.to(dtype), conv_weight.shape[-1] // 2
        with torch.autocast("cpu", enabled=False):
            convolved = F.conv1d(inputs, conv_weight.to(dtype), conv_bias.to(dtype), padding=padding)
            convolved = convolved.transpose(1, 2).contiguous()  # (B, L, C)
            normed, mean, rstd = torch.native_layer_norm(
                convolved, [channels], norm_weight.to(dtype), norm_bias.to(dtype), norm_eps
            )
            bias = (out_bias + (out_weight * beta.view(-1)).sum(1)).to(dtype)
            # A copy: products read memory-mapped weights, which are not aligned, in another order.
            in_matrix, in_bias = in_weight.t().to(dtype).contiguous(), in_bias.to(dtype)
            before = torch.empty(batch, length, width, dtype=dtype)  # before GELU
            norms = torch.empty(batch, width)  # of each channel over the window
            outputs = torch.empty(batch, length, channels, dtype=dtype)
            hidden, squares = torch.empty(2, length, width, dtype=dtype)
            ones = torch.ones(1, length, dtype=dtype)
            for i in range(batch):
                torch.addmm(in_bias, normed[i], in_matrix, out=before[i])
                torch.ops.aten.gelu.out(before[i], out=hidden)
                torch.mul(hidden, hidden, out=squares)
                norms[i] = (ones @ squares).float().sqrt().view(-1)
                scale = 1 + gamma.view(-1) * (norms[i] / (norms[i].mean() + grn_eps))
                torch.addmm(convolved[i] + bias, hidden, (out_weight * scale).to(dtype).t(), out=outputs[i])
        ctx.save_for_backward(
            inputs,
            norm_weight,
            norm_bias,
            in_weight,
            gamma,
            beta,
            out_weight,
            convolved,
            normed,
            mean,
            rstd,
            before,
            norms,
        )
        ctx.grn_eps, ctx.kernel_size, ctx.dtype = grn_eps, conv_weight.shape[-1], dtype
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, norm_weight, norm_bias, in_weight, gamma, beta, out_weight, *saved = ctx.saved_tensors
        convolved, normed, mean, rstd, before, norms = saved
        gradient = gradients[0].to(ctx.dtype).contiguous()  # (B, L, C)
        (batch, length, channels), width, gamma_row = gradient.shape, before.shape[-1], gamma.view(-1)
        d_in_weight, d_in_bias = torch.zeros_like(in_weight), torch.zeros(width)
        d_out_weight, d_gamma = torch.zeros_like(out_weight), torch.zeros(width)
        d_normed = torch.empty_like(normed)
        hidden, d_hidden = torch.empty(2, length, width, dtype=ctx.dtype)
        ones, in_matrix = torch.ones(1, length, dtype=ctx.dtype), in_weight.to(ctx.dtype)
        for i in range(batch):
            norm = norms[i]
            mean_norm = norm.mean() + ctx.grn_eps
            share = norm / mean_norm
            scale = 1 + gamma_row * share
            torch.ops.aten.gelu.out(before[i], out=hidden)
            d_scaled = (gradient[i].t() @ hidden).float()  # gradient of out_weight * scale, (C, H)
            d_out_weight.addcmul_(d_scaled, scale)
            d_scale = (d_scaled * out_weight).sum(0)
            d_gamma.addcmul_(d_scale, share)
            d_share = d_scale * gamma_row
            d_norm = d_share / mean_norm - (d_share * norm).sum() / (mean_norm * mean_norm) / width
            torch.mm(gradient[i], (out_weight * scale).to(ctx.dtype), out=d_hidden)
            # d norm / d hidden = hidden / norm; a channel that is 0 everywhere has no direction
            d_hidden.addcmul_(hidden, (d_norm / norm.clamp_min(1e-12)).to(ctx.dtype))
            torch.ops.aten.gelu_backward.grad_input(d_hidden, before[i], grad_input=hidden)  # d before, in place
            d_in_bias += (ones @ hidden).float().view(-1)
            d_in_weight += (hidden.t() @ normed[i]).float()
            torch.mm(hidden, in_matrix, out=d_normed[i])
        d_out_bias = gradient.sum((0, 1), dtype=torch.float32)
        d_out_weight.addr_(d_out_bias, beta.view(-1))
        # In float32: LayerNorm's own gradients lose a fifth in bfloat16.
        d_convolved, d_norm_weight, d_norm_bias = torch.ops.aten.native_layer_norm_backward(
            d_normed.float(),
            convolved.float(),
            [channels],
            mean.float(),
            rstd.float(),
            norm_weight,
            norm_bias,
            [True] * 3,
        )
        d_convolved += gradient  # the residual
        # The convolution's weight gradient as one product with the unfolded input.
        padding, bases = ctx.kernel_size // 2, inputs.shape[1]
        padded = F.pad(inputs.float().transpose(1, 2), (0, 0, padding, padding)).contiguous()  # (B, L + 2P, C_in)
        columns = padded.as_strided((batch, length, ctx.kernel_size * bases), (padded.stride(0), bases, 1)).reshape(
            batch * length, -1
        )
        d_conv = d_convolved.reshape(-1, channels).t() @ columns
        return (
            None,
            d_conv.view(channels, ctx.kernel_size, bases).transpose(1, 2),
            d_convolved.sum((0, 1)),
            d_norm_weight,
            d_norm_bias,
            d_in_weight,
            d_in_bias,
            d_gamma.view_as(gamma),
            (d_out_bias @ out_weight).view_as(beta),
            d_out_weight,
            d_out_bias,
            None,
            None,
            None,
        )
