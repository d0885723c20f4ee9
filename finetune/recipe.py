"""The recipe: every choice of a training run, in one YAML file, checked field by field."""

import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from ..datasets_scripts.landscape import is_landscape
from ..datasets_scripts.plain_files import read_yaml

# What a run trains by where neither recipe nor flags say, by task; a dictionary goes by mode.
# Grover et al. (doi 10.1101/gr.281042.125) train from scratch; the values of other modes are ours.
_GROVER: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": {"scratch": 1e-3, "full": 1e-4, "two-stage": 2e-5, "lora": 1e-3, "head": 1e-3},
    "epochs": {"scratch": 70, "full": 10, "two-stage": 10, "lora": 10, "head": 10},
    "schedule": {"scratch": "paper", "full": "cosine", "two-stage": "cosine", "lora": "cosine", "head": "cosine"},
    "ema": None,
    "substitutions": 0.0,
    "batch_norm": {"scratch": "train", "full": "train", "two-stage": "train", "lora": "frozen", "head": "frozen"},
}
PAPER: dict[str, dict[str, Any]] = {
    "tracks": {**_GROVER, "loss": {"scratch": "poisson"}, "metric": "pearson"},  # in other modes the base's loss
    "classification": {**_GROVER, "max_jitter": 64, "metric": "auroc"},
}
# Where benchmarks/ablation.py finds better than the paper's, it goes into the braces.
DEFAULTS: dict[str, dict[str, Any]] = {
    "tracks": PAPER["tracks"] | {},
    "classification": PAPER["classification"] | {},
    "landscape": {
        **_GROVER,
        "metric": "pearson",
        "max_jitter": 0,
        "warmup": 0.25,
        "weight_decay": 1e-4,
        "betas": (0.9, 0.999),
        "max_grad_norm": 1.0,
        "patience": 10,
    },
}
TASK_METRICS = {"tracks": ("pearson",), "classification": ("auroc", "auprc"), "landscape": ("pearson",)}
# Of CLASTER from scratch, as its source's framework has them; 3.3 epochs are its 2,000 steps.
LANDSCAPE_SCRATCH = {"learning_rate": 1e-4, "epochs": 120, "schedule": "constant", "warmup": 3.3}


def _task_and_mode(values: dict[str, Any]) -> tuple[Any, Any]:
    """Return the task and the mode of a recipe that may say neither."""
    is_landscape_preset = str(values.get("preset", "")).startswith("claster")
    task = values.get("task", "landscape" if is_landscape_preset else "tracks")
    return task, values.get("mode") or ("lora" if values.get("base") else "scratch")


def _of_mode(table: dict[str, Any], mode: str) -> dict[str, Any]:
    """Return the fields of one task's defaults in one mode."""
    return {key: value.get(mode) if isinstance(value, dict) else value for key, value in table.items()}


def _with_defaults(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a recipe with defaults where it says nothing; that there is no EMA can be said."""
    return values | {
        key: default
        for key, default in defaults.items()
        if values.get(key) is None and not (key == "ema" and "ema" in values)
    }


class WindowRecipe(BaseModel):
    """Which windows to train on.

    Args:
        kind: "tile" the training intervals, "peaks" for windows centred on peaks, or "peaks+background".
        stride: bp from one tile to the next.
        max_unmappable: a window with a larger unmappable share is left out.
        negative_ratio: background windows per peak window ("peaks+background").
        max_windows: keep so many, drawn by the recipe's seed; None keeps all.
        fraction: keep this share, drawn by the recipe's seed: a smaller share is a subset of a larger one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["tile", "peaks", "peaks+background"] = "tile"
    stride: int = Field(default=1024, gt=0)
    max_unmappable: float = Field(default=0.35, ge=0, le=1)
    negative_ratio: float = Field(default=1.0, ge=0)
    max_windows: int | None = Field(default=None, gt=0)
    fraction: float = Field(default=1.0, gt=0, le=1)


class HeadStageRecipe(BaseModel):
    """The first stage of mode "two-stage", which trains the head alone by a cosine of its own.

    Args:
        epochs: passes over the windows.
        max_steps: at most so many optimiser steps, whatever `epochs` says.
        learning_rate: peak.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int = Field(default=3, gt=0)
    max_steps: int | None = Field(default=None, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)


class LoraRecipe(BaseModel):
    """The adapter of mode "lora", on every layer of every core; `modeling/lora_targets.py` says how.

    Args:
        r: rank. Default: the largest of 8, 4 and 2 at which the adapter is below 5 % of the base, or 2.
        alpha: the update is scaled by alpha / r. Default: 2 r.
        dropout: on the adapter's input; none on an LSTM's weights, where the adapter has no input.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    r: int | None = Field(default=None, gt=0, le=4096)
    alpha: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class LabelRecipe(BaseModel):
    """When a window is open in a track, for task "classification": see `datasets_scripts.window_labels.LabelRule`.

    Args:
        width: central bp of the window that are looked at.
        threshold: raw units; a bin is covered above it. Of a track that counts cell types, k - 1 asks for k of them.
        min_covered: share of the centre's bins that must be covered.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    width: int = Field(default=200, gt=0)
    threshold: float = Field(default=0.0, ge=0)
    min_covered: float = Field(default=0.5, gt=0, le=1)


class KmerRecipe(BaseModel):
    """The k-mer part of a classifier, fitted when its network is final; `finetune/kmer_fit.py` says how.

    Args:
        k: bases of a k-mer.
        widths: bp in the middle of the window, one region each. Default: 320 and the model's `input_length`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    k: int = Field(default=6, ge=1, le=8)
    widths: tuple[int, ...] | None = Field(default=None, min_length=1)


class Recipe(BaseModel):
    """Every choice of a training run. The written `recipe.yaml` holds all of them and repeats the run.

    Args:
        data: folder of a genome store or of exported windows, relative to the working directory as is `base`; or the
            Hub id of exported windows.
        task: "tracks" predicts the signal of every bin; "classification" whether a window is open, a yes or no a track;
            "landscape" is what a landscape folder is for, and a preset of CLASTER.
        tracks: names of the data's tracks to learn, in this order; None takes all.
        labels: `LabelRecipe`.
        class_weights: of "classification": [weight of 0, of 1] on the loss, or "balanced" by the training labels.
        between_types: of "classification" of several tracks: weight of a second loss, `between_types_loss`, which asks
            in which of the tracks a window is open.
        kmers: of "classification": true, or `KmerRecipe`, adds a linear part of k-mer counts to the network, which
            trains without it. Mode "lora" needs a base that has the part.
        metric: what chooses the best weights and stops the run: "pearson" of tracks, of classification the mean over
            tracks of "auroc" (default) or "auprc" on the validation windows.
        streaming: read the training windows of an export as a stream, without the copy that `load_dataset` makes.
        preset: architecture of a model trained from scratch, e.g. "convnext-dcnn", and of a classifier also
            "chromtransfer-pretraining" or "chromtransfer-finetuning"; or
        base: run folder or Hub id of the model to start from.
        mode: "scratch", or from a base "full" (every weight), "lora" (an adapter), "head", or "two-stage" (the head,
            then every weight at a low rate). Default: "lora" with a base, "scratch" without.
        model: fields of `AtacConfig` (`ChromTransferConfig`) for a model from scratch, e.g.
            {target_transform: none}. With a base they only
            state what the base must have.
        stem_motifs: from scratch, start the filters of a conv stem as known motifs: a MEME file, or "jaspar:GROUP".
        new_head: start the base's head afresh. Needed where the data has another number of tracks.
        windows: `WindowRecipe`.
        max_eval_windows: validate on so many windows, evenly spread; None validates on all.
        loss: of task tracks, stored in the model: "poisson" (the paper: of log1p signal), "poisson_raw" (of the raw
            signal) or "profile_count" (shape and total of a window, as ChromBPNet; the weight of the total is a tenth
            of the training windows' median, or `model.count_weight`). Default: "poisson" from scratch, else the base's.
        max_jitter: training windows move by up to so many bp, anew each epoch; a multiple of the bin size.
            Default: 1024, and 64 for classification, whose labels are those of the centre.
        reverse_complement: show each window reverse-complemented in every second epoch or so, by chance.
        substitutions: share of a training window's bases that are replaced by another, anew each epoch.
        epochs: at most so many passes over the windows, in mode "two-stage" those of the second stage. Default: 70 from
            scratch (the paper), else 10.
        max_steps: at most so many optimiser steps, whatever `epochs` says.
        batch_size: windows per optimiser step, over all processes and accumulated batches.
        accumulate: split each step's batch in so many parts, to save memory.
        eval_batch_size: windows at a time in validation.
        optimizer: "adamw", or "muon": Muon on the matrices of hidden layers, AdamW on the rest, at one learning rate.
            Of modes that train every weight.
        learning_rate: peak. Default: 1e-3 (the paper's), and 1e-4 for mode "full", whose every weight is already good;
            2e-5 for the second stage of "two-stage" (ChromTransfer: 5e-6 in up to 100 epochs).
        head_stage: `HeadStageRecipe`.
        layer_decay: each layer's learning rate over that of the layer above it; the head has the whole.
        schedule: "paper" (warm restart each epoch), "cosine" (one decay over the run) or "constant" after the warm-up.
            Default: "paper" from scratch ("constant" of a landscape), else "cosine", which a short run needs to end
            at a low rate.
        warmup: linear warm-up in epochs, below 1 but with "constant".
        restart_decay: peak of each restart over the one before ("paper").
        weight_decay: AdamW's, on weights of linear, convolution and LSTM layers and on GRN.
        betas: AdamW's.
        max_grad_norm: clip the gradient's norm; 0 does not clip (the paper).
        patience: stop after so many evaluations without a better `metric`.
        eval_steps: steps between evaluations. Default: once an epoch.
        save_steps: further checkpoints every so many steps; each evaluation makes one anyway.
        lora: `LoraRecipe`.
        batch_norm: "train" normalises by the batch and moves the running statistics, "frozen" uses the base's,
            "re-estimated" trains as "train" and at the end measures the statistics anew on training windows.
            Default: "frozen" for "lora" and "head", whose trunk stays as it is, else "train".
        ema: decay a step of an average of the weights (EMA), e.g. 0.999, which is evaluated and published in place of
            the last step's; None has none, and may be said where the default has one.
        seed: of initialisation, dropout, order and augmentation.
        bf16: compute in bfloat16 where it is safe, and on CUDA float32 products as TF32; weights stay float32.
            Default: on CUDA, where the run writes down what it did.
        compile: let torch.compile fuse the model's operations; pays on a GPU after its first minutes.
        gradient_checkpointing: keep less of the forward pass and compute it again in the backward pass.
        num_workers: processes that read windows; 0 reads in the training process.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    data: str
    task: Literal["tracks", "classification", "landscape"] = "tracks"
    tracks: list[str] | None = None
    labels: LabelRecipe = LabelRecipe()
    class_weights: Literal["balanced"] | tuple[float, float] | None = None
    between_types: float = Field(default=0.0, ge=0)
    kmers: KmerRecipe | None = None
    metric: Literal["pearson", "auroc", "auprc"] | None = None
    streaming: bool = False
    preset: str | None = None
    base: str | None = None
    mode: Literal["scratch", "full", "two-stage", "lora", "head"] | None = None
    model: dict[str, Any] = {}
    stem_motifs: str | None = None
    new_head: bool = False
    windows: WindowRecipe = WindowRecipe()
    max_eval_windows: int | None = Field(default=None, gt=0)
    loss: Literal["poisson", "poisson_raw", "profile_count"] | None = None
    max_jitter: int = Field(default=1024, ge=0)
    reverse_complement: bool = True
    substitutions: float | None = Field(default=None, ge=0, lt=1)
    epochs: int | None = Field(default=None, gt=0)
    max_steps: int | None = Field(default=None, gt=0)
    batch_size: int = Field(default=64, gt=0)
    accumulate: int = Field(default=1, gt=0)
    eval_batch_size: int = Field(default=64, gt=0)
    optimizer: Literal["adamw", "muon"] | None = None
    learning_rate: float | None = Field(default=None, gt=0)
    head_stage: HeadStageRecipe = HeadStageRecipe()
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    schedule: Literal["paper", "cosine", "constant"] | None = None
    warmup: float = Field(default=0.25, ge=0)
    restart_decay: float = Field(default=0.9, gt=0, le=1)
    weight_decay: float = Field(default=0.1, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: float = Field(default=0.0, ge=0)
    patience: int = Field(default=5, gt=0)
    eval_steps: int | None = Field(default=None, gt=0)
    save_steps: int | None = Field(default=None, gt=0)
    lora: LoraRecipe = LoraRecipe()
    batch_norm: Literal["train", "frozen", "re-estimated"] | None = None
    ema: float | None = Field(default=None, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    bf16: bool | None = None
    compile: bool = False
    gradient_checkpointing: bool = False
    num_workers: int = Field(default=0, ge=0, le=256)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any, info: ValidationInfo) -> Any:
        """Fill the defaults that depend on task and mode, so that a written recipe holds every number."""
        if not isinstance(values, dict):
            return values
        task, mode = _task_and_mode(values)
        defaults = _of_mode((info.context or {}).get("defaults", DEFAULTS).get(task, {}), mode)
        if mode == "scratch" and task == "landscape":
            defaults |= LANDSCAPE_SCRATCH
        values = _with_defaults({**values, "task": task, "mode": mode}, defaults)
        if values.get("task") == "classification" and isinstance(values.get("windows", {}), dict):
            values["windows"] = {"kind": "peaks+background", **values.get("windows", {})}
        if isinstance(values.get("kmers"), bool):
            values["kmers"] = {} if values["kmers"] else None
        return values

    @model_validator(mode="after")
    def _check_task(self) -> "Recipe":
        metrics = TASK_METRICS[self.task]
        if self.metric not in metrics:
            raise ValueError(f"metric of task {self.task} must be one of {', '.join(metrics)}, got {self.metric!r}")
        if self.warmup >= 1 and self.schedule != "constant":
            raise ValueError(f"warmup must be below 1 with schedule {self.schedule}, got {self.warmup}")
        if self.task == "landscape" and (self.streaming or self.tracks is not None or self.max_jitter):
            raise ValueError("task landscape has no streaming, tracks or max_jitter; leave them out")
        if self.task != "classification" and (self.class_weights is not None or self.labels != LabelRecipe()):
            raise ValueError("labels and class_weights are for task classification; leave them out, or set the task")
        if isinstance(self.class_weights, tuple) and (min(self.class_weights) < 0 or not any(self.class_weights)):
            raise ValueError(f"class_weights must be 0 or more, and not both 0, got {list(self.class_weights)}")
        if self.task != "classification" and self.between_types:
            raise ValueError(f"between_types is for task classification, got {self.between_types}; leave it out")
        if self.task != "tracks" and self.loss is not None:
            raise ValueError(f"loss is for task tracks, got {self.loss!r} with task {self.task}; leave it out")
        if self.task == "landscape" and (self.optimizer == "muon" or self.substitutions):
            raise ValueError("task landscape has no optimizer muon and no substitutions; leave them out")
        if self.task != "classification" and self.kmers is not None:
            raise ValueError("kmers are for task classification; leave them out, or set the task")
        if self.task == "classification" and self.streaming:
            raise ValueError("streaming is for task tracks; a classifier reads a store or an export without it")
        if self.tracks is not None and (not self.tracks or len(set(self.tracks)) < len(self.tracks)):
            raise ValueError(f"tracks must be one or more different names, got {self.tracks}")
        return self

    @model_validator(mode="after")
    def _check_start(self) -> "Recipe":
        if self.mode == "scratch":
            if self.base is not None:
                raise ValueError(
                    f"mode scratch has no base, got base {self.base!r}; use mode full, two-stage, lora or head"
                )
            if self.preset is None:
                raise ValueError("mode scratch needs a preset, e.g. convnext-dcnn; or give a base to start from")
        else:
            if self.base is None:
                raise ValueError(f"mode {self.mode} needs a base: a run folder or a Hub id")
            if self.preset is not None:
                raise ValueError(f"a base brings its own architecture, got preset {self.preset!r} beside it; drop one")
        if self.stem_motifs is not None and (self.mode != "scratch" or self.task == "landscape"):
            raise ValueError(
                f"stem_motifs is for a model that reads sequence and starts from scratch, got mode {self.mode} of task "
                f"{self.task}; leave it out"
            )
        if self.layer_decay < 1 and self.mode in ("scratch", "head"):
            why = "trains the head alone" if self.mode == "head" else "has no base whose lower layers are to be kept"
            raise ValueError(f"mode {self.mode} {why}, got layer_decay {self.layer_decay}; leave it out")
        if self.optimizer == "muon" and self.mode in ("lora", "head"):
            raise ValueError(f"mode {self.mode} trains no matrix of a hidden layer, got optimizer muon; use adamw")
        if "loss" in self.model:
            raise ValueError(f"`model.loss` is a field of the recipe itself; say loss: {self.model['loss']}")
        if self.mode == "scratch" and self.batch_norm == "frozen":
            raise ValueError("mode scratch has no statistics to freeze yet, got batch_norm frozen; use train")
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate must divide batch_size {self.batch_size}, got {self.accumulate}")
        return self

    def write(self, path: str | Path) -> None:
        """Write every field as YAML."""
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        Path(path).write_text(text, encoding="utf-8")


def load_recipe(path: str | Path | None = None, *, paper: bool = False, **flags: Any) -> Recipe:
    """Read a recipe and lay flags over it.

    Args:
        path: YAML file with any subset of the fields; None takes flags alone.
        paper: take Grover et al.'s settings, `PAPER`, where neither file nor flags say.
        **flags: fields that override the file; None means not given, but of `ema`. `windows`, `lora`, `labels`,
            `head_stage`, `kmers` and `model` take dictionaries, which override key by key.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not YAML, an unknown key, a value against its rule, or `paper` of a landscape.
    """
    where = "the recipe" if path is None else str(path)
    values: dict[str, Any] = {}
    if path is not None:
        loaded = read_yaml(path)
        if loaded is not None and not isinstance(loaded, dict):
            raise ValueError(f"{where} must hold `key: value` lines, got a {type(loaded).__name__}")
        values = loaded or {}
    for key, value in flags.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            values[key] = {**values[key], **value}
        elif value is not None or key == "ema":
            values[key] = value
    if is_landscape(str(values.get("data", ""))):
        values.setdefault("task", "landscape")
    if paper and _task_and_mode(values)[0] == "landscape":
        raise ValueError("--paper has the settings of Grover et al., who have no landscapes; leave it out")
    try:
        return Recipe.model_validate(values, context={"defaults": PAPER if paper else DEFAULTS})
    except ValidationError as error:
        raise ValueError(_sentence(error, where)) from None


def _sentence(error: ValidationError, where: str) -> str:
    """Say the first fault of a recipe in one sentence."""
    fault = error.errors()[0]
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        parts = {
            "windows": WindowRecipe,
            "lora": LoraRecipe,
            "labels": LabelRecipe,
            "head_stage": HeadStageRecipe,
            "kmers": KmerRecipe,
        }
        part = parts.get(path[0], Recipe) if len(path) > 1 else Recipe
        known = list(part.model_fields)
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{where}: no key {key!r} (value {fault['input']!r}); {hint}"
    if fault["type"] == "missing":
        return f"{where}: {key!r} is missing"
    if not path:
        return f"{where}: {fault['msg'].removeprefix('Value error, ')}"
    return f"{where}: {key!r} must be valid, got {fault['input']!r}: {fault['msg']}"
