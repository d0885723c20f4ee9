"""What trains in each mode: every weight, an adapter and the head, or the head alone."""

from pathlib import Path

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import PreTrainedModel

from ..inference.model_folder import fetch
from ..inference.names import resolve
from ..modeling import default_rank, head_modules, lora_layers
from .recipe import LoraRecipe


def attach(
    model: PreTrainedModel, mode: str, *, lora: LoraRecipe, batch_norm: str = "frozen"
) -> PreTrainedModel | PeftModel:
    """Return `model` with the weights of `mode` trainable and all others frozen.

    Args:
        model: the base, changed in place: frozen, and in mode "lora" its layers wrapped.
        mode: "scratch", "full", "two-stage", "lora" or "head".
        lora: rank, alpha and dropout of mode "lora".
        batch_norm: as in `Recipe`. Unless it is "frozen", an adapter holds the normalisation layers with their
            statistics, which would otherwise be lost with the run.

    Returns:
        The model to train. At first it predicts what `model` did: an adapter starts as nothing.

    Raises:
        ValueError: dropout in an adapter of parameters.
    """
    if mode == "head":
        model.requires_grad_(False)
        for name in head_modules(model):
            model.get_submodule(name).requires_grad_(True)
    if mode != "lora":
        return model
    layers = lora_layers(model, r=lora.r or default_rank(model), alpha=lora.alpha)
    if lora.dropout and layers["target_parameters"]:
        raise ValueError(
            f"`lora.dropout` must be 0 where an adapter changes weights themselves ({layers['target_parameters'][0]}), "
            f"got {lora.dropout}"
        )
    if batch_norm != "frozen":
        layers["modules_to_save"] += [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
    adapted = get_peft_model(model, config := LoraConfig(lora_dropout=lora.dropout, **layers))
    # Until the adapter is final its base's name is nobody's business: with one, each checkpoint asks the Hub about it.
    config.base_model_name_or_path = None
    return adapted


def save_adapter(model: PeftModel, folder: str | Path, *, base: str) -> None:
    """Write adapter_config.json and adapter_model.safetensors.

    Args:
        model: what `attach` returned for mode "lora".
        folder: where to.
        base: the base by any of its names; one on this machine is written as an absolute path, so that the adapter
            loads from any working directory.
    """
    config = model.active_peft_config
    here = resolve(base).folder
    config.base_model_name_or_path = base if here is None else str(here.resolve())
    config.revision = None if here is not None else _cached_commit(base)
    model.save_pretrained(str(folder), save_embedding_layers=False)
    config.base_model_name_or_path = None
    (Path(folder) / "README.md").unlink(missing_ok=True)  # PEFT's template; our card is rendered from the run


def _cached_commit(base: str) -> str | None:
    """Return the commit of a base on the Hub that was just trained on; None where the cache does not have it."""
    try:
        return fetch(base, ask_hub=False).name
    except OSError:
        return None


def freeze_statistics(model: nn.Module) -> None:
    """Put batch normalisation in evaluation mode, so that training leaves its running statistics alone.

    Statistics that move under a frozen trunk would make its features others than the base's.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
