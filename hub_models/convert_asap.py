"""A state dict of Grover et al.'s package (asap 0.2.2) -> our model, checked tensor by tensor."""

import contextlib
import importlib
import io
import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..modeling import AtacConfig, AtacForTrackPrediction
from ..modeling.modeling_atac import AtacPreTrainedModel
from ..modeling.presets import PUBLISHED
from .asap_names import AGCT_TO_ACGT, detect_architecture, our_names, to_chromhub, to_reference

# Prefixes that wrappers put before every name: DistributedDataParallel, torch.compile.
_WRAPPERS = ("module.", "_orig_mod.")
# The package's classes; that of xLSTM is in none of its modules that import without a GPU.
_CLASSES = {
    "cnn": "VanillaCNN",
    "lstm": "CNN_LSTM",
    "dcnn": "DilatedCNN",
    "convnext-cnn": "ConvNeXtCNN",
    "convnext-lstm": "ConvNeXtLSTM",
    "convnext-dcnn": "ConvNeXtDCNN",
    "convnext-transformer": "ConvNextTransformer",
}
_TOLERANCE = 1e-4


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict, without prefixes of wrappers; no code in the file is run.

    Raises:
        ValueError: it is damaged, or holds more than tensors by name.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats that the unpickler then refuses
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        raise ValueError(
            f"{path} is refused{f' because of {found[1]}' if found else ''}: it is no plain state dict, and opening "
            "anything else can run code; write one with torch.save(model.state_dict(), ...)"
        ) from None
    except (EOFError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"{path} is no PyTorch file, or it is cut off or damaged ({_first_line(error)})") from None
    except AssertionError as error:
        raise ValueError(f"{path} is damaged ({_first_line(error)})") from None
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} must hold a state dict, tensors by name, as torch.save(model.state_dict(), ...) does")
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return dict(state)


def convert_state(state: Mapping[str, Tensor], architecture: str | None = None) -> tuple[AtacForTrackPrediction, str]:
    """Turn a reference state dict into a model.

    Args:
        state: reference names.
        architecture: a published preset; by default the one whose tensors these are.

    Returns:
        The model in evaluation mode, and its preset.

    Raises:
        ValueError: no such architecture, a tensor too many or too few, or one of another shape.
    """
    architecture = _preset(architecture) if architecture else detect_architecture(state)
    numbers = trained_numbers(state)
    ours = to_chromhub(numbers, architecture)
    config = AtacConfig.from_preset(architecture)
    overrides: dict[str, Any] = {}
    head = ours.get("head.weight")
    if not config.fixed_length and config.core_config.type != "cnn" and head is not None and head.dim() == 2:
        overrides["num_tracks"] = len(head)  # elsewhere the head's rows are bins
    if any(name.startswith("mappability_head.") for name in ours):
        overrides["mappability_weight"] = 1.0  # as the package trains it
    with torch.device("meta"):
        empty = AtacForTrackPrediction(AtacConfig.from_preset(architecture, **overrides))
    _check_fit(numbers, ours, empty.state_dict(), architecture)
    model = AtacForTrackPrediction(empty.config)
    model.load_state_dict(ours, strict=False)  # `_check_fit` has found it whole but for num_batches_tracked
    return model.eval(), architecture


def trained_numbers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a state dict holds but for constants that are computed anew, floats as float32.

    An sLSTM that was trained on a GPU is laid out as the one of a CPU, see `_on_cpu`.

    Raises:
        ValueError: such a constant has another value than the architecture's.
    """
    numbers = {}
    for name, value in state.items():
        if name.endswith(".rotary_emb.div_term"):
            expected = torch.exp(torch.arange(0, 2 * value.numel(), 2) * (-np.log(10_000) / (2 * value.numel())))
            if not torch.allclose(value.float().flatten(), expected, rtol=1e-4):
                raise ValueError(f"{name} must hold the rotary frequencies of base 10000; it holds others")
        elif name.endswith(".causal_mask"):
            if not torch.equal(value.bool(), torch.ones_like(value, dtype=torch.bool).tril()):
                raise ValueError(f"{name} must be lower triangular; it is another mask")
        else:
            numbers[name] = value.float() if value.is_floating_point() else value
    for kernel in [name for name in numbers if name.endswith(".slstm_cell._recurrent_kernel_")]:
        bias = f"{kernel.removesuffix('_recurrent_kernel_')}_bias_"
        if bias in numbers and numbers[kernel].dim() == 3 and numbers[kernel].shape[2] > numbers[kernel].shape[1]:
            numbers[kernel], numbers[bias] = _on_cpu(numbers[kernel], numbers[bias])
    return numbers


def _on_cpu(kernel: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Lay an sLSTM's numbers out as the package xlstm (2.0.6) does on a CPU.

    Args:
        kernel: (H, D, 4D), as its CUDA code stores it; the CPU's is (H, 4D, D).
        bias: (H * 4 * D,), heads before gates; the CPU's has gates before heads.
    """
    heads, width = kernel.shape[0], kernel.shape[1]
    if bias.numel() != heads * kernel.shape[2]:
        raise ValueError(f"the sLSTM's bias must hold {heads * kernel.shape[2]} numbers, got {bias.numel()}")
    return kernel.transpose(1, 2).contiguous(), bias.view(heads, -1, width).transpose(0, 1).reshape(-1)


def check_tensors(model: AtacPreTrainedModel, state: Mapping[str, Tensor], architecture: str) -> int:
    """Turn a model's tensors back into the reference's and compare them bit by bit; return how many.

    Args:
        model: as loaded again from its folder.
        state: the reference's.
        architecture: preset.

    Raises:
        ValueError: one differs.
    """
    numbers = trained_numbers(state)
    back = to_reference(model.state_dict(), numbers, architecture)
    if different := [name for name, value in numbers.items() if not torch.equal(value, back[name])]:
        raise ValueError(f"{len(different)} tensors changed on the way ({different[0]} ...); nothing was written")
    return len(numbers)


def check_outputs(model: AtacForTrackPrediction, state: Mapping[str, Tensor], architecture: str) -> float | None:
    """Compare a model with the package's own on two random sequences with Ns.

    The predictions alone: a mappability head's numbers come along, but its grid here is another one.

    Returns:
        The largest difference of a prediction, in units of the largest prediction or of 1; None where the package is
        not installed or lacks the architecture.

    Raises:
        ValueError: it is above 1e-4.
    """
    reference = _reference(state, architecture)
    if reference is None:
        return None
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 5, (2, model.config.input_length)))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = model(codes).predictions.transpose(1, 2)  # (B, N, T)
        theirs = reference(torch.eye(5, 4)[codes][..., AGCT_TO_ACGT])
    difference = float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1))
    if not difference <= _TOLERANCE:  # also where it is not a number
        raise ValueError(
            f"the converted model does not predict what asap does: predictions differ by {difference:.2g}; "
            "nothing was written"
        )
    return difference


def _reference(state: Mapping[str, Tensor], architecture: str) -> nn.Module | None:
    """Return the package's own model with these tensors, None where it is not installed."""
    if architecture not in _CLASSES:
        return None
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # it prints its configuration
            warnings.simplefilter("ignore")
            module = importlib.import_module("asap.models")
            uses_map = {"use_map": True} if any(name.startswith("unmap_predictor.") for name in state) else {}
            model = getattr(module, _CLASSES[architecture])(**uses_map)
    except (ImportError, AttributeError):
        return None
    model.load_state_dict(dict(state), strict=False)
    return model.float().eval()


def _preset(architecture: str) -> str:
    """Return the preset of a name of ours or of the package ("convnext_dcnn")."""
    preset = architecture.replace("_", "-").lower()
    if preset not in PUBLISHED:
        raise ValueError(f"--architecture must be one of {', '.join(PUBLISHED)}, got {architecture!r}")
    return preset


def _check_fit(
    numbers: Mapping[str, Tensor], ours: Mapping[str, Tensor], expected: Mapping[str, Tensor], architecture: str
) -> None:
    """Refuse tensors that the architecture lacks, that it has besides, or of other shapes."""
    whole = [name for name in expected if name in ours or not name.endswith("num_batches_tracked")]
    if missing := sorted(set(whole) - set(ours)):
        raise ValueError(
            f"the state dict lacks {len(missing)} tensors of {architecture}, by our names {', '.join(missing[:3])}"
        )
    if extra := [name for name in numbers if not set(our_names(name, architecture)) <= set(expected)]:
        raise ValueError(
            f"the state dict holds {len(extra)} tensors that {architecture} does not have: {', '.join(extra[:3])}"
        )
    for name, value in numbers.items():
        shape = tuple(to_reference(expected, [name], architecture)[name].shape)
        if tuple(value.shape) != shape:
            raise ValueError(f"{name} must have shape {shape} in {architecture}, got {tuple(value.shape)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
