import math

import pytest
import torch
from chromhub.finetune.between_types import between_types_loss
from chromhub.finetune.recipe import load_recipe


def test_by_hand():
    # softmax of (ln 3, 0) is (3/4, 1/4); open in the first alone: -ln(3/4) / ln 2 = 0.4150
    logits = torch.tensor([[math.log(3.0), 0.0], [5.0, -5.0], [1.0, 2.0]])
    labels = torch.tensor([[1, 0], [1, 1], [0, 0]])  # the second and the third do not differ: they do not count
    assert between_types_loss(logits, labels) == pytest.approx(math.log(4 / 3) / math.log(2))


def test_chance_is_one():
    assert between_types_loss(torch.zeros(4, 5), torch.eye(5)[:4]) == pytest.approx(1.0)


def test_a_window_with_an_unknown_label_does_not_count():
    logits, labels = torch.zeros(1, 2), torch.tensor([[1, 0]])
    assert between_types_loss(logits, labels, torch.tensor([[1, 0]])) == 0


def test_it_does_not_change_with_what_all_tracks_share():
    logits, labels = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.eye(4)[:3]
    torch.testing.assert_close(between_types_loss(logits, labels), between_types_loss(logits + 7, labels))


def test_one_track_has_nothing_to_compare():
    with pytest.raises(ValueError, match=r"two tracks or more, got logits of shape \(2, 1\)"):
        between_types_loss(torch.zeros(2, 1), torch.zeros(2, 1))


def test_a_track_model_has_none():
    with pytest.raises(ValueError, match=r"between_types is for task classification, got 0\.3; leave it out"):
        load_recipe(data="store", preset="convnext-dcnn", between_types=0.3)
