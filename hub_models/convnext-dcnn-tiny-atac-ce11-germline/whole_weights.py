"""A model that refuses to be loaded in part: what a file lacks would be drawn at random, with a warning at most."""

from typing import Any

from transformers import PreTrainedModel


class WholeWeights(PreTrainedModel):
    """Raise where a checkpoint is of another class, or lacks tensors of the model.

    To start from a part of it on purpose, as for another number of tracks, pass `ignore_mismatched_sizes=True`.
    """

    _takes_weights_of: tuple[str, ...] = ()  # other classes whose checkpoints hold all that this one needs

    @staticmethod
    def _finalize_model_loading(model: Any, load_config: Any, loading_info: Any) -> Any:
        """Check what transformers' `from_pretrained` found, which it calls this for when the weights are in place."""
        found = PreTrainedModel._finalize_model_loading(model, load_config, loading_info)
        if isinstance(model, WholeWeights) and not getattr(load_config, "ignore_mismatched_sizes", False):
            model._check_whole(set(found.missing_keys), str(load_config.pretrained_model_name_or_path))
        return found

    def load_adapter(self, peft_model_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Load an adapter, as transformers does, and refuse one that lacks tensors.

        Raises:
            ValueError: the adapter's file lacks some.
        """
        found = super().load_adapter(peft_model_id, *args, **kwargs)
        if missing := sorted(getattr(found, "missing_keys", ())):
            raise ValueError(
                f"the adapter {peft_model_id} lacks {len(missing)} of its tensors ({_named(missing)}), so it would do "
                "only a part of what it was trained for; restore its adapter_model.safetensors"
            )
        return found

    def _check_whole(self, missing: set[str], name: str) -> None:
        mine = type(self).__name__
        made_as = list(self.config.architectures or ())
        if made_as and mine not in made_as and not set(made_as) & set(self._takes_weights_of):
            auto = "AutoModelForSequenceClassification" if "Classification" in made_as[0] else "AutoModel"
            raise ValueError(
                f"{name} holds {made_as[0]}, not {mine}, whose head would be drawn at random: use "
                f"{auto}.from_pretrained or chromhub.load; to start a new head on it, pass ignore_mismatched_sizes=True"
            )
        if missing:
            raise ValueError(
                f"the weights in {name} lack {len(missing)} tensors of {mine} ({_named(sorted(missing))}), which "
                "would be drawn at random; restore the file, or pass ignore_mismatched_sizes=True if that is meant"
            )


def _named(names: list[str]) -> str:
    """Name three."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
