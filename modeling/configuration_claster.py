"""Configuration of CLASTER: a chromatin landscape, with or without a contact map, to binned nascent transcription."""

import difflib
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .bounds import check_outputs, check_sizes
from .claster_plan import ConvLayer, plan_layers, sizes
from .new_outputs import with_outputs

_CONTACTS = {"layers": [1, 2], "base_channels": 16, "shape": [129, 626]}
_SQUARE = {"form": "square", "layers": [1, 2], "base_channels": 4, "kernel_size": 5}
# The models of the source with the numbers of parameters that its framework gives them, and one for small data.
CLASTER_PRESETS: dict[str, dict[str, Any]] = {
    "claster": {"structure": {"form": "rotated", **_CONTACTS}},  # 3,180,446
    "claster-landscape": {},  # 2,205,888
    "claster-attention": {"landscape": {"attention": "channels"}},  # 2,229,758
    "claster-square": {"structure": {**_SQUARE, "shape": [626, 626]}},  # 8,201,478
    "claster-capture": {"structure": {**_SQUARE, "shape": [201, 201]}},  # 2,929,947
    "claster-20kb": {"num_input_bins": 201, "num_bins": 19, "landscape": {"layers": [1, 1]}, "fusion_blocks": 1},
    "claster-tiny-contacts": {
        "landscape": {"layers": [1, 1], "base_channels": 8, "features": 32},
        "structure": {"form": "rotated", "layers": [1], "base_channels": 8, "kernel_size": 5, "features": 32}
        | {"shape": [129, 626]},
        "fusion_size": 32,
        "fusion_blocks": 1,
    },
    "claster-tiny": {
        "landscape": {"layers": [1, 1], "base_channels": 8, "features": 32},
        "fusion_size": 32,
        "fusion_blocks": 1,
    },
}
_SIZES = [
    "num_input_bins",
    "input_bin_size",
    "num_bins",
    "bin_size",
    "fusion_size",
    "fusion_blocks",
    "fusion_dropout",
    "fusion_stochastic_depth",
    "smooth_l1_beta",
]


@strict
@dataclass
class ClasterBranchConfig:
    """One branch: residual convolutions over a landscape or a contact map, then a vector of features.

    Args:
        form: "landscape" and "rotated" read all rows at every position; "square" slides over rows as well.
        shape: rows and positions; the landscape's are those of the model's input.
        layers: residual blocks of each group; a group has twice the channels of the one before.
        base_channels: of the first group.
        first_expansion: channels of the first convolution over `base_channels`.
        kernel_size: positions a convolution sees.
        stride: positions it steps.
        dilation: of block i's second convolution, to the power of i.
        features: of the vector.
        dropout: of whole channels, between a block's two convolutions.
        stochastic_depth: chance that a block is skipped, for a whole batch.
        attention: "none"; "channels", which is what the source has: each channel is a token, its positions the
            embedding; or "positions": each position is a token, its channels the embedding.
        attention_layers: transformer layers after the last block.
        attention_heads: one head where they do not divide the embedding, as in the source.
        plan: the convolutions, made by `plan_layers` where it is not given.
    """

    form: Literal["landscape", "rotated", "square"] = "landscape"
    shape: list[int] = field(default_factory=list)
    layers: list[int] = field(default_factory=lambda: [4, 4])
    base_channels: int = 32
    first_expansion: int = 2
    kernel_size: int = 10
    stride: int = 2
    dilation: int = 2
    features: int = 512
    dropout: float | int = 0.3
    stochastic_depth: float | int = 0.1
    attention: Literal["none", "channels", "positions"] = "none"
    attention_layers: int = 2
    attention_heads: int = 4
    plan: list[dict[str, Any]] | None = None

    @property
    def sizes(self) -> list[int]:
        """Positions that each block leaves."""
        return sizes(self.plan or [], self.shape[1])


def _parse_branch(value: dict[str, Any], name: str, **given: Any) -> dict[str, Any]:
    """Return a branch's every field as plain values, checked, with its plan."""
    known = [part.name for part in fields(ClasterBranchConfig)]
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise ValueError(
                f"`{name}` has no key {key!r}" + (f"; did you mean {near[0]!r}?" if near else f": {known}")
            )
    branch = ClasterBranchConfig(**{**value, **given})
    numbers = asdict(branch)
    plan = numbers.pop("plan")
    zero = ("layers", "attention_layers", "padding", "inner_kernel_size")
    shares = ("dropout", "stochastic_depth")
    for part in [numbers, *(plan or [])]:
        check_sizes(part, f"{name}.", may_be_zero=zero, shares=shares)
    if len(branch.shape) != 2 or min(branch.shape) < 1:
        raise ValueError(f"`{name}.shape` must hold rows and positions, got {branch.shape}")
    if branch.form == "square" and branch.shape[0] != branch.shape[1]:
        raise ValueError(f"`{name}.shape` of a square contact map must hold one number twice, got {branch.shape}")
    if branch.plan is None:
        plan = plan_layers(
            branch.shape[1],
            layers=branch.layers,
            base_channels=branch.base_channels,
            first_expansion=branch.first_expansion,
            kernel_size=branch.kernel_size,
            stride=branch.stride,
            dilation=branch.dilation,
        )
        branch.plan = [asdict(layer) for layer in plan]
    layers = [ConvLayer(**layer) for layer in branch.plan]
    if len(layers) != 1 + sum(branch.layers):
        raise ValueError(f"`{name}.plan` must hold {1 + sum(branch.layers)} blocks, got {len(layers)}")
    if even := [layer.inner_kernel_size for layer in layers[1:] if layer.inner_kernel_size % 2 == 0]:
        raise ValueError(f"`{name}.plan` must have odd inner kernel sizes, got {even[0]}")
    if min(branch.sizes) < 1:
        raise ValueError(f"`{name}.plan` leaves nothing of {branch.shape[1]} positions; give fewer blocks")
    return asdict(branch)


@strict
class ClasterConfig(PreTrainedConfig):
    """Configuration of CLASTER.

    Args:
        input_tracks: names of the landscape's rows, in their order.
        num_input_bins: bins of the landscape, whose central one holds the transcription start site.
        input_bin_size: bp of those.
        num_tracks: tracks predicted.
        track_names: one name a track.
        num_bins: bins predicted, whose central one lies on the start site.
        bin_size: bp of those.
        target_grid: how target bins lie on the start site: "centred", or "source": bin 0 begins 10 bp left of it.
        genome: assembly name of the training data, for the record.
        landscape: `ClasterBranchConfig` as a dictionary.
        structure: likewise for a contact map; None has no such branch.
        fusion_size: features after each fusion block.
        fusion_blocks: residual blocks on the features of all branches.
        fusion_dropout: inside them.
        fusion_stochastic_depth: chance that one is skipped, for a whole batch.
        smooth_l1_beta: where the loss turns from square to linear, in standard deviations of the target.
        clip_predictions: `predictions` are at least 0.

    Raises:
        ValueError: an unknown key of a branch, or a branch that nothing is left of.
        StrictDataclassError: a field of another type, or fields that do not fit each other.
    """

    model_type = "chromhub-claster"
    keys_to_ignore_at_inference = [  # noqa: RUF012 - a Trainer would keep them all
        "unclipped_predictions",
        "landscape_features",
        "structure_features",
        "fused",
    ]
    target_transform = "none"  # `predictions` are in raw units
    crop_bins = 0  # every bin predicted is scored

    input_tracks: list[str] | tuple[str, ...] = ("ATAC-seq", "H3K4me3", "H3K27ac", "H3K27me3")
    num_input_bins: int = 10001
    input_bin_size: int = 100
    num_tracks: int = 1
    track_names: list[str] | tuple[str, ...] | None = None
    num_bins: int = 401
    bin_size: int = 1000
    target_grid: str = "centred"
    genome: str = ""
    landscape: dict[str, Any] | None = None
    structure: dict[str, Any] | None = None
    fusion_size: int = 256
    fusion_blocks: int = 2
    fusion_dropout: float | int = 0.4
    fusion_stochastic_depth: float | int = 0.5
    smooth_l1_beta: float | int = 1.0
    clip_predictions: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill and check the branches."""
        check_outputs("num_tracks", self.num_tracks)
        if not isinstance(self.input_tracks, (list, tuple)) or not self.input_tracks:
            raise ValueError(f"`input_tracks` must be one or more names, got {self.input_tracks!r:.80}")
        if self.track_names is None:
            self.track_names = [f"track_{i}" for i in range(self.num_tracks)]
        shape = [len(self.input_tracks), self.num_input_bins]
        landscape = self.landscape or {}
        if landscape.get("shape", shape) != shape:  # a plan is of one shape
            landscape = {key: value for key, value in landscape.items() if key != "plan"}
        self.landscape = _parse_branch(landscape, "landscape", shape=shape, form="landscape")
        if self.structure is not None:
            self.structure = _parse_branch(self.structure, "structure")
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make a configuration of stored fields, for other outputs where `kwargs` ask for them."""
        return super().from_dict(with_outputs(config_dict, kwargs), **kwargs)

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "ClasterConfig":
        """Return the configuration of a published model, or of the small one.

        Args:
            name: of `CLASTER_PRESETS`.
            **overrides: fields of `ClasterConfig`; those of a branch are laid over the preset's key by key.

        Raises:
            ValueError: no such preset.
        """
        if name not in CLASTER_PRESETS:
            raise ValueError(f"preset must be one of {sorted(CLASTER_PRESETS)}, got {name!r}")
        chosen = {**CLASTER_PRESETS[name], **overrides}
        for branch in ("landscape", "structure"):
            before, wish = CLASTER_PRESETS[name].get(branch), overrides.get(branch)
            if before is not None and wish is not None:
                chosen[branch] = {**before, **wish}
        return cls(**chosen)

    @property
    def input_length(self) -> int:
        """Bp of the landscape."""
        return self.num_input_bins * self.input_bin_size

    @property
    def target_length(self) -> int:
        """Bp predicted."""
        return self.num_bins * self.bin_size

    @property
    def branches(self) -> list[ClasterBranchConfig]:
        """The landscape's branch and, where there is one, the contact map's."""
        return [ClasterBranchConfig(**branch) for branch in (self.landscape, self.structure) if branch is not None]

    def validate_architecture(self) -> None:
        """Check sizes, and the rules that types cannot."""
        sizes_of = {name: getattr(self, name) for name in _SIZES}
        check_sizes(sizes_of, may_be_zero=("fusion_blocks",), shares=("fusion_dropout", "fusion_stochastic_depth"))
        if len(self.track_names or ()) != self.num_tracks:
            raise ValueError(f"`track_names` must hold {self.num_tracks} names, got {list(self.track_names or ())}")
        if self.target_grid not in ("centred", "source"):
            raise ValueError(f"`target_grid` must be centred or source, got {self.target_grid!r}")
        if self.num_input_bins % 2 == 0 or self.num_bins % 2 == 0:
            raise ValueError(
                "`num_input_bins` and `num_bins` must be odd, since the central bin holds the start site, "
                f"got {self.num_input_bins} and {self.num_bins}"
            )
        if self.structure is not None and self.structure["form"] == "landscape":
            raise ValueError("`structure.form` must be rotated or square, got 'landscape'")
