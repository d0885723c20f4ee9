"""The published architectures by name, and smaller ones of the same code."""

from typing import Any

_VALID_CONV = {"type": "conv", "unit": "conv-relu", "padding": "valid"}
_CONVNEXT_CNN = {
    "block": "convnext",
    "channels": [256, 512, 512],
    "padding": "same",
    "pool_sizes": [2, 4, 4, 2],
    "dropouts": [0.0, 0.2, 0.2, 0.2],
    "output": "position",
    "hidden_size": 512,
}
# The eight published models, the two pairs of stem and core that the paper did not try, and the sizes of CNN and LSTM
# that its text states (its code, and so its numbers, has those of "cnn" and "lstm").
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "cnn": {"stem": _VALID_CONV, "core": {"type": "cnn"}},
    "lstm": {"stem": {**_VALID_CONV, "kernel_size": 26}, "core": {"type": "lstm"}},
    "dcnn": {"stem": {"type": "conv"}, "core": {"type": "dilated"}},
    "convnext-cnn": {"stem": {"type": "convnext", "channels": 128}, "core": {"type": "cnn", **_CONVNEXT_CNN}},
    "convnext-lstm": {
        "stem": {"type": "convnext", "kernel_size": 26, "activation": "relu"},
        "core": {"type": "lstm", "pool_dropout": 0.0},
    },
    "convnext-dcnn": {"stem": {"type": "convnext"}, "core": {"type": "dilated"}},
    "convnext-transformer": {"stem": {"type": "convnext"}, "core": {"type": "transformer"}},
    "convnext-xlstm": {"stem": {"type": "convnext", "channels": 128}, "core": {"type": "xlstm"}},
    "conv-transformer": {"stem": {"type": "conv"}, "core": {"type": "transformer", "tower": "conv"}},
    "conv-xlstm": {"stem": {"type": "conv", "channels": 128}, "core": {"type": "xlstm", "tower": "conv"}},
    "cnn-paper": {
        "stem": {**_VALID_CONV, "channels": 512, "kernel_size": 8},
        "core": {
            "type": "cnn",
            "channels": [640, 768],
            "kernel_size": 8,
            "pool_sizes": [4, 4, 4],
            "dropouts": [0.2, 0.2, 0.2],
        },
    },
    "lstm-paper": {
        "stem": {**_VALID_CONV, "channels": 512, "kernel_size": 26},
        "core": {"type": "lstm", "hidden_size": 512, "dense_size": 1024},
    },
}
PUBLISHED = (
    "cnn",
    "lstm",
    "dcnn",
    "convnext-cnn",
    "convnext-lstm",
    "convnext-dcnn",
    "convnext-transformer",
    "convnext-xlstm",
)
# The same code for laptops: channels of the stem, then fields of each core.
_SIZES: dict[str, tuple[int, dict[str, dict[str, Any]]]] = {
    "small": (
        96,
        {
            "cnn": {"channels": [96, 192, 192], "hidden_size": 256, "dropouts": [0.1, 0.1, 0.1, 0.1]},
            "lstm": {"hidden_size": 96, "dense_size": 96, "output_dropout": 0.1, "dense_dropout": 0.1},
            "dilated": {"bottleneck_channels": 64, "feature_channels": 512, "dropout": 0.1},
            "transformer": {"feedforward_size": 192},
            "xlstm": {},
        },
    ),
    "tiny": (
        32,
        {
            "cnn": {"channels": [32, 64, 64], "hidden_size": 64, "dropouts": [0.1, 0.1, 0.1, 0.1]},
            "lstm": {"hidden_size": 32, "dense_size": 32, "output_dropout": 0.1, "dense_dropout": 0.1},
            "dilated": {"bottleneck_channels": 32, "feature_channels": 64, "num_blocks": 8, "dropout": 0.1},
            "transformer": {"feedforward_size": 64, "num_layers": 2, "tower_blocks": 2},
            "xlstm": {"num_blocks": 2, "tower_blocks": 2},
        },
    ),
}
for _name, _parts in [item for item in PRESETS.items() if not item[0].endswith("-paper")]:
    for _size, (_channels, _cores) in _SIZES.items():
        PRESETS[f"{_name}-{_size}"] = {
            "stem": {**_parts["stem"], "channels": _channels},
            "core": {**_parts["core"], **_cores[_parts["core"]["type"]]},
        }
