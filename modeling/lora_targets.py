"""How an adapter adapts each layer of a model: the exact way, chosen by experiment, that plain PEFT can load.

Tried with peft 0.20 to 0.21.2 on every core: starts as nothing, reloads bit for bit, merges within 1e-6.

| layer | way | why |
|---|---|---|
| linear, attention projection, pointwise and plain convolution | LoRA | exact |
| dilated convolution | LoRA | exact of `DilatedConv1d`; of an `nn.Conv1d`, PEFT loses the dilation |
| LSTM, block-diagonal linear | LoRA of the weight, by `target_parameters` | exact; as modules PEFT knows neither |
| depthwise convolution | trained whole, by `modules_to_save` | PEFT cannot merge groups; factors save nothing there |
| same, where an adapter of least rank is below 5 % of the base only without them | frozen | it stays small |
| smaller than its own LoRA: blocks of 4 x 4, one output | trained whole | less is not to be had |
| head | trained whole, or LoRA if large | new tracks ask for it; one to all bins of a window is up to 10 % of a model |
| k-mer part | trained whole | its ranks would be its labels |
| norms, GRN; recurrent weights of an sLSTM | frozen | small; PEFT cannot wrap a parameter and layers beside it |

LoHa and LoKr, exact of dilated and depthwise convolutions too, do not combine with LoRA in one adapter, and break the
merge of a model with an LSTM. Which way a layer goes hangs on the architecture alone, not on the rank: adapters of
different ranks on one base must target the same parameters.
"""

from typing import Any

from torch import nn

from .dilated_conv import DilatedConv1d
from .xlstm_core import HeadLinear

RANKS = (8, 4, 2)  # what `default_rank` chooses from
SHARE = 0.05  # of the base's parameters that an adapter may have
_HEAD_SHARE = 0.02  # of the model's parameters up to which a head is trained whole
_RANK = 8  # at which LoRA must be smaller than the layer


def lora_layers(model: nn.Module, *, r: int, alpha: float | None = None) -> dict[str, Any]:
    """Return the arguments of `peft.LoraConfig` that adapt every layer of a model exactly.

    Args:
        model: any model of this folder.
        r: rank, of a small layer at most half its smaller side.
        alpha: updates are scaled by alpha / r; None is 2 r.
    """
    least = {
        depthwise: _count(model, _layers(model, r=RANKS[-1], alpha=None, depthwise=depthwise), r=RANKS[-1])
        - _kmer_size(model)
        for depthwise in (False, True)
    }
    frozen = least[False] < SHARE * _network_size(model) <= least[True]
    return _layers(model, r=r, alpha=alpha, depthwise=not frozen)


def _layers(model: nn.Module, *, r: int, alpha: float | None, depthwise: bool) -> dict[str, Any]:
    """Return what `lora_layers` returns, with the depthwise convolutions trained or frozen."""
    heads = head_modules(model)
    head_size = sum(_size(model.get_submodule(name)) for name in heads) - _kmer_size(model)
    factored_head = head_size > _HEAD_SHARE * _network_size(model)
    targets, parameters, whole, ranks = [], [], [], {}
    for name, module in model.named_modules():
        if name in heads and not (factored_head and type(module) is nn.Linear):
            whole.append(name)
        elif any(name.startswith(f"{head}.") for head in heads):
            continue
        elif isinstance(module, nn.LSTM):
            parameters += [f"{name}.{key}" for key, weight in module.named_parameters() if weight.dim() == 2]
        elif isinstance(module, HeadLinear):
            _, rows, columns = module.weight.shape  # (block, out, in)
            if _rank_that_pays(rows, columns):
                parameters.append(f"{name}.weight")
            else:
                whole.append(name)
        elif isinstance(module, nn.Conv1d) and module.groups > 1:
            whole += [name] if depthwise else []
        elif type(module) is nn.Linear or _is_exact_convolution(module):
            weight: Any = module.weight
            rank = _rank_that_pays(len(weight), weight[0].numel())
            (targets if rank else whole).append(name)
            if 0 < rank < r and rank < _RANK:
                ranks[name] = rank
    alpha = 2 * r if alpha is None else alpha
    return {
        "r": r,
        "lora_alpha": alpha,
        "target_modules": targets,
        "target_parameters": parameters or None,
        "modules_to_save": whole,
        "rank_pattern": ranks,
        "alpha_pattern": {name: alpha * rank / r for name, rank in ranks.items()},
    }


def adapter_size(model: nn.Module, *, r: int) -> int:
    """Count the numbers of an adapter of rank `r`, made of `lora_layers`."""
    return _count(model, lora_layers(model, r=r), r=r)


def _count(model: nn.Module, layers: dict[str, Any], *, r: int) -> int:
    total = sum(_size(model.get_submodule(name)) for name in layers["modules_to_save"])
    for name in layers["target_modules"]:
        weight: Any = model.get_submodule(name).weight
        total += layers["rank_pattern"].get(name, r) * (len(weight) + weight[0].numel())
    for name in layers["target_parameters"] or ():
        *blocks, rows, columns = model.get_parameter(name).shape
        total += r * (rows + columns) * (blocks[0] if blocks else 1)
    return total


def default_rank(model: nn.Module) -> int:
    """Return the largest of `RANKS` whose adapter is below `SHARE` of the model, or the least of them.

    A k-mer part, which an adapter holds whole, counts in neither.
    """
    limit = SHARE * _network_size(model)
    fitting = [r for r in RANKS if adapter_size(model, r=r) - _kmer_size(model) < limit]
    return fitting[0] if fitting else RANKS[-1]


def head_modules(model: nn.Module) -> list[str]:
    """Return the names of the layers that make the outputs, which mode "head" trains."""
    return [name for name in ("head", "classifier", "kmer_part", "mappability_head") if hasattr(model, name)]


def _rank_that_pays(rows: int, columns: int) -> int:
    """Return the rank, at most `_RANK`, at which two factors are smaller than the (rows, columns) weight; or 0."""
    rank = min(_RANK, min(rows, columns) // 2)
    return rank if rank * (rows + columns) < rows * columns else 0


def _is_exact_convolution(module: nn.Module) -> bool:
    """Tell whether LoRA is exact of a convolution without groups."""
    return (
        type(module) in (nn.Conv1d, DilatedConv1d)
        and (type(module) is DilatedConv1d or module.dilation == (1,))
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _kmer_size(model: nn.Module) -> int:
    return _size(model.get_submodule("kmer_part")) if hasattr(model, "kmer_part") else 0


def _network_size(model: nn.Module) -> int:
    return _size(model) - _kmer_size(model)
