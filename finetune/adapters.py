"""What trains in each mode: every weight, an adapter and the head, or the head alone."""

from pathlib import Path

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import PreTrainedModel

from ..modeling import head_modules, lora_targets
from .recipe import LoraRecipe


def attach(model: PreTrainedModel, mode: str, *, lora: LoraRecipe) -> PreTrainedModel | PeftModel:
    """Return `model` with the weights of `mode` trainable and all others frozen.

    Args:
        model: the base, changed in place: frozen, and in mode "lora" its layers wrapped.
        mode: "scratch", "full", "lora" or "head".
        lora: rank, alpha and dropout of mode "lora".

    Returns:
        The model to train. At first it predicts what `model` did: an adapter starts as nothing.
    """
    if mode == "head":
        model.requires_grad_(False)
        for name in head_modules(model):
            model.get_submodule(name).requires_grad_(True)
    if mode != "lora":
        return model
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # pyright: ignore[reportArgumentType] - peft scales by alpha / r, any number
        lora_dropout=lora.dropout,
        target_modules=lora_targets(model),
        modules_to_save=head_modules(model),
    )
    adapted = get_peft_model(model, config)
    # Until the adapter is final its base's name is nobody's business: with one, each checkpoint asks the Hub about it.
    config.base_model_name_or_path = None
    return adapted


def save_adapter(model: PeftModel, folder: str | Path, *, base: str) -> None:
    """Write adapter_config.json and adapter_model.safetensors.

    Args:
        model: what `attach` returned for mode "lora".
        folder: where to.
        base: Hub id or folder of the base; a folder is written as an absolute path, so that the adapter loads from
            any working directory.
    """
    config = model.active_peft_config
    config.base_model_name_or_path = str(Path(base).resolve()) if Path(base).exists() else base
    model.save_pretrained(str(folder), save_embedding_layers=False)
    config.base_model_name_or_path = None
    (Path(folder) / "README.md").unlink(missing_ok=True)  # PEFT's template; our card is rendered from the run


def freeze_statistics(model: nn.Module) -> None:
    """Put batch normalisation in evaluation mode, so that training leaves its running statistics alone.

    An adapter's file holds no buffers: statistics that moved in training would be lost with the run, and the loaded
    adapter would sit on a base it was not trained on. A head alone would drift the same way under a frozen trunk.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
