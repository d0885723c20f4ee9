import pytest
import torch
from chromhub.finetune.diverged import check_converged
from torch import nn


def layers(**changes) -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    with torch.no_grad():
        for name, value in changes.items():
            model.state_dict()[name.replace("_", ".", 1)].fill_(value)
    return model


def test_a_sound_model_passes() -> None:
    check_converged(layers(), [{"loss": 1.0}, {"eval_loss": float("nan")}, {"eval_loss": 0.5}])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"0_weight": 1.2e13}, r"weight 0\.weight has a value of size 1\.2e\+13: the training has diverged"),
        ({"0_bias": float("nan")}, r"weight 0\.bias has a value of size nan"),
        ({"1_running_var": float("inf")}, r"buffer 1\.running_var is not finite"),
    ],
)
def test_absurd_weights_are_refused(changes, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_converged(layers(**changes), [])


def test_a_loss_that_never_was_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="the validation loss was never finite: the training has diverged"):
        check_converged(layers(), [{"eval_loss": float("nan")}, {"eval_loss": float("inf")}])
