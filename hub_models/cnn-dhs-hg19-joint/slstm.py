"""The scalar memory of xLSTM (sLSTM, arXiv:2405.04517 section 2.2): a recurrence with its backward pass.

Position by position, PyTorch's autograd and compiler would record some twenty operations. Here the loop does only what
must wait for the previous position, and all else is done for every position at once; to the compiler each direction is
one opaque operator, so that it does not unroll hundreds of steps.

Shapes: H heads, P positions, B batch, D channels a head. Gates lie in the order input, forget, cell, output.
"""

import re
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Named after the module: the copy that travels with a checkpoint registers operators of its own.
_NAMESPACE = re.sub(r"\W", "_", __name__, flags=re.ASCII)


def slstm(gates: Tensor, recurrent: Tensor) -> Tensor:
    """Run the memory from zero over all positions.

    With i, f, z, o = gates_t + recurrent @ h_{t-1} and m_t = max(logsigmoid(f) + m_{t-1}, i),
    c_t = exp(logsigmoid(f) + m_{t-1} - m_t) c_{t-1} + exp(i - m_t) tanh(z), n_t is the same with 1 for tanh(z), and
    h_t = sigmoid(o) c_t / n_t.

    Args:
        gates: (H, P, B, 4D), what the inputs and the bias give.
        recurrent: (H, 4D, D).

    Returns:
        (H, P, B, D), h; float32 or wider.
    """
    dtype = torch.promote_types(gates.dtype, torch.float32)
    return _scan(gates.to(dtype), recurrent.to(dtype))[0]


@torch.library.custom_op(f"{_NAMESPACE}::scan", mutates_args=())
def _scan(gates: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
    """Return h (H, P, B, D) and c, n, m (3, H, P, B, D)."""
    heads, positions, batch, width = gates.shape
    cells = gates.new_empty(3, heads, positions, batch, width // 4)
    hidden = torch.empty_like(cells[0])
    kernel = recurrent.transpose(1, 2)
    h = c = n = gates.new_zeros(heads, batch, width // 4)
    m = torch.full_like(h, -torch.inf)
    with torch.autocast(gates.device.type, enabled=False):
        for t in range(positions):
            i, f, z, o = torch.baddbmm(gates[:, t], h, kernel).chunk(4, -1)
            f = F.logsigmoid(f).add_(m)
            m = torch.maximum(f, i, out=cells[2, :, t])
            i, f = torch.sub(i, m).exp_(), f.sub_(m).exp_()
            c = torch.mul(f, c, out=cells[0, :, t]).addcmul_(i, torch.tanh(z))
            n = torch.addcmul(i, f, n, out=cells[1, :, t])
            h = torch.div(c, n, out=hidden[:, t]).mul_(torch.sigmoid(o))
    return hidden, cells


@_scan.register_fake
def _(gates: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
    heads, positions, batch, width = gates.shape
    cells = gates.new_empty(3, heads, positions, batch, width // 4)
    return torch.empty_like(cells[0]), cells


@torch.library.custom_op(f"{_NAMESPACE}::scan_backward", mutates_args=())
def _scan_backward(
    d_hidden: Tensor, gates: Tensor, recurrent: Tensor, hidden: Tensor, cells: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of `gates` and `recurrent`."""
    d_gates, (heads, positions, batch, size) = torch.empty_like(gates), hidden.shape
    with torch.autocast(gates.device.type, enabled=False):
        (c, n, m), h_before = cells, _one_later(hidden, 0)
        c_before, n_before, m_before = _one_later(c, 0), _one_later(n, 0), _one_later(m, -torch.inf)
        gates = torch.baddbmm(gates.flatten(1, 2), h_before.flatten(1, 2), recurrent.transpose(1, 2)).view_as(gates)
        i, f, z, o = gates.chunk(4, -1)
        i, z, o = torch.exp(i - m), torch.tanh(z), torch.sigmoid(o)
        kept = torch.exp(F.logsigmoid(f) + m_before - m)
        slope = kept * torch.sigmoid(-f)  # of what is kept, by the forget gate
        # m cancels in h = o c / n, so that it counts as a constant.
        c_to_gates = torch.stack([i * z, slope * c_before, i * (1 - z * z)], 3)  # (H, P, B, 3, D)
        n_to_gates = torch.stack([i, slope * n_before], 3)
        h_to_output, h_to_c, h_to_n = hidden * (1 - o), o / n, hidden / n
        d_c = d_n = d_recurrence = torch.zeros_like(h_before[:, 0])
        for t in reversed(range(positions)):
            d_h = d_hidden[:, t] + d_recurrence
            d_c = torch.addcmul(d_c, d_h, h_to_c[:, t])
            d_n = torch.addcmul(d_n, d_h, h_to_n[:, t], value=-1)
            step = d_gates[:, t].view(heads, batch, 4, size)
            torch.mul(c_to_gates[:, t], d_c[:, :, None], out=step[:, :, :3])
            step[:, :, :2].addcmul_(n_to_gates[:, t], d_n[:, :, None])
            torch.mul(h_to_output[:, t], d_h, out=step[:, :, 3])
            d_c, d_n = d_c * kept[:, t], d_n * kept[:, t]
            d_recurrence = torch.bmm(d_gates[:, t], recurrent)
        return d_gates, d_gates.flatten(1, 2).transpose(1, 2) @ h_before.flatten(1, 2)


@_scan_backward.register_fake
def _(d_hidden: Tensor, gates: Tensor, recurrent: Tensor, hidden: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(gates), torch.empty_like(recurrent)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _backward(ctx: Any, d_hidden: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    return _scan_backward(d_hidden, *ctx.saved_tensors)


_scan.register_autograd(_backward, setup_context=_save)


def _one_later(states: Tensor, start: float) -> Tensor:
    """Move (H, P, B, D) one position on, so that position t holds what was there before it."""
    return F.pad(states[:, :-1], (0, 0, 0, 0, 1, 0), value=start)
