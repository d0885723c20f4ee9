"""The names that Grover et al.'s package (asap 0.2.2) gives its tensors, and ours, in both directions.

Two things differ besides names: the package reads bases in the order A, G, C, T, and keeps the three projections of
attention in one tensor.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

# [0, 2, 1, 3] is its own inverse.
AGCT_TO_ACGT = [0, 2, 1, 3]
FIRST_CONVOLUTION = "stem.conv.weight"

_CONVNEXT = [
    (r"\.dwconv\.", ".conv."),
    (r"\.pwconv1\.", ".pointwise_in."),
    (r"\.pwconv2\.", ".pointwise_out."),
]
_DILATED = [
    (r"^core\.dconv_blocks\.(\d+)\.", r"core.blocks.\1.dilated."),
    (r"^core\.conv_blocks\.(\d+)\.", r"core.blocks.\1.pointwise."),
    (r"^core\.final_conv\.", "core.features."),
    (r"^core\.linear_out\.", "head."),
    (r"^init_conv\.", "stem."),
    (r"\.bn\.", ".norm."),
]
_LSTM = [(r"^lstm\.", "core.lstm."), (r"^fc1\.", "core.dense."), (r"^fc2\.", "head.")]
_TOWER = [
    (r"^stem\.conv1\.", "stem."),
    (r"^conv_tower\.conv_list\.", "core.tower."),
    (r"^out\.linear_out\.", "head."),
]
_ATTENTION = [
    (r"^core\.encoder\.layers\.", "core.layers."),
    (r"\.self_attn\.out_proj\.", ".attention.out."),
    (r"\.self_attn\.in_proj_", ".attention."),
    (r"\.linear1\.", ".feedforward_in."),
    (r"\.linear2\.", ".feedforward_out."),
    (r"\.norm1\.", ".attention_norm."),
    (r"\.norm2\.", ".feedforward_norm."),
]
# The input gate of the package's sLSTM is called `fgate`, its forget gate `igate`.
_XLSTM = [
    (r"^core\.blocks\.(\d+)\.(?:xlstm\.)?", r"core.stack.blocks.\1."),
    (r"^core\.post_blocks_norm\.", "core.stack.norm."),
    (r"(^core\.stack\.blocks\.\d+)\.fgate\.", r"\1.input_gate."),
    (r"(^core\.stack\.blocks\.\d+)\.igate\.", r"\1.forget_gate."),
    (r"\.zgate\.", ".cell_gate."),
    (r"\.ogate\.", ".output_gate."),
    (r"\.mlstm_cell\.igate\.", ".input_gate."),
    (r"\.mlstm_cell\.fgate\.", ".forget_gate."),
    (r"\.(?:mlstm_cell\.outnorm|group_norm)\.", ".head_norm."),
    (r"\.slstm_cell\._recurrent_kernel_$", ".recurrent"),
    (r"\.slstm_cell\._bias_$", ".bias"),
    (r"\.xlstm_norm\.", ".norm."),
    (r"\.conv1d\.conv\.", ".conv."),
    (r"\.learnable_skip$", ".skip"),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.ffn_norm\.", ".feedforward_norm."),
    (r"\.ffn\.proj_up\.", ".feedforward_in."),
    (r"\.ffn\.proj_down\.", ".feedforward_out."),
    (r"\.proj_up\.", ".up."),
    (r"\.proj_down\.", ".down."),
]
_MAPPABILITY = [(r"^unmap_predictor\.out\.", "mappability_head.linear.")]
# Replacements by preset, made one after the other.
RENAMED: dict[str, list[tuple[str, str]]] = {
    "cnn": [
        (r"^stem\.0\.", "stem.conv."),
        (r"^core\.0\.", "core.layers.1.layer.conv."),
        (r"^core\.4\.", "core.layers.2.layer.conv."),
        (r"^core\.8\.", "core.layers.3.layer.conv."),
        (r"^head\.1\.", "core.dense."),
        (r"^head\.3\.", "head."),
    ],
    "lstm": [(r"^conv1\.", "stem.conv."), *_LSTM],
    "dcnn": _DILATED,
    "convnext-cnn": [
        (r"^stem\.0\.", "stem."),
        (r"^core\.0\.", "core.layers.1.layer."),
        (r"^core\.3\.", "core.layers.2.layer."),
        (r"^core\.6\.", "core.layers.3.layer."),
        (r"^head\.0\.", "core.dense."),
        (r"^head\.2\.", "head."),
        *_CONVNEXT,
    ],
    "convnext-lstm": [(r"^conv1\.", "stem."), *_LSTM, *_CONVNEXT],
    "convnext-dcnn": [*_DILATED, *_CONVNEXT],
    "convnext-transformer": [*_TOWER, *_ATTENTION, *_CONVNEXT],
    "convnext-xlstm": [*_TOWER, *_XLSTM, *_CONVNEXT],
}
# One tensor that no other of the architectures has.
_SIGNATURES = {
    "cnn": "stem.0.weight",
    "lstm": "conv1.weight",
    "dcnn": "init_conv.conv.weight",
    "convnext-cnn": "stem.0.dwconv.weight",
    "convnext-lstm": "conv1.dwconv.weight",
    "convnext-dcnn": "init_conv.dwconv.weight",
    "convnext-transformer": "core.encoder.layers.0.self_attn.in_proj_weight",
    "convnext-xlstm": "core.blocks.0.xlstm.proj_up.weight",
}


def detect_architecture(names: Iterable[str]) -> str:
    """Return the preset whose tensors these are.

    Raises:
        ValueError: none's.
    """
    names = set(names)
    for preset, signature in _SIGNATURES.items():
        if signature in names:
            return preset
    shown = ", ".join(sorted(names)[:3])
    raise ValueError(
        f"these tensors belong to none of the eight architectures of asap ({', '.join(_SIGNATURES)}): {shown} ..."
    )


def our_names(name: str, architecture: str) -> list[str]:
    """Return our name of a reference tensor; three, query, key and value, for a packed projection."""
    for pattern, replacement in [*_MAPPABILITY, *RENAMED[architecture]]:
        name = re.sub(pattern, replacement, name)
    block, dot, leaf = name.rpartition(".attention.")
    if dot and leaf in ("weight", "bias"):
        return [f"{block}.attention.{projection}.{leaf}" for projection in ("query", "key", "value")]
    return [name]


def to_chromhub(state: Mapping[str, Tensor], architecture: str) -> dict[str, Tensor]:
    """Turn a reference state dict into one of ours.

    Args:
        state: reference names; without buffers that hold no trained number.
        architecture: preset.

    Raises:
        ValueError: two tensors would get one name, or a packed projection does not divide by three.
    """
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        targets = our_names(name, architecture)
        if len(targets) > 1 and (tensor.dim() == 0 or len(tensor) % len(targets)):
            raise ValueError(f"{name} must hold three projections, got shape {tuple(tensor.shape)}")
        if set(targets) & set(ours):
            raise ValueError(f"{name} and another tensor are both {targets[0]}")
        parts = tensor.chunk(len(targets)) if len(targets) > 1 else (tensor,)
        ours |= {target: _permuted(target, part) for target, part in zip(targets, parts, strict=True)}
    return ours


def to_reference(ours: Mapping[str, Tensor], names: Iterable[str], architecture: str) -> dict[str, Tensor]:
    """Turn a state dict of ours back into the reference's tensors called `names`.

    Raises:
        KeyError: ours lacks one.
    """
    state = {}
    for name in names:
        parts = [_permuted(target, ours[target]) for target in our_names(name, architecture)]
        state[name] = torch.cat(parts) if len(parts) > 1 else parts[0]
    return state


def _permuted(name: str, tensor: Tensor) -> Tensor:
    """Swap G and C where `name` is the convolution that reads bases (C, 4, k)."""
    fits = name == FIRST_CONVOLUTION and tensor.dim() == 3 and tensor.shape[1] == 4
    return tensor[:, AGCT_TO_ACGT] if fits else tensor
