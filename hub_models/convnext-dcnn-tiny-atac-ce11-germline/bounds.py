"""What sizes of a configuration can be: a damaged or hostile config.json is refused before anything is allocated."""

import math
from collections.abc import Collection, Mapping
from typing import Any

MAX_OUTPUTS = 100_000  # tracks or labels
MAX_SIZE = 1 << 20  # channels, positions, bp of a bin
MAX_LENGTH = 1 << 26  # bp of a window
MAX_LAYERS = 256
LAYERS = ("num_blocks", "num_layers", "tower_blocks", "tower1_blocks", "tower2_blocks", "fusion_blocks", "layers")


def check_outputs(name: str, value: Any) -> None:
    """Refuse a number of tracks or labels that no model has; names are made for each before types are checked.

    Raises:
        ValueError: it is no whole number of 1 to `MAX_OUTPUTS`.
    """
    if type(value) is not int or not 1 <= value <= MAX_OUTPUTS:
        raise ValueError(f"`{name}` must be a whole number of 1 to {MAX_OUTPUTS:,}, got {value!r:.40}")


def check_weight(name: str, value: float) -> None:
    """Refuse a weight in a loss that is negative or not finite.

    Raises:
        ValueError: it is.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"`{name}` must not be negative, and finite, got {value}")


def check_sizes(
    values: Mapping[str, Any], prefix: str = "", *, may_be_zero: Collection[str] = (), shares: Collection[str] = ()
) -> None:
    """Refuse sizes that are not positive or beyond reason, and numbers that are not finite.

    Args:
        values: fields of a configuration; of those that are neither numbers nor lists of them nothing is asked.
        prefix: before their names in an error, e.g. "core.".
        may_be_zero: whole numbers that may be 0.
        shares: numbers that must lie between 0 and 1, such as those of dropout.

    Raises:
        ValueError: a field breaks its rule.
    """
    for name, value in values.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(one, bool) or not isinstance(one, (int, float)):
                continue
            if name in shares:
                if not 0 <= one <= 1:
                    raise ValueError(f"`{prefix}{name}` must lie between 0 and 1, got {one}")
            elif isinstance(one, float):
                if not math.isfinite(one):
                    raise ValueError(f"`{prefix}{name}` must be finite, got {one}")
            else:
                low = 0 if name in may_be_zero else 1
                high = MAX_LENGTH if name.endswith("length") else MAX_LAYERS if name in LAYERS else MAX_SIZE
                if not low <= one <= high:
                    raise ValueError(f"`{prefix}{name}` must be {low} to {high:,}, got {one}")
