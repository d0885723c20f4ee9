import numpy as np
import pytest
from chromhub.inference.peak_shape import ShapeState, cosine_similarity, min_max


def test_cosine_by_hand():
    # (3, 4).(4, 3) = 24 over 5 * 5; a row without signal has none
    found = cosine_similarity(np.array([[3.0, 4], [0, 0], [2, 2]]), np.array([[4.0, 3], [1, 1], [5, 5]]))
    assert found == pytest.approx([24 / 25, np.nan, 1], nan_ok=True)


def test_a_state_by_hand():
    state, other = ShapeState.empty(3), ShapeState.empty(3)
    state.update(np.array([[0.0, 2, 1]]), np.array([[0.0, 4, 2]]))  # cosine 1
    other.update(np.array([[0.0, 0, 3], [5.0, 5, 5]]), np.array([[0.0, 1, np.nan], [0, 0, 0]]))  # both without one
    state.merge(other)
    found = state.summary()
    assert (found["peaks"], found["cosine"]) == (1, pytest.approx(1))
    # sums of known bins: predicted 5, 7, 6 over 3, 3, 2 peaks: 5/3, 7/3, 3 -> 0, .5, 1; true 0, 5, 2 -> 0, 5/3, 1
    assert found["predicted"] == pytest.approx([0, 0.5, 1])
    assert found["true"] == pytest.approx([0, 1, 0.6])


def test_flat_profiles_have_no_scale():
    assert min_max(np.ones(4)) is None
    state = ShapeState.empty(2)
    assert state.summary() == {"peaks": 0, "cosine": None, "predicted": None, "true": None}
