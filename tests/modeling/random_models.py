"""Models whose every parameter matters: at their start GRN and residual blocks are the identity, biases 0."""

import numpy as np
import torch
from chromhub.modeling import PRESETS, AtacConfig, AtacForTrackPrediction
from torch import nn

TINY = sorted(name for name in PRESETS if name.endswith("-tiny"))
LENGTH = 512  # of the tests' windows, in bp
# The textbook form of everything that a preset keeps as the reference has it.
TEXTBOOK = {
    "lstm, every position": ("lstm-tiny", {"stem": {"padding": "same"}, "core": {"output": "position"}}),
    "convnext-lstm, every position": ("convnext-lstm-tiny", {"core": {"output": "position", "pool_size": 2}}),
    "transformer, RoFormer": (
        "convnext-transformer-tiny",
        {"core": {"rotary": "heads", "identical_layers": False, "pool_size": 2}},
    ),
    "dcnn, aligned grid": ("dcnn-tiny", {"core": {"pool_left_padding": 0}}),
    "mappability head": ("lstm-tiny", {"mappability_weight": 1.0}),
    "xlstm, both directions": ("convnext-xlstm-tiny", {"core": {"bidirectional": True}}),
}
SHORT_KERNELS = {"stem": {"kernel_size": 5}, "core": {"kernel_size": 5}}  # what fits in `LENGTH` without padding
EVERY = {name: (name, SHORT_KERNELS if name == "cnn-tiny" else {}) for name in TINY} | TEXTBOOK


def randomise(model: nn.Module) -> nn.Module:
    """Give every parameter and statistic a value that shows; return the model in evaluation mode."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif name == "head.weight":
                tensor.normal_(std=0.5, generator=generator)  # so that bins differ by more than rounding
            elif name.endswith(("gamma", "beta")):
                tensor.normal_(std=0.3, generator=generator)
            elif tensor.dim() == 1 and tensor.is_floating_point():
                tensor.normal_(std=0.1, generator=generator)
    return model.eval()


def random_model(name: str, **overrides) -> AtacForTrackPrediction:
    """Build a key of `EVERY`, or a preset, for windows of `LENGTH` bp."""
    preset, fields = EVERY.get(name, (name, {}))
    torch.manual_seed(0)
    grid = {"input_length": LENGTH, "target_length": LENGTH // 2}
    return randomise(AtacForTrackPrediction(AtacConfig.from_preset(preset, **{**grid, **fields, **overrides})))


def random_codes(batch: int = 2, length: int = LENGTH, *, seed: int = 0) -> torch.Tensor:
    """Return (B, L) codes, N among them."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 5, (batch, length)).astype(np.uint8))
