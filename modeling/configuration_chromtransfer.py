"""Configuration of ChromTransfer (Salvatore et al. 2023, doi 10.1093/nargab/lqad026)."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .bounds import check_sizes, check_weight
from .new_outputs import with_outputs

# Heads of the source: pre-trained on open chromatin of all cell types, fine-tuned on one cell line as the released
# models were (the source's own `nn_architecture` has batch normalisation there), and its multi-class baseline.
CHROMTRANSFER_PRESETS: dict[str, dict[str, Any]] = {
    "pretraining": {"head_hidden_sizes": [512, 128], "head_batch_norm": True},
    "finetuning": {"head_hidden_sizes": [1024, 32], "head_batch_norm": False},
    "multiclass": {
        "head_hidden_sizes": [512, 128],
        "head_batch_norm": True,
        "id2label": dict(enumerate(["A549", "GM12878", "HCT116", "HEPG2", "K562", "MCF7", "Negative"])),
    },
}
_SIZES = [
    "input_length",
    "stem_filters",
    "stem_kernel",
    "tower1_filters",
    "tower1_kernels",
    "tower1_blocks",
    "tower2_filters",
    "tower2_kernels",
    "tower2_blocks",
    "final_kernel",
    "last_kernel",
    "dropout",
    "bn_eps",
    "bn_momentum",
    "head_hidden_sizes",
]


@strict
class ChromTransferConfig(PreTrainedConfig):
    """Configuration of ChromTransfer: a residual convolutional body, a mean over the sequence, a dense head.

    Args:
        input_length: bp the source reads, for the record; the model takes any length.
        stem_filters: channels of the first convolution.
        stem_kernel: its width in bp.
        tower1_filters: channels of the first tower of residual blocks.
        tower1_kernels: widths in bp of its first block's convolutions, which change the channels, and of the others'.
        tower1_blocks: its blocks after the first; their outputs side by side are the second tower's input.
        tower2_filters: channels of the second tower.
        tower2_kernels: its widths.
        tower2_blocks: its blocks after the first.
        final_kernel: width of the convolution after the towers.
        last_kernel: width of the last convolution, the one without batch normalisation.
        dropout: after every batch normalisation of the body and every hidden layer of the head.
        bn_eps: of every batch normalisation (Keras' default).
        bn_momentum: share of a batch in the moving statistics; Keras counts the other share, .99.
        l2: factor on the sum of squares of every convolution's kernel but the last one's; added to the loss in
            training. Not the same as weight decay under Adam.
        pooling: "mean" over all positions, as the source does; "masked_mean" takes Ns at either end for padding, so
            that a padded sequence scores as it does alone.
        head_hidden_sizes: widths of the head's hidden layers.
        head_batch_norm: the head's hidden layers have batch normalisation.
        class_weights: factors on the loss by class, see `classification_loss`; None is 1.
        genome: assembly name of the training data, for the record.
        label_rule: how the labels were made from signal, for the record and for evaluation.
        num_labels: outputs, 1 by default.

    Raises:
        StrictDataclassError: a field of another type, or a value out of its range.
    """

    model_type = "chromhub-chromtransfer"
    keys_to_ignore_at_inference = ["last_hidden_state", "pooler_output"]  # noqa: RUF012 - a Trainer would keep them all

    input_length: int = 600
    stem_filters: int = 64
    stem_kernel: int = 25
    tower1_filters: int = 32
    tower1_kernels: list[int] | tuple[int, ...] = (20, 15)
    tower1_blocks: int = 3
    tower2_filters: int = 64
    tower2_kernels: list[int] | tuple[int, ...] = (10, 5)
    tower2_blocks: int = 3
    final_kernel: int = 10
    last_kernel: int = 5
    dropout: float | int = 0.1
    bn_eps: float = 1e-3
    bn_momentum: float = 0.01
    l2: float | int = 1e-4
    pooling: str = "mean"
    head_hidden_sizes: list[int] | tuple[int, ...] = (1024, 32)
    head_batch_norm: bool = False
    class_weights: list[float | int] | tuple[float | int, ...] | None = None
    genome: str = ""
    label_rule: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Make one label the default, where transformers has two."""
        if self.id2label is None:
            kwargs.setdefault("num_labels", 1)
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make a configuration of stored fields, for other outputs where `kwargs` ask for them."""
        return super().from_dict(with_outputs(config_dict, kwargs), **kwargs)

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "ChromTransferConfig":
        """Return the configuration of a published model.

        Args:
            name: "pretraining", "finetuning" or "multiclass".
            **overrides: fields of `ChromTransferConfig`.

        Raises:
            ValueError: no such preset.
        """
        if name not in CHROMTRANSFER_PRESETS:
            raise ValueError(f"preset must be one of {sorted(CHROMTRANSFER_PRESETS)}, got {name!r}")
        preset = dict(CHROMTRANSFER_PRESETS[name])
        if "num_labels" in overrides:
            preset.pop("id2label", None)
        return cls(**{**preset, **overrides})

    def to_diff_dict(self) -> dict[str, Any]:
        """Keep the labels in config.json: transformers leaves out two, its own default."""
        return {**super().to_diff_dict(), "id2label": self.id2label, "label2id": self.label2id}

    @property
    def kernels(self) -> list[int]:
        """Widths of the convolutions one after the other on the longest way through the body, in bp."""
        entry1, blocks1 = self.tower1_kernels
        entry2, blocks2 = self.tower2_kernels
        tower1 = [entry1] * 2 + [blocks1] * 2 * self.tower1_blocks
        tower2 = [entry2] * 2 + [blocks2] * 2 * self.tower2_blocks
        return [self.stem_kernel, *tower1, *tower2, self.final_kernel, self.last_kernel]

    @property
    def receptive_field(self) -> int:
        """Input bp that one position before the pooling sees: 202 as published, 98 left of it and 103 right."""
        return 1 + sum(kernel - 1 for kernel in self.kernels)

    def validate_architecture(self) -> None:
        """Check sizes, and the rules that types cannot."""
        sizes = {name: getattr(self, name) for name in _SIZES}
        check_sizes(sizes, may_be_zero=("tower1_blocks", "tower2_blocks"), shares=("dropout",))
        for weight in self.class_weights or ():
            check_weight("class_weights", weight)
        if self.pooling not in ("mean", "masked_mean"):
            raise ValueError(f"`pooling` must be mean or masked_mean, got {self.pooling!r}")
        for name in ("tower1_kernels", "tower2_kernels"):
            if len(getattr(self, name)) != 2:
                raise ValueError(f"`{name}` must hold two widths, got {getattr(self, name)}")
        if self.tower1_blocks < 1:
            raise ValueError(
                f"`tower1_blocks` must be at least 1: the second tower reads them, got {self.tower1_blocks}"
            )
        if self.problem_type == "regression":
            raise ValueError("`problem_type` must be single_label_classification, multi_label_classification or None")
