"""Cores: features of the stem (B, C, L) -> features (B, F, P) that the head turns into bins.

Every core has `feature_channels`, F, and `bins_per_position`: how many bins the head makes of each of the P positions.
"""

from typing import Any

from .cnn_core import CnnCore
from .configuration_atac import AtacConfig
from .dilated_core import DilatedCore
from .lstm_core import LstmCore
from .stems import stem_length
from .transformer_core import TransformerCore
from .xlstm_core import XlstmCore

Core = CnnCore | LstmCore | DilatedCore | TransformerCore | XlstmCore


def build_core(config: AtacConfig) -> Core:
    """Return the core that `config` describes, by its `type`.

    Raises:
        ValueError: no such type.
    """
    core: Any = config.core_config
    channels, bin_size, num_bins = config.stem_config.channels, config.bin_size, config.num_bins
    kind = core.type
    if kind == "cnn":
        num_positions = stem_length(config.stem_config, config.input_length)
        return CnnCore(core, channels, num_positions=num_positions, num_bins=num_bins, bin_size=bin_size)
    if kind == "lstm":
        return LstmCore(core, channels, num_bins=num_bins, bin_size=bin_size)
    per_bin = {"dilated": DilatedCore, "transformer": TransformerCore, "xlstm": XlstmCore}
    if kind not in per_bin:
        raise ValueError(f"`core.type` must be one of cnn, lstm, {', '.join(per_bin)}, got {kind!r}")
    return per_bin[kind](core, channels, bin_size=bin_size)
