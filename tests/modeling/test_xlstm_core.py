import json

import numpy as np
import pytest
import torch
from chromhub.modeling import AtacConfig, AtacForTrackPrediction, DnaFeatureExtractor
from chromhub.modeling.architecture_parts import XlstmCoreConfig
from chromhub.modeling.xlstm_core import HeadLinear, MlstmBlock, SlstmBlock, XlstmCore, XlstmStack
from torch import nn

from . import parity


def small_stack(**fields) -> XlstmStack:
    """A stack whose every parameter matters: at its start gates read nothing and nothing recurs."""
    torch.manual_seed(0)
    stack = XlstmStack(XlstmCoreConfig(**{"num_heads": 2, **fields}), 16)
    for parameter in stack.parameters():
        nn.init.normal_(parameter, std=0.3)
    return stack.eval()


def test_equals_the_reference_to_the_last_epsilon(shared):
    """Closer than the other presets' test asks: an epsilon left out is 1e-7 here."""
    fixtures = shared / "fixtures"
    facts = json.loads((fixtures / "asap_parity.json").read_text())
    expected = np.load(fixtures / "asap_parity.npz")["convnext_xlstm"]
    model = AtacForTrackPrediction(AtacConfig.from_preset("convnext-xlstm")).double().eval()
    model.load_state_dict(parity.reference_state(facts["models"]["convnext_xlstm"]["tensors"], facts["seed"]))
    with torch.no_grad():
        predictions = model(DnaFeatureExtractor()(facts["sequences"])["inputs"]).predictions[:, 0].numpy()
    assert np.abs(predictions - expected).max() < 1e-10


@pytest.mark.parametrize("positions", [1, 3, 64, 100, 700])
def test_any_length(positions):
    outputs = small_stack()(torch.randn(2, 16, positions))
    assert outputs.shape == (2, 16, positions)
    assert torch.isfinite(outputs).all()


def test_reads_left_to_right_or_both_ways():
    inputs = torch.randn(1, 16, 150, dtype=torch.float64)
    changed = inputs.clone()
    changed[:, :, 90] = torch.randn(16, dtype=torch.float64)
    for bidirectional in (False, True):
        stack = small_stack(bidirectional=bidirectional).double()
        with torch.no_grad():
            moved = (stack(changed) - stack(inputs)).abs().amax(1)[0]
        assert moved[90:].min() > 1e-12  # all to the right
        assert moved[:90].min() > 1e-12 if bidirectional else not moved[:90].any()


def test_both_directions_need_no_further_parameters_and_turn_the_odd_blocks():
    both = small_stack(bidirectional=True, num_blocks=3, slstm_at=[1])
    assert {key: tensor.shape for key, tensor in both.state_dict().items()} == {
        key: tensor.shape for key, tensor in small_stack(num_blocks=3, slstm_at=[1]).state_dict().items()
    }
    hidden = torch.randn(2, 20, 16)
    first, second, third = both.blocks
    expected = both.norm(third(second(first(hidden).flip(1)).flip(1)))
    assert torch.equal(both(hidden.transpose(1, 2)), expected.transpose(1, 2))


def test_batch_size_is_irrelevant():
    stack, inputs = small_stack().double(), torch.randn(3, 16, 70, dtype=torch.float64)
    alone = torch.cat([stack(inputs[i : i + 1]) for i in range(3)])
    assert torch.allclose(stack(inputs), alone, atol=1e-12)


def test_every_parameter_has_a_finite_gradient():
    for fields in ({}, {"bidirectional": True}):
        stack, inputs = small_stack(**fields).train(), torch.randn(2, 16, 70, requires_grad=True)
        stack(inputs).square().sum().backward()
        for key, parameter in [*stack.named_parameters(), ("inputs", inputs)]:
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
            assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("whole", [False, True])
def test_bfloat16_is_close(whole):
    stack, inputs = small_stack(), torch.randn(2, 16, 130)
    single = stack(inputs).detach()
    if whole:  # the weights themselves
        half = stack.bfloat16()(inputs.bfloat16())
        assert half.dtype == torch.bfloat16
    else:
        with torch.autocast("cpu", torch.bfloat16):
            half = stack(inputs)
    half.float().sum().backward()
    assert torch.corrcoef(torch.stack([single.flatten(), half.detach().float().flatten()]))[0, 1] > 0.99


def test_recomputed_blocks_give_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        stack = small_stack().train()
        for block in stack.blocks:
            block.gradient_checkpointing = checkpointing
            block._gradient_checkpointing_func = lambda call, *args: torch.utils.checkpoint.checkpoint(
                call, *args, use_reentrant=False
            )
        stack(torch.randn(2, 16, 30, generator=torch.Generator().manual_seed(0))).square().sum().backward()
        gradients.append([parameter.grad for parameter in stack.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert torch.equal(plain, again)


def test_compiles_into_one_graph():
    stack, inputs = small_stack(), torch.randn(2, 16, 300)
    with torch.no_grad():
        compiled = torch.compile(stack, fullgraph=True, backend="aot_eager")(inputs)
    assert torch.allclose(compiled, stack(inputs), atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # the compiler's own
def test_compiled_equals_eager_with_gradients():
    stack, inputs = small_stack(num_blocks=2), torch.randn(2, 16, 300, requires_grad=True)
    compiled = torch.compile(stack, fullgraph=True)(inputs)
    expected = stack(inputs)
    assert torch.allclose(compiled, expected, atol=1e-4)
    (fast,) = torch.autograd.grad(compiled.square().sum(), inputs)
    (plain,) = torch.autograd.grad(expected.square().sum(), inputs)
    assert (fast - plain).abs().max() < 1e-4 * plain.abs().max()


def test_head_linear_is_block_diagonal():
    layer = HeadLinear(8, num_heads=2, block_size=2, init_width=8)
    heads = torch.randn(3, 2, 5, 4)  # (B, H, P, D)
    channels = heads.transpose(1, 2).reshape(3, 5, 8)
    expected = channels @ torch.block_diag(*layer.weight).T
    assert torch.allclose(layer(heads).transpose(1, 2).reshape(3, 5, 8), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"must divide the 8 channels of an xLSTM block, got 2 \* 3"):
        HeadLinear(8, num_heads=2, block_size=3, init_width=8)


def test_blocks_start_as_the_reference_starts_them():
    config = XlstmCoreConfig()
    mlstm, slstm = MlstmBlock(config, 128), SlstmBlock(config, 128, depth=1 / 3)
    assert mlstm.forget_gate.bias.tolist() == [3, 4, 5, 6]
    assert not mlstm.forget_gate.weight.any()
    assert not mlstm.input_gate.weight.any()
    assert not slstm.recurrent.any()
    forget = slstm.bias.view(4, 4, 32)[1]
    assert not slstm.bias.view(4, 4, 32)[[0, 2, 3]].any()
    # 5 - 12 * (1 / 31) ** (0.3 + 1.3 / 3) = 4.0328
    assert torch.allclose(forget[:, [0, 1, -1]], torch.tensor([5, 4.0328, -7]).expand(4, 3), atol=1e-4)
    # sqrt(2 / (5 * 128)) = 0.0559 and 2 / (4 * sqrt(128)) = 0.0442, of some 30,000 draws
    assert mlstm.up.weight.std().item() == pytest.approx(0.0559, rel=0.03)
    assert mlstm.query.weight.std().item() == pytest.approx(0.0559, rel=0.1)
    assert mlstm.down.weight.std().item() == pytest.approx(0.0442, rel=0.03)
    assert slstm.feedforward_out.weight.std().item() == pytest.approx(0.0442, rel=0.03)


def test_core_averages_steps_to_bins():
    core = XlstmCore(XlstmCoreConfig(pool_size=2, num_heads=2, num_blocks=2, tower_blocks=1), 16, bin_size=8).eval()
    inputs = torch.randn(2, 16, 64)
    expected = core.stack(core.tower(core.pool(inputs))).unflatten(-1, (8, 4)).mean(-1)
    assert torch.allclose(core(inputs), expected, atol=1e-6)
    assert (core.feature_channels, core.bins_per_position) == (16, 1)
