"""A model that refuses to be loaded in part: what a file lacks would be drawn at random, with a warning at most."""

import warnings
from typing import Any

from transformers import PreTrainedModel

_COMMIT = 40  # hex digits of its name


class WholeWeights(PreTrainedModel):
    """Raise where a checkpoint is of another class, or lacks tensors of the model.

    To start from a part of it on purpose, as for another number of tracks, pass `ignore_mismatched_sizes=True`.
    """

    _loaded_commit: str | None = None  # on the Hub
    _takes_weights_of: tuple[str, ...] = ()  # other classes whose checkpoints hold all that this one needs

    @staticmethod
    def _finalize_model_loading(model: Any, load_config: Any, loading_info: Any) -> Any:
        """Check what transformers' `from_pretrained` found, which it calls this for when the weights are in place."""
        found = PreTrainedModel._finalize_model_loading(model, load_config, loading_info)
        revision = (getattr(load_config, "download_kwargs", None) or {}).get("revision")
        model._loaded_commit = getattr(revision, "resolved", None)
        if isinstance(model, WholeWeights) and not getattr(load_config, "ignore_mismatched_sizes", False):
            model._check_whole(set(found.missing_keys), str(load_config.pretrained_model_name_or_path))
        return found

    def load_adapter(self, peft_model_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Load an adapter, as transformers does, and refuse one that lacks tensors.

        AutoModel does not look at the base's commit that adapter_config.json names; where this model is of another
        commit, that is warned of.

        Raises:
            ValueError: the adapter's file lacks some.
        """
        others = set(getattr(self, "peft_config", ()))  # whose tensors no file of this adapter has
        found = super().load_adapter(peft_model_id, *args, **kwargs)
        revisions = (getattr(config, "revision", None) or "" for config in self.peft_config.values())
        made_for = {revision for revision in revisions if len(revision) == _COMMIT}  # a branch moves by its nature
        if self._loaded_commit and made_for and self._loaded_commit not in made_for:
            commit = sorted(made_for)[0]
            warnings.warn(
                f"the adapter {peft_model_id} was made for commit {commit} of its base, got {self._loaded_commit}: its "
                f'predictions are others; pass revision="{commit}" and the adapter\'s own as '
                'adapter_kwargs={"revision": ...}, or use chromhub.load',
                stacklevel=2,
            )
        names: list[str] = sorted(getattr(found, "missing_keys", ()))
        missing = [name for name in names if others.isdisjoint(name.split("."))]
        if missing:
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
