"""What a model is: its layers, parameters and FLOPs, the bases that a bin sees, the lengths it reads.

Nothing here needs trained weights: everything is counted or measured on a model built from its configuration.
"""

import copy
import difflib
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..modeling import (
    CHROMTRANSFER_PRESETS,
    PRESETS,
    AtacConfig,
    AtacForTrackPrediction,
    ChromTransferConfig,
    ChromTransferModel,
    ClasterForProfileRegression,
)
from .load import check_weights
from .model_folder import ModelFolder, chain_of, class_of, open_model
from .provenance import find_provenance

CHROMTRANSFER = "chromtransfer-"  # before the names of its presets


@dataclass(frozen=True)
class Reach:
    """The bp that one output sees on each side of its own bases; None is all that there are in a window."""

    left: int | None
    right: int | None

    def __str__(self) -> str:
        if self.left is None and self.right is None:
            return "whole window"
        left = "all to its left" if self.left is None else f"{self.left} bp left"
        right = "all to its right" if self.right is None else f"{self.right} bp right"
        return f"{left}, {right}"


@dataclass(frozen=True)
class Architecture:
    """One model in numbers.

    Args:
        name: as asked for.
        kind: class of the model; of an adapter also its base.
        stem: type of the stem.
        core: type of the core.
        parameters: all, an adapter's and its base's.
        trainable_parameters: those that training changes.
        flops: of the plain layers' forward pass on one window of `input_length`: twice the multiplications of
            convolutions, linear layers, attention and recurrences; what is done by element is not counted.
        reach: of the bin in the middle of the window; a classifier averages over all of it.
        local_reach: of that bin, or of the classifier's position before the average, through everything but GRN.
        lengths: inputs it reads, in words.
        input_length: bp it is trained on.
        target_length: bp in the middle that are scored; 0 of a model without bins.
        bin_size: bp per output; 0 of a model without bins.
        outputs: names of the tracks or labels.
        target: what an output's value is, e.g. "max of the bin, log1p".
        genome: of the training data, "" if unknown.
    """

    name: str
    kind: str
    stem: str
    core: str
    parameters: int
    trainable_parameters: int
    flops: int
    reach: Reach
    local_reach: Reach
    lengths: str
    input_length: int
    target_length: int
    bin_size: int
    outputs: tuple[str, ...]
    target: str
    genome: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON; a reach also in words."""
        reaches = {"reach": self.reach, "local_reach": self.local_reach}
        return asdict(self) | {key: {**asdict(reach), "in_words": str(reach)} for key, reach in reaches.items()}


def describe(name: str, *, revision: str | None = None) -> Architecture:
    """Describe a preset, or a model by any of its names; only for a Hub id is the network asked.

    Args:
        name: of `PRESETS`, "chromtransfer-" and one of `CHROMTRANSFER_PRESETS`; else as `names.resolve` takes it.
        revision: branch, tag or commit on the Hub.

    Raises:
        FileNotFoundError: a path without a model.
        OSError: the Hub has no such model, or cannot be reached.
        ValueError: neither a preset, a folder nor a Hub id, or a model of another kind.
    """
    config, adapter = _preset(name), None
    if config is None:
        opened = _opened(name, revision)
        config, adapter = opened.config, opened.adapter
    kind_of_model = class_of(config)
    if kind_of_model is ClasterForProfileRegression:
        raise ValueError(f"{name!r} reads a landscape of chromatin, of which `info` knows nothing yet; see its card")
    with torch.device("meta"):
        model = kind_of_model(config)
        flops = count_flops(model, config.input_length)
        if adapter is not None:
            fresh = copy.deepcopy(adapter)
            fresh.inference_mode = False  # as in training, so that what trains is known
            fresh.base_model_name_or_path = None  # or PEFT warns that a model on the meta device has no name
            get_peft_model(model, fresh)  # in place
    record = find_provenance(name, revision=revision) if adapter is not None else None
    parameters = [parameter.numel() for parameter in model.parameters()]
    trainable = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    predicts_bins = isinstance(model, AtacForTrackPrediction)
    tracks = getattr(config, "track_names", ())
    if record and len(record.tracks) == len(tracks):  # the base may have called them otherwise
        tracks = record.tracks
    reach, local_reach = measure_reach(config)
    kind = type(model).__name__
    return Architecture(
        name=name,
        kind=kind if adapter is None else f"LoRA adapter of {adapter.base_model_name_or_path}, {kind}",
        stem=_part(config, "stem"),
        core=_part(config, "core"),
        parameters=sum(parameters),
        trainable_parameters=sum(trainable),
        flops=flops,
        reach=reach if predicts_bins else Reach(None, None),
        local_reach=local_reach,
        lengths=_lengths(config),
        input_length=config.input_length,
        target_length=config.target_length if predicts_bins else 0,
        bin_size=config.bin_size if predicts_bins else 0,
        outputs=tuple(tracks if predicts_bins else (config.id2label or {}).values()),
        target=f"{config.target_summary} of the bin, {config.target_transform}" if predicts_bins else "logit",
        genome=(record.genome if record else "") or getattr(config, "genome", ""),
    )


def count_flops(model: nn.Module, length: int) -> int:
    """Count the floating-point operations of one window of `length` bp, a product and its sum as two.

    On the meta device: there nothing is computed, no fast path runs, and attention is made of products that PyTorch
    counts. Recurrences are counted by their weights, each used once a step: to PyTorch an sLSTM's scan is one
    operator, and an LSTM thousands, seconds to look at.

    Args:
        model: on the meta device.
        length: bp.
    """
    recurrences: list[int] = []
    hooks = []
    module: Any
    for module in model.modules():
        if isinstance(module, nn.LSTM) or type(module).__name__ == "SlstmBlock":
            hooks.append(module.register_forward_pre_hook(partial(_count_recurrence, recurrences)))
        if isinstance(module, nn.LSTM):
            module.__dict__["forward"] = partial(_lstm_output, module)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, 4, length, device="meta"))
    for hook in hooks:
        hook.remove()
    for module in model.modules():
        module.__dict__.pop("forward", None)
    return counter.get_total_flops() + sum(recurrences)


def _count_recurrence(counts: list[int], module: Any, inputs: tuple[Tensor]) -> None:
    """Count what a recurrent module does with inputs (1, P, C) in each step."""
    lstm_weights = [weight for name, weight in module.named_parameters() if name.startswith("weight")]
    weights = lstm_weights if isinstance(module, nn.LSTM) else [module.recurrent]
    counts.append(2 * inputs[0].shape[1] * sum(weight.numel() for weight in weights))


def _lstm_output(lstm: nn.LSTM, inputs: Tensor) -> tuple[Tensor, None]:
    """Return something of the shape that an LSTM makes of (B, P, C)."""
    return inputs.new_empty(*inputs.shape[:2], lstm.hidden_size * (1 + lstm.bidirectional)), None


def measure_reach(config: Any) -> tuple[Reach, Reach]:
    """Measure which bases change the middle output of a new model: where its gradient is not zero.

    Args:
        config: of a track model, or of ChromTransfer, whose outputs are the positions before the mean.

    Returns:
        With GRN at work, and without.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # In float64: a gradient through hundreds of steps is small, and no fast path runs.
        if config.model_type == AtacConfig.model_type:
            model: nn.Module = AtacForTrackPrediction(config).double().eval()
        else:
            model = ChromTransferModel(config).double().eval()
        inputs = torch.rand(2, 4, config.input_length, dtype=torch.float64)
    norms: list[Any] = []
    module: Any
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.ones_(module.weight)  # residual blocks begin as the identity
        elif isinstance(module, nn.LSTM):
            for name, bias in module.named_parameters():
                if name.startswith("bias"):
                    nn.init.constant_(bias.chunk(4)[1], 3)  # forget slowly: sigmoid(6) a step
        elif type(module).__name__ == "GlobalResponseNorm":
            norms.append(module)  # their scale begins at 0
    local = _gradient_reach(model, inputs)
    for norm in norms:
        nn.init.ones_(norm.gamma)
    return (_gradient_reach(model, inputs) if norms else local), local


def _gradient_reach(model: nn.Module, inputs: Tensor) -> Reach:
    """Return what the middle output sees; a base that no output sees, as a pooling's rest, is not in the window."""
    inputs = inputs.clone().requires_grad_()
    found = model(inputs)
    outputs = found.predictions if "predictions" in found else found.last_hidden_state  # (B, X, N)
    middle = outputs.shape[-1] // 2
    size = inputs.shape[-1] // outputs.shape[-1]
    seen, known = (
        torch.autograd.grad(total, inputs, retain_graph=True)[0].abs().sum((0, 1)).nonzero().flatten()
        for total in (outputs[..., middle].sum(), outputs.sum())
    )
    return Reach(
        left=None if seen[0] == known[0] else middle * size - int(seen[0]),
        right=None if seen[-1] == known[-1] else int(seen[-1]) - (middle + 1) * size + 1,
    )


def _preset(name: str) -> Any:
    """Return the configuration of a preset, or None."""
    if name in PRESETS:
        return AtacConfig.from_preset(name)
    if name.startswith(CHROMTRANSFER) and name.removeprefix(CHROMTRANSFER) in CHROMTRANSFER_PRESETS:
        return ChromTransferConfig.from_preset(name.removeprefix(CHROMTRANSFER))
    return None


def _opened(name: str, revision: str | None) -> ModelFolder:
    """Open a model, whose weights, where they lie in its folder, must be those that its configuration asks for."""
    try:
        model = open_model(name, revision=revision, weights=False, ask_hub=False)
    except ValueError as error:
        if "/" in name or Path(name).exists():
            raise
        presets = [*PRESETS, *(CHROMTRANSFER + preset for preset in CHROMTRANSFER_PRESETS)]
        near = difflib.get_close_matches(name, presets, n=3)
        full = [preset for preset in presets if not preset.endswith(("-small", "-tiny"))]
        hint = f"did you mean {' or '.join(near)}?" if near else f"presets are {', '.join(full)}"
        raise ValueError(f"{name!r} is no preset, no folder and no Hub id such as org/name; {hint}; {error}") from None
    for link in chain_of(model):
        if link.place.folder is not None:
            check_weights(link)
    return model


def _part(config: Any, part: str) -> str:
    """Name the stem or core."""
    if config.model_type == ChromTransferConfig.model_type:
        return {"stem": "conv", "core": "residual"}[part]
    return getattr(config, part)["type"]


def _lengths(config: Any) -> str:
    """Say in words which inputs a model reads."""
    if getattr(config, "fixed_length", False):
        return f"{config.input_length} bp only"
    multiple = getattr(config, "length_multiple", 1)
    return f"any multiple of {multiple} bp" if multiple > 1 else "any"
