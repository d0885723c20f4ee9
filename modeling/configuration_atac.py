"""Configuration of the sequence -> ATAC-seq models: a stem, a core, and the grid they predict on.

Grover et al. 2026 (Genome Research 36:619, doi 10.1101/gr.281042.125) cross early feature extraction (the stem)
with architecture (the core). `AtacConfig` is that cross: `stem` and `core` are small dictionaries with a `type`,
filled and checked by the dataclasses below, so that config.json stays plain JSON.
"""

import difflib
import math
from dataclasses import asdict, fields
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .architecture_parts import (
    CORES,
    STEMS,
    CnnCoreConfig,
    CoreConfig,
    DilatedCoreConfig,
    KmerConfig,
    LstmCoreConfig,
    StemConfig,
)
from .bounds import MAX_SIZE, check_outputs, check_sizes, check_weight
from .new_outputs import with_outputs
from .presets import PRESETS

_MAY_BE_ZERO = ("pool_left_padding", "num_blocks", "num_layers", "tower_blocks", "slstm_at")
_SHARES = ("dropout", "dropouts", "pool_dropout", "output_dropout", "dense_dropout", "feature_dropout")


def _parse(value: dict[str, Any], kinds: dict[str, Any], name: str) -> Any:
    """Return the dataclass that `value["type"]` names, filled from `value`."""
    kind = kinds.get(value.get("type", ""))
    if kind is None:
        raise ValueError(f"`{name}.type` must be one of {sorted(kinds)}, got {value.get('type')!r}")
    return _filled(kind, value, f"`{name}` of type {value['type']!r}")


def _filled(kind: Any, value: dict[str, Any], name: str) -> Any:
    """Return the dataclass `kind`, filled from `value`."""
    known = [field.name for field in fields(kind)]
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {known}"
            raise ValueError(f"{name} has no key {key!r}{hint}")
    return kind(**value)


@strict
class AtacConfig(PreTrainedConfig):
    """Configuration of a model from DNA to binned ATAC-seq signal.

    Args:
        input_length: bp of DNA the model is trained on; a multiple of `bin_size`.
        target_length: central bp that are scored and stitched into tracks; the rest of the window is context.
        bin_size: bp per output bin.
        num_tracks: tracks predicted.
        track_names: one name a track.
        target_summary: how the bases of a bin become one value: "max" (Grover et al.), "mean" or "sum".
        target_transform: scale of training and of `predictions`: "log1p" (natural) or "none".
        loss: what a track model is trained by. "poisson" (Grover et al.): Poisson likelihood in the scale of training;
            "poisson_raw": of the raw signal, whatever that scale; "profile_count": `losses.profile_count_loss`. What
            `predictions` mean does not depend on it.
        count_weight: of the total in loss "profile_count".
        genome: assembly name of the training data, for the record.
        stem: `ConvStemConfig` or `ConvNextStemConfig` as a dictionary with its `type`.
        core: `CnnCoreConfig`, `LstmCoreConfig`, `DilatedCoreConfig`, `TransformerCoreConfig` or `XlstmCoreConfig`,
            likewise.
        mappability_weight: weight of the optional second task, the mappability of the input's bases; 0 leaves the
            head out. The paper's code has it with weight 1.
        class_weights: of a classifier: factors on the loss by class, see `classification_loss`; None is 1.
        kmers: of a classifier: `KmerConfig` as a dictionary, a linear part of k-mer counts beside the network; None
            leaves it out.
        label_rule: of a classifier: how its labels were made from signal, for the record and for evaluation.

    Raises:
        ValueError: an unknown `type` or key of `stem`, `core` or `kmers`.
        StrictDataclassError: a field of another type, or fields that do not fit each other.
    """

    model_type = "chromhub-atac"
    # what a Trainer need not gather over an evaluation
    keys_to_ignore_at_inference = ["last_hidden_state", "pooler_output", "mappability"]  # noqa: RUF012

    input_length: int = 2048
    target_length: int = 1024
    bin_size: int = 4
    num_tracks: int = 1
    track_names: list[str] | tuple[str, ...] | None = None
    target_summary: str = "max"
    target_transform: str = "log1p"
    loss: Literal["poisson", "poisson_raw", "profile_count"] = "poisson"
    count_weight: float | int = 1.0
    genome: str = ""
    stem: dict[str, Any] | None = None
    core: dict[str, Any] | None = None
    mappability_weight: float | int = 0.0
    class_weights: list[float | int] | tuple[float | int, ...] | None = None
    label_rule: dict[str, Any] | None = None
    kmers: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill the defaults that depend on other fields."""
        check_outputs("num_tracks", self.num_tracks)
        if self.track_names is None:
            self.track_names = [f"track_{i}" for i in range(self.num_tracks)]
        self.stem = asdict(_parse(self.stem or {"type": "convnext"}, STEMS, "stem"))
        self.core = asdict(_parse(self.core or {"type": "dilated"}, CORES, "core"))
        if self.kmers is not None:
            self.kmers = asdict(_filled(KmerConfig, self.kmers, "`kmers`"))
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make a configuration of stored fields, for other outputs where `kwargs` ask for them."""
        return super().from_dict(with_outputs(config_dict, kwargs), **kwargs)

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "AtacConfig":
        """Return the configuration of a published architecture, or of a smaller one of the same code.

        Args:
            name: one of `PRESETS`: the eight published models, "conv-transformer" and "conv-xlstm", each alone or
                with "-small" or "-tiny"; "cnn-paper" and "lstm-paper".
            **overrides: fields of `AtacConfig`; `stem` and `core` dictionaries update the preset's.

        Raises:
            ValueError: no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {sorted(PRESETS)}, got {name!r}")
        parts = {part: {**PRESETS[name][part], **overrides.pop(part, {})} for part in ("stem", "core")}
        return cls(**parts, **overrides)

    @property
    def stem_config(self) -> StemConfig:
        """The stem as a typed dataclass."""
        return _parse(self.stem or {}, STEMS, "stem")

    @property
    def core_config(self) -> CoreConfig:
        """The core as a typed dataclass."""
        return _parse(self.core or {}, CORES, "core")

    @property
    def kmer_config(self) -> KmerConfig | None:
        """The part of k-mer counts as a typed dataclass, or None."""
        return None if self.kmers is None else _filled(KmerConfig, self.kmers, "`kmers`")

    @property
    def num_bins(self) -> int:
        """Bins predicted for a window of `input_length`."""
        return self.input_length // self.bin_size

    @property
    def crop_bins(self) -> int:
        """Bins of context on each side of the target."""
        return (self.input_length - self.target_length) // 2 // self.bin_size

    def validate_architecture(self) -> None:
        """Check sizes, and the rules that join several fields."""
        check_sizes({"input_length": self.input_length, "bin_size": self.bin_size})
        for name in ("count_weight", "mappability_weight", "class_weights"):
            value = getattr(self, name)
            for weight in value if isinstance(value, (list, tuple)) else [value or 0]:
                check_weight(name, weight)
        check_sizes(asdict(self.stem_config), "stem.")
        check_sizes(asdict(self.core_config), "core.", may_be_zero=_MAY_BE_ZERO, shares=_SHARES)
        if self.input_length % self.bin_size:
            raise ValueError(
                f"`input_length` must be a multiple of `bin_size` {self.bin_size}, got {self.input_length}"
            )
        context = self.input_length - self.target_length
        if (
            self.target_length <= 0
            or context < 0
            or context % (2 * self.bin_size)
            or self.target_length % self.bin_size
        ):
            raise ValueError(
                f"`target_length` must lie in the middle of `input_length` {self.input_length} on whole bins of "
                f"{self.bin_size} bp, got {self.target_length}"
            )
        if len(self.track_names or ()) != self.num_tracks:
            raise ValueError(f"`track_names` must hold {self.num_tracks} names, got {self.track_names}")
        if self.target_summary not in ("max", "mean", "sum"):
            raise ValueError(f"`target_summary` must be max, mean or sum, got {self.target_summary!r}")
        if self.target_transform not in ("log1p", "none"):
            raise ValueError(f"`target_transform` must be log1p or none, got {self.target_transform!r}")
        self._validate_core()
        if (kmers := self.kmer_config) is not None:
            if not 1 <= kmers.k <= 8:
                raise ValueError(f"`kmers.k` must be 1 to 8, got {kmers.k}")
            if not kmers.widths or min(kmers.widths) < kmers.k:
                raise ValueError(f"`kmers.widths` must be one or more of at least {kmers.k} bp, got {kmers.widths}")

    def _validate_core(self) -> None:
        """Check the core against the stem and the grid."""
        stem, core = self.stem_config, self.core_config
        if isinstance(core, DilatedCoreConfig):
            if core.kernel_size % 2 == 0:
                raise ValueError(f"`core.kernel_size` must be odd in a dilated core, got {core.kernel_size}")
            if not 1 <= core.dilation_growth ** max(0, core.num_blocks - 1) <= MAX_SIZE:
                raise ValueError(
                    f"`core.dilation_growth` must keep dilations at 1 to {MAX_SIZE:,} positions, got "
                    f"{core.dilation_growth} in {core.num_blocks} blocks"
                )
        if isinstance(core, CnnCoreConfig):
            if not len(core.channels) + 1 == len(core.pool_sizes) == len(core.dropouts):
                raise ValueError(
                    "`core.pool_sizes` and `core.dropouts` must be one longer than `core.channels`, got "
                    f"{len(core.pool_sizes)}, {len(core.dropouts)} and {len(core.channels)}"
                )
            if core.output == "window":
                return
            if math.prod(core.pool_sizes) % self.bin_size:
                raise ValueError(
                    f"`core.pool_sizes` must multiply to a multiple of `bin_size` {self.bin_size}, "
                    f"got {list(core.pool_sizes)}"
                )
        elif isinstance(core, LstmCoreConfig) and core.output == "last":
            return
        elif self.bin_size % core.pool_size:
            raise ValueError(f"`core.pool_size` must divide `bin_size` {self.bin_size}, got {core.pool_size}")
        if "valid" in (getattr(stem, "padding", "same"), getattr(core, "padding", "same")):
            raise ValueError("`padding` must be 'same' where every bin is predicted from its own position")
        if self.input_length % self.length_multiple:
            raise ValueError(
                f"`input_length` must be a multiple of {self.length_multiple} with this core, got {self.input_length}"
            )
        heads = getattr(core, "num_heads", 1)
        if stem.channels % heads:
            raise ValueError(f"`core.num_heads` must divide `stem.channels` {stem.channels}, got {heads}")

    @property
    def fixed_length(self) -> bool:
        """Whether the model reads windows of `input_length` only."""
        return getattr(self.core_config, "output", "position") != "position"

    @property
    def length_multiple(self) -> int:
        """Bp that the length of an input must be a multiple of."""
        core = self.core_config
        return (
            self.bin_size
            if not isinstance(core, CnnCoreConfig)
            else math.lcm(self.bin_size, math.prod(core.pool_sizes))
        )
