import numpy as np
import pytest
from chromhub.datasets_scripts.stream_order import StreamOrder

OPTIONS = {"buffer_size": 20, "num_lanes": 3, "shuffle": True, "seed": 0, "rank": 0, "world_size": 1}


def windows_of(order: StreamOrder, epoch: int) -> list[list[int]]:
    """The windows of each batch of a rank, by number in the order of the shards."""
    starts = np.cumsum([0, *order.piece_sizes])
    pieces = order.pieces(epoch)
    batches = []
    for batch in range(order.num_batches):
        lane, buffer, place = order.place(batch)
        assert buffer < order.num_buffers(lane)
        segments, shuffled = order.buffer(pieces, lane, buffer, epoch=epoch)
        rows = np.concatenate([np.arange(s.first, s.last) + starts[s.piece] for s in segments])
        batches.append(rows[shuffled][place].tolist())
    return batches


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("num_windows", [3, 8, 33, 97, 144])
@pytest.mark.parametrize("batch_size", [2, 8, 50])
def test_every_window_once_and_as_many_steps_on_every_rank(num_windows, batch_size, world_size) -> None:
    sizes = [10] * (num_windows // 10) + ([num_windows % 10] if num_windows % 10 else [])
    ranks = [
        windows_of(StreamOrder(sizes, batch_size=batch_size, **{**OPTIONS, "rank": r, "world_size": world_size}), 2)
        for r in range(world_size)
    ]
    assert sorted(w for rank in ranks for batch in rank for w in batch) == list(range(num_windows))
    assert {len(rank) for rank in ranks} == {-(-num_windows // (batch_size * world_size))}
    assert all(0 < len(batch) <= batch_size for rank in ranks for batch in rank)


def test_only_the_last_batch_is_smaller() -> None:
    batches = windows_of(StreamOrder([10] * 9 + [3], batch_size=8, **OPTIONS), 0)
    assert [len(batch) for batch in batches] == [8] * 11 + [5]  # 93 = 11 x 8 + 5


def test_the_order_is_new_each_epoch_and_mixes_pieces() -> None:
    order = StreamOrder([10] * 20, batch_size=10, **OPTIONS)
    first, second = windows_of(order, 0), windows_of(order, 1)
    assert first == windows_of(order, 0)
    assert first != second
    mixed = [len({window // 10 for window in batch}) > 1 for batch in first]
    assert sum(mixed) >= 15  # of 20; a lane's last buffer may hold a single piece


def test_without_shuffling_one_lane_keeps_the_order_of_the_shards() -> None:
    order = StreamOrder([10, 10, 3], batch_size=4, **{**OPTIONS, "shuffle": False, "num_lanes": 1})
    assert [window for batch in windows_of(order, 0) for window in batch] == list(range(23))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"batch_size": 0}, "must be positive, got 0, 20 and 3"),
        ({"rank": 2, "world_size": 2}, "`rank` must be one of the 2 processes, got 2"),
        ({"world_size": 40}, "30 windows in batches of 8 do not give 40 processes as many steps"),
        ({"batch_size": 1, "world_size": 4}, "30 windows in batches of 1 do not give 4 processes"),
    ],
)
def test_values_are_refused_at_the_door(changes, match) -> None:
    with pytest.raises(ValueError, match=match):
        StreamOrder([10, 10, 10], **{"batch_size": 8, **OPTIONS, **changes})
