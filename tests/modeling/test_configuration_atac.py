import json

import pytest
from chromhub.modeling import PRESETS, AtacConfig
from huggingface_hub.errors import StrictDataclassError


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_round_trip(preset, tmp_path):
    config = AtacConfig.from_preset(preset, num_tracks=2, track_names=["a", "b"])
    config.save_pretrained(tmp_path)
    loaded = AtacConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() | {"_name_or_path": ""} == config.to_dict() | {"_name_or_path": ""}
    assert loaded.core_config == config.core_config
    assert json.loads((tmp_path / "config.json").read_text())["core"] == config.core


def test_dilations_of_the_paper():
    # numpy.round(1.5 ** i), i = 0..10
    dilations = AtacConfig.from_preset("dcnn").core_config.dilations
    assert dilations == [1, 2, 2, 3, 5, 8, 11, 17, 26, 38, 58]


def test_grid():
    config = AtacConfig()
    # (2048 - 1024) / 2 / 4 = 128 bins of context on each side of 256
    assert (config.num_bins, config.crop_bins) == (512, 128)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input_length": 2050}, "`input_length` must be a multiple of `bin_size` 4, got 2050"),
        ({"target_length": 4096}, "`target_length` must lie in the middle"),
        ({"target_length": 1020}, "`target_length` must lie in the middle"),
        ({"target_summary": "median"}, "`target_summary` must be max, mean or sum"),
        ({"target_transform": "sqrt"}, "`target_transform` must be log1p or none"),
        ({"loss": "mse"}, "loss"),
        ({"count_weight": -1}, "`count_weight` must not be negative, and finite, got -1"),
        ({"track_names": ["a", "b"]}, "`track_names` must hold 1 names"),
        ({"bin_size": "4"}, "bin_size"),
        ({"core": {"type": "dilated", "kernel_size": 4}}, "`core.kernel_size` must be odd in a dilated core, got 4"),
        ({"core": {"type": "cnn", "channels": [8]}}, "must be one longer than `core.channels`, got 4, 4 and 1"),
        (
            {"core": {"type": "cnn", "output": "position", "padding": "same", "pool_sizes": [3, 3, 1, 1]}},
            "must multiply to a multiple of `bin_size` 4",
        ),
        (
            {"stem": {"type": "conv", "unit": "conv-relu", "padding": "valid"}, "core": {"type": "transformer"}},
            "`padding` must be 'same' where every bin is predicted from its own position",
        ),
        ({"core": {"type": "transformer", "num_heads": 3}}, "`core.num_heads` must divide `stem.channels` 256, got 3"),
        ({"core": {"type": "transformer", "rotary": "yes"}}, "rotary"),
        ({"mappability_weight": -1}, "`mappability_weight` must not be negative"),
        ({"core": {"type": "dilated", "pool_size": 3}}, "`core.pool_size` must divide `bin_size` 4, got 3"),
        ({"core": {"type": "dilatd"}}, "`core.type` must be one of"),
        ({"core": {"type": "dilated", "num_block": 3}}, "no key 'num_block'; did you mean 'num_blocks'"),
    ],
)
def test_misfits_are_refused(fields, message):
    with pytest.raises((ValueError, StrictDataclassError), match=message):
        AtacConfig(**fields)


def test_unknown_preset():
    with pytest.raises(ValueError, match="preset must be one of"):
        AtacConfig.from_preset("convnext")
