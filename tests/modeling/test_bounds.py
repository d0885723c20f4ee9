import math

import pytest
from chromhub.modeling.bounds import MAX_LENGTH, MAX_SIZE, check_outputs, check_sizes, check_weight


@pytest.mark.parametrize("value", [0, -1, 10**8, "1", None, True, 1.0])
def test_a_number_of_outputs_that_no_model_has(value) -> None:
    with pytest.raises(ValueError, match="`num_tracks` must be a whole number of 1 to 100,000"):
        check_outputs("num_tracks", value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": 0}, "`core.channels` must be 1 to"),
        ({"channels": [8, MAX_SIZE + 1]}, "`core.channels` must be 1 to"),
        ({"input_length": MAX_LENGTH + 1}, "`core.input_length` must be 1 to"),
        ({"num_blocks": 257}, "`core.num_blocks` must be 0 to 256"),
        ({"dropout": 1.5}, "`core.dropout` must lie between 0 and 1"),
        ({"growth": math.inf}, "`core.growth` must be finite"),
    ],
)
def test_sizes_beyond_reason(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        check_sizes(values, "core.", may_be_zero=("num_blocks",), shares=("dropout",))


def test_sizes_within() -> None:
    check_sizes({"channels": [1, MAX_SIZE], "num_blocks": 0, "type": "x", "causal": False}, may_be_zero=("num_blocks",))


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_a_weight_that_is_none(value) -> None:
    with pytest.raises(ValueError, match="`count_weight` must not be negative, and finite"):
        check_weight("count_weight", value)
