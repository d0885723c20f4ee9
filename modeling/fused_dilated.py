"""The dilated core's training step on a CPU: its units with channels innermost, equal to the plain ones.

A tensor keeps the plain code's shape (B, C, P); only its strides are those of (B, P, C), so plain and fast code mix.

* `fast_unit`: GELU, convolution, batch normalisation in that layout.
* `fast_pointwise`: a unit of kernel 1 and the dropout, residual or average pooling behind it, one window at a time.
  A pointwise convolution is linear, so the mean and covariance of its C inputs give the mean and variance of each of
  its F outputs (var_f = w_f Cov w_f). The normalisation then goes into the weights, and of the wide (B, F, P) nothing
  is kept but the dropout mask. The backward pass needs the same two moments.

Shapes: B batch, P positions, C and F channels.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .dilated_conv import DilatedConv1d
from .dropout import LEVELS, FastDropout, draw_mask, mask_generators
from .fast_path import compute_dtype, fast_path_allowed, is_differentiated_again, is_hooked, plain_gradients
from .products import WindowConv, product_over_rows
from .unfolded_conv import unfolded_conv
from .window_threads import over_windows, sum_over_windows

_KINDS = {"activation": nn.GELU, "conv": DilatedConv1d}
_ELEMENTS = 2**19  # of the wide (P, F), that stay in a core's cache


def fast_unit_applies(unit: Any, hidden: Tensor) -> bool:
    """Tell whether `fast_unit` computes what a `ConvUnit` would."""
    return (
        fast_path_allowed(unit, hidden, _KINDS)
        and isinstance(unit.norm, nn.BatchNorm1d)
        and unit.norm.momentum is not None
        and not unit.right_padding
    )


def fast_unit(unit: Any, hidden: Tensor) -> Tensor:
    """Map (B, C, P) to (B, F, P) as a `ConvUnit` does, channels innermost in memory."""
    conv, norm = unit.conv, unit.norm
    hidden = unfolded_conv(conv, hidden.transpose(1, 2), dtype=compute_dtype(hidden), gelu_first=True)
    hidden = hidden.transpose(1, 2).unsqueeze(2)
    batch_statistics = norm.training or norm.running_mean is None
    if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    running = (norm.running_mean, norm.running_var) if not norm.training or norm.track_running_stats else (None, None)
    hidden = F.batch_norm(hidden, *running, norm.weight, norm.bias, batch_statistics, norm.momentum, norm.eps)
    return hidden.squeeze(2)


def fast_pointwise_applies(unit: Any, dropout: Any, hidden: Tensor) -> bool:
    """Tell whether `fast_pointwise` computes what `dropout(unit(hidden))` would, by the batch's statistics."""
    return (
        fast_unit_applies(unit, hidden)
        and unit.conv.kernel_size == (1,)
        and unit.norm.training
        and unit.norm.track_running_stats
        and type(dropout) is FastDropout
        and dropout.kept > 0
        and not is_hooked(dropout)
    )


def fast_pointwise(unit: Any, dropout: Any, hidden: Tensor, *, residual: Tensor | None = None, pool: int = 1) -> Tensor:
    """Map (B, C, P) to `dropout(unit(hidden))`, plus `residual` or averaged over `pool` positions (B, F, P / pool)."""
    norm, conv, dtype = unit.norm, unit.conv, compute_dtype(hidden)
    with torch.autocast("cpu", enabled=False):
        outputs, mean, variance = _PointwiseUnit.apply(
            _channels_last(hidden).transpose(1, 2),
            None if residual is None else _channels_last(residual).transpose(1, 2),
            conv.weight.squeeze(2),
            norm.weight,
            norm.bias,
            norm.eps,
            dropout.kept,
            pool,
            dtype,
        )
    with torch.no_grad():
        count = hidden.shape[0] * hidden.shape[2]
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
    return outputs.transpose(1, 2)


def _channels_last(hidden: Tensor) -> Tensor:
    """Return (B, C, P) with the strides of (B, P, C)."""
    return hidden.transpose(1, 2).contiguous().transpose(1, 2)


def _plain_unit(
    hidden: Tensor,
    residual: Tensor | None,
    weight: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    *,
    mask: Tensor | None,
    eps: float,
    share: float,
    pool: int,
) -> Tensor:
    values = F.linear(F.gelu(hidden.float()), weight).flatten(0, 1)  # (B * P, F)
    values = F.batch_norm(values, None, None, norm_weight, norm_bias, training=True, eps=eps)
    values = share * values.unflatten(0, hidden.shape[:2])
    bins = (values if mask is None else values * -mask).unflatten(1, (-1, pool)).sum(2)
    return bins if residual is None else residual.float() + bins


class _PointwiseUnit(torch.autograd.Function):
    """(B, P, C) -> (B, P / pool, F), with the batch mean and variance of the F channels."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        residual: Tensor | None,
        weight: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        eps: float,
        kept: int,
        pool: int,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        (batch, positions, channels), width = hidden.shape, weight.shape[0]
        activated = torch.empty(batch, positions, channels, dtype=dtype)

        def activate(piece: range) -> tuple[Tensor]:
            total = torch.zeros(channels, dtype=torch.float64)
            for i in piece:
                torch.ops.aten.gelu.out(hidden[i].to(dtype), out=activated[i])
                total += activated[i].sum(0, dtype=torch.float32)
            return (total,)

        (total,) = sum_over_windows(batch, activate)
        mean = total / (batch * positions)
        # Around the mean, in float32, summed in float64: a small variance is no difference of large numbers.
        around = mean.float()

        def multiply(piece: range) -> tuple[Tensor]:
            squares = torch.zeros(channels, channels, dtype=torch.float64)
            for i in piece:
                window = activated[i] - around
                squares += product_over_rows(window, window)
            return (squares,)

        (squares,) = sum_over_windows(batch, multiply)
        covariance = squares / (batch * positions) - (mean - around).outer(mean - around)
        wide = weight.double()
        spread = wide @ covariance  # (F, C)
        variance = (spread * wide).sum(1).clamp_min(0)
        rstd = (variance + eps).rsqrt()
        gain = norm_weight * rstd
        # dropout's scale and the average over a bin go into the weights, too
        share = LEVELS / kept / pool
        matrix = (share * gain[:, None] * wide).to(dtype)  # (F, C)
        offset = (share * (norm_bias - gain * (wide @ mean))).to(dtype)
        outputs = torch.empty(batch, positions // pool, width, dtype=dtype)
        mask = torch.empty(batch, positions, width, dtype=torch.int8) if kept < LEVELS else None  # 0 and -1
        generators = mask_generators(batch) if mask is not None else []
        widen, rows = WindowConv(matrix.unsqueeze(2), offset), max(1, _ELEMENTS // width // pool) * pool

        def finish(piece: range) -> None:
            for i, start in ((i, start) for i in piece for start in range(0, positions, rows)):
                values = widen(activated[i, start : start + rows])
                if mask is not None:
                    part = mask[i, start : start + rows]
                    torch.neg(draw_mask(values.numel(), kept, generators[i]).view(torch.int8).view_as(part), out=part)
                    _keep(values, part, values)
                bins = slice(start // pool, (start + rows) // pool)
                _sum_bins(values, pool, None if residual is None else residual[i, bins], outputs[i, bins])

        over_windows(batch, finish)
        unit = hidden, residual, weight, norm_weight, norm_bias
        ctx.save_for_backward(*unit, activated, mask, mean, spread, rstd, matrix)
        ctx.pool, ctx.share, ctx.eps = pool, share, eps
        mean, variance = (wide @ mean).float(), variance.float()
        ctx.mark_non_differentiable(mean, variance)
        return outputs, mean, variance

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        hidden, residual, weight, norm_weight, norm_bias, activated, mask, *moments, matrix = ctx.saved_tensors
        if is_differentiated_again(gradients[0]):
            plain = partial(_plain_unit, mask=mask, eps=ctx.eps, share=ctx.share, pool=ctx.pool)
            return plain_gradients(ctx, plain, [hidden, residual, weight, norm_weight, norm_bias], gradients[0])
        mean, spread, rstd = moments
        batch, positions, channels = activated.shape
        dtype, width, count = activated.dtype, weight.shape[0], batch * positions
        gradient = gradients[0].to(dtype).contiguous()  # (B, P / pool, F)
        d_activated = torch.empty_like(activated)
        narrow = WindowConv(matrix.t().unsqueeze(2))

        def multiply(piece: range) -> tuple[Tensor, Tensor]:
            buffer, ones = torch.empty(positions, width, dtype=dtype), torch.ones(1, positions, dtype=dtype)
            bins = buffer.view(-1, ctx.pool, width)
            products, total = torch.zeros(width, channels), torch.zeros(width)
            for i in piece:
                if mask is not None:
                    _keep(gradient[i].unsqueeze(1), mask[i].view_as(bins), bins)
                else:
                    bins.copy_(gradient[i].unsqueeze(1))
                total += (ones @ buffer).view(-1)
                products += product_over_rows(buffer, activated[i])
                d_activated[i] = narrow(buffer)
            return products, total

        products, total = sum_over_windows(batch, multiply)
        # Batch normalisation's backward pass, with x_hat = rstd * W (activated - mean):
        # d_conv = gain * (dy - mean(dy) - x_hat * mean(dy * x_hat))
        wide, total, products = weight.double(), ctx.share * total.double(), ctx.share * products.double()
        centred = products - total.outer(mean)  # sum of dy (activated - mean), (F, C)
        d_norm_weight = rstd * (centred * wide).sum(1)
        gain = norm_weight * rstd
        along = gain * rstd * d_norm_weight / count
        d_weight = gain[:, None] * centred - (along * count)[:, None] * spread
        correction = wide.t() @ (along[:, None] * wide)  # (C, C)
        constant = (mean @ correction - (gain * total / count) @ wide).to(dtype)
        correct = WindowConv(-correction.t().unsqueeze(2).to(dtype), constant)

        def finish(piece: range) -> None:
            for i in piece:
                correct.add_to(d_activated[i], activated[i])
                before = hidden[i].to(dtype)
                torch.ops.aten.gelu_backward.grad_input(d_activated[i], before, grad_input=d_activated[i])

        over_windows(batch, finish)
        return (
            d_activated.to(hidden.dtype),
            gradient if residual is not None else None,
            d_weight.float(),
            d_norm_weight.float(),
            total.float(),
            *[None] * 4,
        )


def _keep(values: Tensor, mask: Tensor, out: Tensor) -> None:
    """Write `values` where `mask` is -1, 0 where it is 0: by their bits, since bfloat16 times integers is slow."""
    bits = torch.int16 if values.itemsize == 2 else torch.int32
    torch.bitwise_and(values.view(bits), mask, out=out.view(bits))


def _sum_bins(values: Tensor, pool: int, residual: Tensor | None, outputs: Tensor) -> None:
    """Write the sum of (P, F) over each `pool` positions, or `residual` + it, to `outputs` (P / pool, F)."""
    if residual is not None:
        torch.add(residual, values, out=outputs)
        return
    bins = values.view(-1, pool, values.shape[1])
    torch.add(bins[:, 0], bins[:, 1], out=outputs) if pool > 1 else outputs.copy_(values)
    for k in range(2, pool):
        outputs.add_(bins[:, k])
