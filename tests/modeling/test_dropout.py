import pytest
import torch
from chromhub.modeling.dropout import FastDropout


def test_keeps_the_expected_share_and_scale():
    torch.manual_seed(0)
    layer = FastDropout(0.25).train()
    hidden = torch.ones(200, 1000)
    dropped = layer(hidden)
    kept = dropped != 0
    # 200,000 draws: the share of kept elements has a standard deviation of sqrt(.25 * .75 / 2e5) = .001
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.005)
    assert torch.allclose(dropped[kept], torch.tensor(1 / 0.75), atol=1e-4)


def test_gradient_is_the_mask_of_the_forward_pass():
    layer = FastDropout(0.5).train()
    hidden = torch.randn(4, 32, 64, requires_grad=True)
    dropped = layer(hidden)
    dropped.sum().backward()
    assert torch.equal(hidden.grad == 0, dropped == 0)
    assert torch.allclose(hidden.grad[dropped != 0], torch.tensor(2.0))


def test_torch_seed_alone_decides():
    layer, hidden = FastDropout(0.5).train(), torch.ones(8, 64)
    torch.manual_seed(1)
    first, second = layer(hidden), layer(hidden)
    torch.manual_seed(1)
    assert torch.equal(layer(hidden), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True)])
def test_identity_when_nothing_is_dropped(p, training):
    hidden = torch.randn(2, 3)
    assert FastDropout(p).train(training)(hidden) is hidden


def test_everything_dropped_at_p_one():
    assert FastDropout(1.0).train()(torch.ones(4)).sum() == 0
