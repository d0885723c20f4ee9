"""The schedules, against values worked by hand."""

import math

import pytest
from chromhub.finetune.schedule import build_schedule, cosine_factor, paper_factor


def test_paper_schedule_of_eight_steps_an_epoch():
    # N = 8, W = int(8 / 4) = 2. Epoch 0: 0, 1/2, then (1 + cos(pi (t - 2) / 6)) / 2 for t = 2..7.
    first = [0, 0.5, 1, (1 + math.cos(math.pi / 6)) / 2, 0.75, 0.5, 0.25, (1 + math.cos(math.pi * 5 / 6)) / 2]
    # Epoch 1: (1 + cos(pi s / 8)) / 2 for s = 0..7, at full height.
    second = [(1 + math.cos(math.pi * s / 8)) / 2 for s in range(8)]
    # Epoch 2: the reference's off-by-one repeats phase 7 of cycle 0, then cycle 1 (x 0.9) from phase 0.
    third = [second[7], *(0.9 * value for value in second[:7])]
    fourth = [0.9 * second[7], *(0.81 * value for value in second[:7])]
    found = [paper_factor(step, steps_per_epoch=8) for step in range(32)]
    assert found == pytest.approx(first + second + third + fourth, abs=1e-15)


@pytest.mark.parametrize(
    ("steps_per_epoch", "expected"),
    [
        # N = 1: no warm-up; t = 0 -> 1; then s = 0 and 1 are phase 0 of cycle 0, s = 2 of cycle 1, s = 3 of cycle 2.
        (1, [1, 1, 1, 0.9, 0.81]),
        # N = 3: W = 0; cos at 0, 1/3, 2/3 -> 1, 0.75, 0.25; again; 0.25 repeated, then 0.9 x (1, 0.75).
        (3, [1, 0.75, 0.25, 1, 0.75, 0.25, 0.25, 0.9, 0.675]),
    ],
)
def test_paper_schedule_of_tiny_epochs(steps_per_epoch, expected):
    found = [paper_factor(step, steps_per_epoch=steps_per_epoch) for step in range(len(expected))]
    assert found == pytest.approx(expected, abs=1e-15)


def test_cosine_rises_over_the_warm_up_and_falls_to_the_end():
    # N = 8 and a quarter -> W = 2: 1/3, 2/3; then 8 steps of (1 + cos(pi k / 8)) / 2.
    found = [cosine_factor(step, steps_per_epoch=8, num_steps=10) for step in range(11)]
    assert found == pytest.approx([1 / 3, 2 / 3, *((1 + math.cos(math.pi * k / 8)) / 2 for k in range(9))], abs=1e-15)


def test_cosine_warm_up_is_at_most_a_quarter_of_the_run():
    # An epoch of 1,000 steps would warm up for 250; a run of 8 does for 2.
    assert cosine_factor(2, steps_per_epoch=1000, num_steps=8) == 1


def test_schedules_by_name():
    options = {"steps_per_epoch": 8, "num_steps": 16, "warmup": 0.25, "restart_decay": 0.5}
    assert build_schedule("paper", **options)(17) == 0.5
    assert build_schedule("cosine", **options)(16) == 0
