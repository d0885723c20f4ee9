"""Which layers of a model an adapter may touch.

PEFT's LoRA is exact (merged equals unmerged) on Linear layers and on plain convolutions. On a dilated or grouped
convolution it fails or merges to something else, so those stay frozen here.
"""

from torch import nn


def lora_targets(model: nn.Module) -> list[str]:
    """Return the names of the layers that LoRA adapts exactly, the head left out.

    Args:
        model: any model of this folder.
    """
    return [
        name
        for name, module in model.named_modules()
        if name not in head_modules(model) and (type(module) is nn.Linear or _is_plain_convolution(module))
    ]


def head_modules(model: nn.Module) -> list[str]:
    """Return the names of the layers that are trained whole beside an adapter."""
    return [name for name in ("head", "classifier", "mappability_head") if hasattr(model, name)]


def _is_plain_convolution(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv1d
        and module.dilation == (1,)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )
