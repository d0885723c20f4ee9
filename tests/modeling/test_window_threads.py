"""Windows in threads: every window once, PyTorch's settings as before."""

import threading

import pytest
import torch
from chromhub.modeling.window_threads import over_windows


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_window_once_and_in_order(count):
    def record(piece):
        return threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled(), list(piece)

    results = over_windows(count, record)
    assert [i for *_, piece in results for i in piece] == list(range(count))
    if count > 1:
        assert len(results) == min(count, 3)
        assert all(number == 1 and not grad and ident != threading.get_ident() for ident, number, grad, _ in results)
    assert torch.get_num_threads() == 3


def test_an_error_reaches_the_caller():
    def fail(piece):
        raise ValueError("no such window")

    with pytest.raises(ValueError, match="no such window"):
        over_windows(4, fail)


def test_new_threads_keep_the_setting():
    over_windows(4, list)
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [3]
