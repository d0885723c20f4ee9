"""Second derivatives through fast paths are those of the plain modules, and the guard steps aside for all who look."""

import copy

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import ModelHook, add_hook_to_module
from chromhub.modeling import AtacConfig, AtacForSequenceClassification, dropout, fused_attention, fused_dilated
from chromhub.modeling.convnext_block import ConvNextBlock
from chromhub.modeling.dropout import FastDropout
from chromhub.modeling.fast_path import fast_path_allowed, is_watched, plain_modules
from chromhub.modeling.fast_pool import max_pool
from chromhub.modeling.fused_attention import attention
from chromhub.modeling.fused_dilated import fast_pointwise
from chromhub.modeling.nearly_equal_windows import predict_groups
from chromhub.modeling.one_hot import one_hot
from chromhub.modeling.stems import ConvReluUnit, ConvUnit
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel

from .random_models import EVERY, random_codes, random_model, randomise

# PyTorch's attention and the sLSTM's recurrence have no second derivative, and say so.
REFUSED = {name: "not implemented" for name in EVERY if "transformer" in name} | {
    name: "no autograd formula" for name in EVERY if "xlstm" in name
}
DERIVABLE = [name for name in EVERY if name not in REFUSED]


def relative(ours, theirs):
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm()).item()


def channels_last(*shape):
    batch, channels, positions = shape
    return torch.randn(batch, positions, channels).transpose(1, 2)


def random_module(module: nn.Module) -> nn.Module:
    """Give it weights that show, in training mode."""
    return randomise(module).train()


class Pool(nn.Module):
    def forward(self, hidden):
        return max_pool(nn.MaxPool1d(2), hidden, 1)


class Pointwise(nn.Module):
    """A unit of kernel 1 with what follows it; without the fast path, with the mask that the fast path drew."""

    def __init__(self, masks, *, pool, residual):
        super().__init__()
        self.unit, self.dropout = ConvUnit(6, 10, kernel_size=1), FastDropout(0.25)
        self.masks, self.pool, self.residual = masks, pool, residual

    def forward(self, hidden, other):
        other = other if self.residual else None
        if hidden.dtype is torch.float32:
            return fast_pointwise(self.unit, self.dropout, hidden, residual=other, pool=self.pool)
        mask = torch.stack(self.masks).view(len(hidden), -1, 10).transpose(1, 2)
        outputs = self.unit(hidden) * mask * (dropout.LEVELS / self.dropout.kept)
        return F.avg_pool1d(outputs, self.pool) if other is None else outputs + other


class Attention(nn.Module):
    def __init__(self, masks):
        super().__init__()
        self.masks = masks

    def forward(self, query, key, value):
        if query.dtype is torch.float32:
            return attention(query, key, value, dropout=0.25)
        mask = torch.stack(self.masks).view(2, 3, 20, 20)
        return (torch.softmax(query @ key.transpose(2, 3) / 8**0.5, -1) * mask / 0.75) @ value


def fused(name, masks):
    """Return a module that runs one fused function, and its inputs."""
    torch.manual_seed(0)
    if name == "pool":
        return Pool(), [channels_last(2, 3, 15)]
    if name == "attention":
        return Attention(masks), [torch.randn(2, 3, 20, 8) for _ in range(3)]
    if name.startswith("pointwise"):
        residual = name.endswith("residual")
        unit = Pointwise(masks, pool=1 if residual else 4, residual=residual)
        return random_module(unit), [channels_last(2, 6, 40), channels_last(2, 10, 40)]
    if name == "convolution and ReLU":
        return random_module(ConvReluUnit(4, 8, kernel_size=6, padding="same")), [torch.randn(2, 4, 30)]
    if name == "GELU and convolution":
        return random_module(ConvUnit(16, 8, kernel_size=3, dilation=2)), [channels_last(2, 16, 30)]
    if name == "ConvNeXt, dense":
        return random_module(ConvNextBlock(4, 16, kernel_size=6)), [torch.randn(2, 4, 50)]
    in_channels = 16 if name == "ConvNeXt, depthwise" else 8
    block = ConvNextBlock(in_channels, 16, kernel_size=7, depthwise=True)
    return random_module(block), [channels_last(2, in_channels, 50)]


FUSED = {
    "pool": "_MaxPoolBackward",
    "attention": "_DroppedAttentionBackward",
    "pointwise and pool": "_PointwiseUnitBackward",
    "pointwise and residual": "_PointwiseUnitBackward",
    "convolution and ReLU": "_UnfoldedConvBackward",
    "GELU and convolution": "_UnfoldedConvBackward",
    "ConvNeXt, dense": "_FusedBlockBackward",
    "ConvNeXt, depthwise": "_FusedBlockBackward",
    "ConvNeXt, depthwise, twice the channels": "_FusedBlockBackward",
}


def nodes(outputs):
    """Return the names of the operations behind a tensor."""
    found, stack = set(), [outputs.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.add(node)
            stack.extend(before for before, _ in node.next_functions)
    return {node.name() for node in found}


@pytest.fixture
def masks(monkeypatch):
    """Return the list of the masks that will have been drawn."""
    drawn = []

    def draw(*arguments):
        drawn.append(dropout.draw_mask(*arguments))
        return drawn[-1]

    monkeypatch.setattr(fused_attention, "draw_mask", draw)
    monkeypatch.setattr(fused_dilated, "draw_mask", draw)
    return drawn


def derivatives(module, inputs, *, power, weights, directions):
    """Return the gradients of a sum of outputs and, along `directions`, their gradients again.

    With a `power` of 1 no gradient flows in the gradient that reaches the function, with 2 one does.
    """
    tensors = [tensor for tensor in (*inputs, *module.parameters()) if tensor.requires_grad]
    loss = (module(*inputs) * weights).pow(power).sum()
    first = torch.autograd.grad(loss, tensors, create_graph=True, materialize_grads=True)
    along = sum((one * way).sum() for one, way in zip(first, directions, strict=True))
    return first, torch.autograd.grad(along, tensors, materialize_grads=True)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("name", FUSED)
def test_second_derivatives_of_each_fused_function(name, power, masks):
    module, inputs = fused(name, masks)
    plain = copy.deepcopy(module).double()
    plain.masks = masks
    # The dense block leaves its fast path where its input has a gradient.
    inputs = [tensor.requires_grad_(name != "ConvNeXt, dense") for tensor in inputs]
    outputs = module(*inputs)
    assert FUSED[name] in nodes(outputs)
    masks.clear()
    like = [tensor for tensor in (*inputs, *module.parameters()) if tensor.requires_grad]
    weights, directions = torch.randn_like(outputs), [torch.randn_like(tensor) for tensor in like]
    ours = derivatives(module, inputs, power=power, weights=weights, directions=directions)
    theirs = derivatives(
        plain,
        [tensor.detach().double().requires_grad_(tensor.requires_grad) for tensor in inputs],
        power=power,
        weights=weights.double(),
        directions=[way.double() for way in directions],
    )
    assert any(tensor.any() for tensor in theirs[1]) or (name == "pool" and power == 1)  # pooling alone is linear
    for mine, its in zip((*ours[0], *ours[1]), (*theirs[0], *theirs[1]), strict=True):
        assert torch.allclose(mine.double(), its, atol=1e-4 * its.detach().norm().item() + 1e-6)


def hessian_product(model, inputs, direction):
    """Return the Hessian of a sum of squared predictions times `direction`, by its inputs and by its weights."""
    inputs = inputs.clone().requires_grad_()
    loss = model(inputs).predictions.square().sum()
    (gradient,) = torch.autograd.grad(loss, inputs, create_graph=True)
    (by_inputs,) = torch.autograd.grad((gradient * direction).sum(), inputs)
    weights = list(model.parameters())
    loss = model(inputs.detach()).predictions.square().sum()
    gradients = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
    penalty = sum(gradient.square().sum() for gradient in gradients)
    by_weights = torch.autograd.grad(penalty, weights, materialize_grads=True)
    return by_inputs, torch.cat([gradient.flatten() for gradient in by_weights])


def example(name, *, training=False):
    """Return a model without dropout, a one-hot of one window, and a direction in its space."""
    model, inputs = random_model(name).train(training), one_hot(random_codes(1), torch.float32)
    for module in model.modules():
        if isinstance(module, FastDropout):
            module.p = 0.0
    return model, inputs, torch.randn_like(inputs)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", DERIVABLE)
def test_hessian_products_of_every_preset(name, training):
    model, inputs, direction = example(name, training=training)
    with plain_modules():
        theirs = hessian_product(copy.deepcopy(model).double(), inputs.double(), direction.double())
    ours = hessian_product(model, inputs, direction)
    assert all(its.any() for its in theirs)
    assert max(relative(mine, its) for mine, its in zip(ours, theirs, strict=True)) < 1e-4


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_second_derivative_says_so(name):
    with pytest.raises(RuntimeError, match=REFUSED[name]):
        hessian_product(*example(name))


def by_forward_mode(function, inputs, direction):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(function(forward_ad.make_dual(inputs, direction))).tangent


def many_at_once(function, inputs, direction):
    inputs = inputs.clone().requires_grad_()
    outputs = function(inputs)
    return torch.autograd.grad(outputs, inputs, torch.arange(1.0, 4).to(outputs.dtype), is_grads_batched=True)[0]


def many_at_once_again(function, inputs, direction):
    inputs = inputs.clone().requires_grad_()
    outputs, weights = function(inputs), torch.arange(1.0, 4)
    gradients = torch.autograd.grad(
        outputs, inputs, weights.to(outputs.dtype), is_grads_batched=True, create_graph=True
    )[0]
    return torch.autograd.grad((gradients * direction).sum(), inputs)[0]


def twice_by_func(function, inputs, direction):
    return torch.func.grad(lambda one: (torch.func.grad(function)(one) * direction).sum())(inputs)


TRANSFORMS = {
    "functional.hvp": lambda function, inputs, direction: torch.autograd.functional.hvp(function, inputs, direction)[1],
    "functional.vhp": lambda function, inputs, direction: torch.autograd.functional.vhp(function, inputs, direction)[1],
    "functional.jvp": lambda function, inputs, direction: torch.autograd.functional.jvp(function, inputs, direction)[1],
    "func.jvp": lambda function, inputs, direction: torch.func.jvp(function, (inputs,), (direction,))[1],
    "func.vmap": lambda function, inputs, direction: torch.func.vmap(function)(torch.stack([inputs, direction])),
    "func.grad of grad": twice_by_func,
    "func.jvp of grad": lambda f, inputs, direction: torch.func.jvp(torch.func.grad(f), (inputs,), (direction,))[1],
    "forward mode": by_forward_mode,
    "is_grads_batched": many_at_once,
    "is_grads_batched, again": many_at_once_again,
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own use
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ["convnext-dcnn-tiny", "cnn-tiny", "convnext-cnn-tiny"])
def test_transforms_see_what_the_plain_model_computes(name, transform):
    model, inputs, direction = example(name)
    exact = copy.deepcopy(model).double()
    ours = TRANSFORMS[transform](lambda one: model(one).predictions.square().sum(), inputs, direction)
    theirs = TRANSFORMS[transform](
        lambda one: exact(one).predictions.square().sum(), inputs.double(), direction.double()
    )
    assert theirs.any()
    assert relative(ours, theirs) < 1e-4


def test_a_third_derivative():
    model, inputs, direction = example("dcnn-tiny")

    def third(model, inputs, direction):
        inputs = inputs.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(inputs).predictions.sum(), inputs, create_graph=True)
        (second,) = torch.autograd.grad((gradient * direction).sum(), inputs, create_graph=True)
        return torch.autograd.grad((second * direction).sum(), inputs)[0]

    theirs = third(copy.deepcopy(model).double(), inputs.double(), direction.double())
    assert theirs.any()
    assert relative(third(model, inputs, direction), theirs) < 1e-4


def test_the_guard_steps_aside_for_all_who_look_on():
    layer, inputs = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), torch.zeros(2, 4)

    def allowed(module=layer):
        return fast_path_allowed(module, inputs, {})

    assert allowed()
    assert not is_watched()
    with torch.device("cpu"):  # as `torch.set_default_device` does: new tensors may lie elsewhere
        assert not allowed()
    with FlopCounterMode(display=False):
        assert not allowed()
    with forward_ad.dual_level():
        assert not allowed()
    assert not torch.func.vmap(lambda one: one + is_watched())(torch.zeros(2)).eq(0).any()
    assert not allowed(copy.deepcopy(layer).to("meta"))
    assert not allowed(add_hook_to_module(copy.deepcopy(layer)[0], ModelHook()))
    assert allowed()


class Subclass(torch.Tensor):
    """Stands for a sharded or quantised weight, which says float32 and a CPU."""


def test_a_weight_that_is_no_plain_tensor_is_left_to_its_own_module():
    layer = nn.Linear(4, 4)
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Subclass))
    assert not fast_path_allowed(layer, torch.zeros(2, 4), {})


def offloaded(model, folder):
    return cpu_offload(model, execution_device=torch.device("cpu"))


def on_disk(model, folder):
    model.save_pretrained(folder)
    return AutoModel.from_pretrained(
        folder, device_map={"stem": "cpu", "core": "disk", "head": "cpu"}, offload_folder=str(folder / "offload")
    ).eval()


def quantised(model, folder):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(("place", "tolerance"), [(offloaded, 1e-5), (on_disk, 1e-5), (quantised, 0.5)])  # of 8 bits
@pytest.mark.parametrize("name", EVERY)
def test_weights_that_lie_elsewhere(name, place, tolerance, tmp_path):
    model, inputs = random_model(name), random_codes()
    expected = model.predict(inputs, target_only=True)
    if "mappability" in name and place is on_disk:
        pytest.skip("its map of devices has one part more")
    placed = place(copy.deepcopy(model), tmp_path)
    assert relative(placed.predict(inputs, target_only=True), expected) < tolerance
    with torch.no_grad():
        forward = placed(inputs).predictions
    crop, exactly = model.config.crop_bins, placed.predict(inputs, target_only=True)
    assert relative(forward[..., crop:-crop], exactly) < 1e-5
    assert relative(predict_groups(placed, inputs, group=2, crop=crop), exactly) < 1e-5


def test_an_offloaded_classifier_with_kmers():
    config = AtacConfig.from_preset(
        "convnext-cnn-tiny", input_length=640, target_length=640, bin_size=64, kmers={"k": 3, "widths": [64]}
    )
    model = AtacForSequenceClassification(config).eval()
    nn.init.normal_(model.kmer_part.linear.weight)
    inputs = random_codes(length=640)
    with torch.no_grad():
        expected = model(inputs).logits
        offloaded_logits = cpu_offload(copy.deepcopy(model), execution_device=torch.device("cpu"))(inputs).logits
    assert torch.allclose(offloaded_logits, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["convnext-dcnn-tiny", "cnn-tiny"])
def test_a_compiled_model_is_one_graph(name):
    model, inputs = random_model(name), random_codes()
    assert model._can_compile_fullgraph
    expected = model.predict(inputs)
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend="eager")(inputs).predictions
    assert torch.allclose(compiled, expected, atol=1e-4)
    compiled = torch.compile(model.predict, fullgraph=True, backend="eager")(inputs)
    assert torch.allclose(compiled, expected, atol=1e-4)
