"""Configuration of the sequence -> ATAC-seq models: a stem, a core, and the grid they predict on.

Grover et al. 2026 (Genome Research 36:619, doi 10.1101/gr.281042.125) cross early feature extraction (the stem)
with architecture (the core). `AtacConfig` is that cross: `stem` and `core` are small dictionaries with a `type`,
filled and checked by the dataclasses below, so that config.json stays plain JSON.
"""

import difflib
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
@dataclass
class ConvStemConfig:
    """GELU on the one-hot, then a convolution and batch normalisation (the stem of the paper's dCNN).

    Args:
        type: always "conv".
        channels: output channels.
        kernel_size: bp, odd.
    """

    type: Literal["conv"] = "conv"
    channels: int = 256
    kernel_size: int = 15


@strict
@dataclass
class ConvNextStemConfig:
    """One ConvNeXt V2 block (arXiv:2301.00808) whose convolution is dense, 4 -> `channels`.

    Args:
        type: always "convnext".
        channels: output channels.
        kernel_size: bp, odd.
        expansion: width of the pointwise layers over `channels`.
    """

    type: Literal["convnext"] = "convnext"
    channels: int = 256
    kernel_size: int = 15
    expansion: int = 4


@strict
@dataclass
class DilatedCoreConfig:
    """Residual dilated convolutions on a pooled grid, after Basenji (the core of the paper's dCNN and ConvNeXtDCNN).

    Args:
        type: always "dilated".
        pool_size: bp per position of the core's grid; divides `bin_size`.
        pool_left_padding: zeros put left of the stem's output before pooling. The reference has 1, which moves its
            whole output grid one base left and drops the last base; 0 aligns the grid.
        num_blocks: residual blocks.
        dilation_growth: block i has dilation round(dilation_growth ** i).
        bottleneck_channels: channels inside a residual block.
        kernel_size: of the dilated convolutions, positions, odd.
        dropout: at the end of every residual block.
        feature_channels: width of the features that the head reads.
        feature_dropout: on those features.
    """

    type: Literal["dilated"] = "dilated"
    pool_size: int = 2
    pool_left_padding: int = 1
    num_blocks: int = 11
    dilation_growth: float | int = 1.5
    bottleneck_channels: int = 128
    kernel_size: int = 3
    dropout: float | int = 0.3
    feature_channels: int = 2048
    feature_dropout: float | int = 0.05

    @property
    def dilations(self) -> list[int]:
        """Dilation of each block in positions; Python rounds halves to even, as the reference's numpy does."""
        return [round(self.dilation_growth**i) for i in range(self.num_blocks)]


StemConfig = ConvStemConfig | ConvNextStemConfig
CoreConfig = DilatedCoreConfig
STEMS = {"conv": ConvStemConfig, "convnext": ConvNextStemConfig}
CORES = {"dilated": DilatedCoreConfig}

# The two published models of this file, then smaller ones of the same code for laptops.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "convnext-dcnn": {"stem": {"type": "convnext"}, "core": {"type": "dilated"}},
    "dcnn": {"stem": {"type": "conv"}, "core": {"type": "dilated"}},
}
_SIZES: dict[str, tuple[int, dict[str, Any]]] = {
    "small": (96, {"bottleneck_channels": 64, "feature_channels": 512, "dropout": 0.1}),
    "tiny": (32, {"bottleneck_channels": 32, "feature_channels": 64, "num_blocks": 8, "dropout": 0.1}),
}
for _name, _parts in list(PRESETS.items()):
    for _size, (_channels, _core) in _SIZES.items():
        PRESETS[f"{_name}-{_size}"] = {
            "stem": {**_parts["stem"], "channels": _channels},
            "core": {**_parts["core"], **_core},
        }


def _parse(value: dict[str, Any], kinds: dict[str, Any], name: str) -> Any:
    """Return the dataclass that `value["type"]` names, filled from `value`."""
    kind = kinds.get(value.get("type", ""))
    if kind is None:
        raise ValueError(f"`{name}.type` must be one of {sorted(kinds)}, got {value.get('type')!r}")
    known = [field.name for field in fields(kind)]
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {known}"
            raise ValueError(f"`{name}` of type {value['type']!r} has no key {key!r}{hint}")
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
        genome: assembly name of the training data, for the record.
        stem: `ConvStemConfig` or `ConvNextStemConfig` as a dictionary with its `type`.
        core: `DilatedCoreConfig` as a dictionary with its `type`.

    Raises:
        ValueError: an unknown `type` or key of `stem` or `core`.
        StrictDataclassError: a field of another type, or fields that do not fit each other.
    """

    model_type = "chromhub-atac"

    input_length: int = 2048
    target_length: int = 1024
    bin_size: int = 4
    num_tracks: int = 1
    track_names: list[str] | tuple[str, ...] | None = None
    target_summary: str = "max"
    target_transform: str = "log1p"
    genome: str = ""
    stem: dict[str, Any] | None = None
    core: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill the defaults that depend on other fields."""
        if self.track_names is None:
            self.track_names = [f"track_{i}" for i in range(self.num_tracks)]
        self.stem = asdict(_parse(self.stem or {"type": "convnext"}, STEMS, "stem"))
        self.core = asdict(_parse(self.core or {"type": "dilated"}, CORES, "core"))
        super().__post_init__(**kwargs)

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "AtacConfig":
        """Return the configuration of a published architecture, or of a smaller one of the same code.

        Args:
            name: "convnext-dcnn" or "dcnn", alone or with "-small" or "-tiny".
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
    def num_bins(self) -> int:
        """Bins predicted for a window of `input_length`."""
        return self.input_length // self.bin_size

    @property
    def crop_bins(self) -> int:
        """Bins of context on each side of the target."""
        return (self.input_length - self.target_length) // 2 // self.bin_size

    def validate_architecture(self) -> None:
        """Check the rules that join several fields."""
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
        if self.stem_config.kernel_size % 2 == 0 or self.core_config.kernel_size % 2 == 0:
            raise ValueError("`kernel_size` of stem and core must be odd, so that a window keeps its length")
        if self.bin_size % self.core_config.pool_size:
            raise ValueError(
                f"`core.pool_size` must divide `bin_size` {self.bin_size}, got {self.core_config.pool_size}"
            )
