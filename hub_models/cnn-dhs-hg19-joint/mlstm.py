"""The matrix memory of xLSTM (mLSTM, arXiv:2405.04517 section 2.3) in three forms that compute the same.

A head stores each value under its key, `C_t = f_t C_{t-1} + i_t k_t v_t^T` with `n_t = f_t n_{t-1} + i_t k_t`, and
reads `C_t^T q_t / max(|n_t^T q_t|, 1)`; i = exp(input gate), f = sigmoid(forget gate). All is scaled by exp(-m_t),
m_t the largest log weight so far, so that no exponential overflows; m cancels, so it counts as a constant.

`recurrent_mlstm` is the definition and `parallel_mlstm` the paper's form for training (its appendix), quadratic in the
length. `chunkwise_mlstm`, which the model runs, weighs the positions of one chunk, and whole chunks, in that way: it
holds no P x P matrix and, at 512 positions, is much faster than either.

Shapes: B batch, H heads, P positions, D channels a head, N chunks, T positions a chunk.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-6  # the reference adds it to the normaliser


def recurrent_mlstm(query: Tensor, key: Tensor, value: Tensor, *, input_gate: Tensor, forget_gate: Tensor) -> Tensor:
    """Run the memory one position at a time.

    Args:
        query: (B, H, P, D).
        key: (B, H, P, D).
        value: (B, H, P, D).
        input_gate: (B, H, P), log of i.
        forget_gate: (B, H, P), logit of f.

    Returns:
        (B, H, P, D).
    """
    key, log_forget = key * key.shape[-1] ** -0.5, F.logsigmoid(forget_gate)
    memory = torch.zeros_like(key[:, :, 0, :, None] * value[:, :, 0, None])  # (B, H, D, D)
    normaliser = torch.zeros_like(key[:, :, 0])
    peak = torch.full_like(input_gate[:, :, 0], -torch.inf)
    outputs = []
    for position in range(query.shape[2]):
        q, k, v = query[:, :, position], key[:, :, position], value[:, :, position]
        i, f = input_gate[:, :, position], log_forget[:, :, position] + peak
        peak = torch.maximum(f, i).detach()
        i, f = torch.exp(i - peak)[..., None], torch.exp(f - peak)[..., None]
        memory = f[..., None] * memory + (i * k)[..., None] * v[..., None, :]
        normaliser = f * normaliser + i * k
        norm = torch.maximum((normaliser * q).sum(-1).abs(), torch.exp(-peak)) + EPS
        outputs.append((q[..., None] * memory).sum(-2) / norm[..., None])
    return torch.stack(outputs, 2)


def parallel_mlstm(query: Tensor, key: Tensor, value: Tensor, *, input_gate: Tensor, forget_gate: Tensor) -> Tensor:
    """Weigh all earlier positions at once, as attention does; arguments and result as `recurrent_mlstm`'s."""
    log_forget = F.logsigmoid(forget_gate).cumsum(-1)
    weight = log_forget[..., :, None] - log_forget[..., None, :] + input_gate[..., None, :]  # (B, H, P, P), log
    weight = weight.masked_fill(_later(query.shape[2], query.device), -torch.inf)
    peak = weight.amax(-1, keepdim=True).detach()
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 * torch.exp(weight - peak)
    return scores @ value / (torch.maximum(scores.sum(-1, keepdim=True).abs(), torch.exp(-peak)) + EPS)


def chunkwise_mlstm(
    query: Tensor, key: Tensor, value: Tensor, *, input_gate: Tensor, forget_gate: Tensor, chunk_size: int = 64
) -> Tensor:
    """Run the parallel form inside each chunk, and between chunks with the memory that each leaves.

    Args:
        query: (B, H, P, D).
        key: (B, H, P, D).
        value: (B, H, P, D).
        input_gate: (B, H, P), log of i; at least float32, as `forget_gate`.
        forget_gate: (B, H, P), logit of f.
        chunk_size: positions a chunk; changes the result by rounding only.

    Returns:
        (B, H, P, D).
    """
    (positions, size), dtype = query.shape[2:], query.dtype
    chunk_size = min(chunk_size, positions)
    padding = -positions % chunk_size
    query, key, value = (
        F.pad(tensor, (0, 0, 0, padding)).unflatten(2, (-1, chunk_size))  # (B, H, N, T, D)
        for tensor in (query, key * size**-0.5, value)
    )
    i = F.pad(input_gate, (0, padding), value=-torch.inf).unflatten(2, (-1, chunk_size))
    f = F.pad(forget_gate, (0, padding)).unflatten(2, (-1, chunk_size))
    # All in logs: how much a memory shrinks from its chunk's start to each position, and from the window's start to
    # each chunk's end and start; what each position stores, seen from its chunk's start.
    decay = F.logsigmoid(f).cumsum(3)  # (B, H, N, T)
    end = decay[..., -1].cumsum(2)  # (B, H, N)
    start = F.pad(end[..., :-1], (1, 0))
    weight = i - decay
    with torch.no_grad():
        highest = weight.cummax(3).values
        newest = highest[..., -1]
        after = end + (newest - start).cummax(2).values
        before = F.pad(after[..., :-1], (1, 0), value=-torch.inf)  # no memory before the first chunk
        peak = decay + torch.maximum(before[..., None], highest)  # m_t

    # What each chunk stores, and what of it is left in the memory at the start of each later one.
    stored = key * torch.exp(weight - newest[..., None])[..., None].to(dtype)
    left = (start - before)[..., :, None] + (newest - start)[..., None, :]  # (B, H, N, N)
    left = torch.exp(left.masked_fill(_later(left.shape[-1], left.device, by=0), -torch.inf)).to(dtype)
    memory = (left @ (stored.transpose(3, 4) @ value).flatten(3)).unflatten(3, (size, size))
    norm = (left @ stored.sum(3))[..., None]  # (B, H, N, D, 1)

    inside = weight[..., None, :] + (decay - peak)[..., None]  # (B, H, N, T, T)
    inside = torch.exp(inside.masked_fill(_later(chunk_size, inside.device), -torch.inf)).to(dtype)
    scores = query @ key.transpose(3, 4) * inside
    query = query * torch.exp(decay + before[..., None] - peak)[..., None].to(dtype)
    norm = (scores.sum(4, keepdim=True) + query @ norm).abs()
    norm = torch.maximum(norm, torch.exp(-peak)[..., None]) + EPS
    outputs = (scores @ value + query @ memory) / norm
    return outputs.flatten(2, 3)[:, :, :positions].to(dtype)


def _later(length: int, device: torch.device, *, by: int = 1) -> Tensor:
    """Return a mask (length, length), True where the column is a position at least `by` later than the row."""
    return torch.ones(length, length, dtype=torch.bool, device=device).triu(by)
