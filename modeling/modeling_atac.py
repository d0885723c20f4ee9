"""Models from DNA to binned ATAC-seq signal (Grover et al. 2026, doi 10.1101/gr.281042.125).

A window goes one way: codes or one-hot -> `stem` (features at one base) -> `core` (features at one position)
-> `head` (one rate a track and bin, softplus). A position is one bin, but for the CNN and LSTM cores, whose position is
64 bp or the whole window and whose head makes all of its bins at once. Presets equal the reference implementation's
outputs once its weights are permuted from its A, G, C, T order to ours, A, C, G, T.

Shapes: B batch, L bp, C and F channels, P positions, N bins, T tracks.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from .classification import SequenceClassifierOutput, classification_loss, label_probabilities
from .configuration_atac import AtacConfig
from .convnext_block import GlobalResponseNorm
from .cores import build_core
from .fast_evaluation import fast_prediction
from .kmer_part import KmerPart, ZeroLinear
from .losses import poisson_nll, profile_count_loss
from .mappability import MappabilityHead, called_bases
from .mixed_adapters import predict_mixed
from .one_hot import as_one_hot
from .stems import ZeroScaleBatchNorm, build_stem
from .tensor_model import SummedModel, TensorModel, summed_model, tensor_model
from .transformer_core import SelfAttention, TransformerCore
from .whole_weights import WholeWeights


@dataclass
class TrackOutput(ModelOutput):
    """What a track model returns.

    Args:
        loss: scalar, when `labels` were given.
        predictions: (B, T, N) in the scale of training (`config.target_transform`).
        last_hidden_state: (B, F, P), what the head read.
        mappability: (B, P') probabilities on the grid of the mappability head, where the model has one.
    """

    loss: Tensor | None = None
    predictions: Tensor | None = None
    last_hidden_state: Tensor | None = None
    mappability: Tensor | None = None


class AtacPreTrainedModel(WholeWeights):
    """Loading, saving, initialisation and checkpointing shared by the ATAC-seq models."""

    config: AtacConfig
    config_class = AtacConfig
    base_model_prefix = "atac"
    main_input_name = "inputs"
    input_modalities = "sequence"
    accepts_loss_kwargs = False  # the loss is a mean: gradient accumulation must divide it
    supports_gradient_checkpointing = True
    _no_split_modules = [  # noqa: RUF012
        "DilatedBlock",
        "ConvNextBlock",
        "ResidualConvUnit",
        "TransformerLayer",
        "MlstmBlock",
        "SlstmBlock",
    ]
    stem: nn.Module
    core: nn.Module

    def __init__(self, config: AtacConfig) -> None:
        super().__init__(config)
        # plain numbers, which torch.compile can read where it cannot read a config's properties
        self.fixed_length, self.length_multiple = config.fixed_length, config.length_multiple
        self._can_compile_fullgraph = config.core_config.type != "lstm"  # PyTorch does not compile `nn.LSTM`

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load as transformers does, which of a part on disk (`device_map`) would not read the buffers."""
        return super().from_pretrained(*args, **{**kwargs, "offload_buffers": True})

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise as PyTorch does by default, which is what the reference trained from."""
        if isinstance(module, ZeroLinear):
            init.zeros_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, KmerPart):
            init.ones_(module.scale)
        elif isinstance(module, (nn.Linear, nn.Conv1d)):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            if module.bias is not None:
                bound = 1 / math.sqrt(module.weight[0].numel())
                init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, nn.LSTM):
            bound = 1 / math.sqrt(module.hidden_size)
            for parameter in module.parameters():
                init.uniform_(parameter, -bound, bound)
        elif isinstance(module, nn.BatchNorm1d):
            (init.zeros_ if isinstance(module, ZeroScaleBatchNorm) else init.ones_)(module.weight)
            init.zeros_(module.bias)
            module.reset_running_stats()
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, GlobalResponseNorm):
            init.zeros_(module.gamma)
            init.zeros_(module.beta)
        elif isinstance(module, SelfAttention):
            # Over its children: `nn.MultiheadAttention` draws the packed (3 C, C) projection by Xavier's rule.
            for projection in (module.query, module.key, module.value):
                bound = math.sqrt(6 / (4 * projection.in_features))
                init.uniform_(projection.weight, -bound, bound)
                init.zeros_(projection.bias)
            init.zeros_(module.out.bias)
        elif isinstance(module, TransformerCore) and module.identical_layers:
            first, *others = module.layers
            for layer in others:
                for mine, its in zip(layer.parameters(), first.parameters(), strict=True):
                    init.copy_(mine, its)
        elif getattr(module, "chromhub_init", False):
            module.reset_parameters()  # pyright: ignore[reportCallIssue]

    def _set_gradient_checkpointing(  # pyright: ignore[reportIncompatibleMethodOverride] - newer ones have more
        self, enable: bool = True, gradient_checkpointing_func: Callable[..., Any] = checkpoint, **kwargs: Any
    ) -> None:
        """Recompute blocks in the backward pass, with the statistics of batch normalisation left alone there.

        Otherwise every step would count twice in them.
        """
        once = partial(
            gradient_checkpointing_func,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _fixed_statistics(self)),
        )
        super()._set_gradient_checkpointing(enable, once, **kwargs)

    def at_hand(self, inputs: Tensor) -> Tensor:
        """Return `inputs` on the model's device; as they are where its weights are offloaded and come when needed."""
        return inputs if self.device.type == "meta" else inputs.to(self.device)

    def features(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return what stem (B, C, L') and core (B, F, P) make of codes (B, L) or a one-hot (B, 4, L)."""
        stem = self.stem(self.one_hot_inputs(inputs))
        return stem, self.core(stem)

    def one_hot_inputs(self, inputs: Tensor) -> Tensor:
        """Return codes (B, L) or a one-hot (B, 4, L) as a one-hot in the model's dtype.

        Raises:
            ValueError: another shape, or a length that the model cannot read.
        """
        bases = as_one_hot(inputs, self.dtype)
        length, config = inputs.shape[-1], self.config
        if self.fixed_length and length != config.input_length:
            raise ValueError(
                f"`inputs` must be {config.input_length} bp long, got {length}: the core "
                f"{config.core_config.type!r} sees its window as a whole"
            )
        if length % self.length_multiple:
            raise ValueError(
                f"`inputs` must be a multiple of {self.length_multiple} bp long (`bin_size` {config.bin_size}), "
                f"got {length}"
            )
        return bases


@contextmanager
def _fixed_statistics(model: nn.Module) -> Iterator[None]:
    """Normalise by the batch without remembering it: with a momentum of 0 running statistics stay as they are."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    before = [(module.momentum, int(module.num_batches_tracked or 0)) for module in norms]
    for module in norms:
        module.momentum = 0.0
    try:
        yield
    finally:
        for module, (momentum, num_batches) in zip(norms, before, strict=True):
            module.momentum = momentum
            if module.num_batches_tracked is not None:
                module.num_batches_tracked.fill_(num_batches)


class AtacForTrackPrediction(AtacPreTrainedModel):
    """Predict binned ATAC-seq tracks from DNA."""

    def __init__(self, config: AtacConfig) -> None:
        super().__init__(config)
        self.stem = build_stem(config.stem_config)
        self.core = core = build_core(config)
        self.head = nn.Linear(core.feature_channels, config.num_tracks * core.bins_per_position)
        self.head_activation = nn.Softplus()
        if config.mappability_weight:
            self.mappability_head = MappabilityHead(config.stem_config, bin_size=config.bin_size)
        self.post_init()

    def forward(
        self,
        inputs: Tensor,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        mappable: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> TrackOutput | tuple[Tensor, ...]:
        """Predict every bin of a window.

        Args:
            inputs: (B, L) base codes, A0 C1 G2 T3 N4, or (B, 4, L) one-hot in the order A, C, G, T.
            labels: (B, T, N) raw signal; the model transforms it by `config.target_transform`.
            mask: (B, N) or (B, T, N), 1 where a bin counts in the loss.
            mappable: (B, L), 1 where a base is mappable; used by a model with a mappability head.
            return_dict: False returns a tuple.

        Returns:
            `TrackOutput`; N = L / `config.bin_size`.

        Raises:
            ValueError: `inputs` has another shape, or a length that the model cannot read.
        """
        mappable = _.get("mappability_labels", mappable)  # its former name, by which a Trainer took it for labels
        stem, features = self.features(inputs)
        predictions = self.head_activation(self._bins(self.head(features.transpose(1, 2))))
        loss = mappability = None
        if labels is not None:
            loss = self.track_loss(predictions.float(), labels.float(), mask)
        if self.config.mappability_weight:
            mappability = self.mappability_head(stem)
            if loss is not None and mappable is not None:
                second = self.mappability_head.loss(mappability, mappable, called_bases(inputs))
                loss = loss + self.config.mappability_weight * second
        output = TrackOutput(loss=loss, predictions=predictions, last_hidden_state=features, mappability=mappability)
        return output.to_tuple() if return_dict is False else output

    @torch.no_grad()
    def predict(self, inputs: Tensor, *, target_only: bool = False, adapter_names: list[str] | None = None) -> Tensor:
        """Predict without gradients, by the fastest way that is exact.

        Args:
            inputs: (B, L) base codes or (B, 4, L) one-hot, on any device.
            target_only: leave out the context on both sides, as evaluation and genome-wide tracks do.
            adapter_names: an adapter for each window, see `mixed_adapters`; None takes the one that is set.

        Returns:
            (B, T, N), or the central bins of `config.target_length`, float32, in the scale of training.

        Raises:
            ValueError: the model is in training mode, `inputs` as in `forward`, or an adapter that was not loaded.
        """
        if self.training:
            raise ValueError("`predict` needs evaluation mode; call model.eval() first")
        if adapter_names is not None:
            return predict_mixed(self, inputs, adapter_names, predict=partial(self.predict, target_only=target_only))
        inputs = self.at_hand(inputs)
        fast = fast_prediction(self, inputs, target_only=target_only)
        if fast is not None:
            return fast
        predictions = self(inputs).predictions.float()
        crop = self.config.crop_bins if target_only else 0
        return predictions[..., crop : predictions.shape[-1] - crop]

    def track_loss(self, predictions: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss that `config.loss` names: a scalar, of `predictions` and raw `labels` (B, T, N)."""
        if self.config.loss == "poisson_raw":
            return poisson_nll(self.to_signal(predictions), labels, mask)
        if self.config.loss == "profile_count":
            weight = float(self.config.count_weight)
            return profile_count_loss(self.to_signal(predictions), labels, mask, count_weight=weight)
        return poisson_nll(predictions, self.to_training_scale(labels), mask)

    def _bins(self, positions: Tensor) -> Tensor:
        """Lay the head's outputs (B, P, T * bins of a position) out as tracks (B, T, N)."""
        return positions.unflatten(-1, (self.config.num_tracks, -1)).transpose(1, 2).flatten(2)

    def to_training_scale(self, signal: Tensor) -> Tensor:
        """Turn raw signal into the scale of `predictions`."""
        return torch.log1p(signal) if self.config.target_transform == "log1p" else signal

    def to_signal(self, predictions: Tensor) -> Tensor:
        """Turn `predictions` back into raw signal."""
        return torch.expm1(predictions) if self.config.target_transform == "log1p" else predictions


class AtacForSequenceClassification(AtacPreTrainedModel):
    """Classify windows, e.g. open or closed in a cell line: the mean of the core's features, one linear layer.

    With `config.kmers` a linear part of k-mer counts is added to its logits, see `KmerPart`.
    Loaded from a track model with `ignore_mismatched_sizes=True` it keeps stem and core and starts a new classifier.
    """

    _keys_to_ignore_on_load_unexpected = [r"^head\.", r"^mappability_head\."]  # noqa: RUF012

    def __init__(self, config: AtacConfig) -> None:
        super().__init__(config)
        self.num_labels = int(config.num_labels or 1)
        self.stem = build_stem(config.stem_config)
        self.core = core = build_core(config)
        self.classifier = nn.Linear(core.feature_channels, self.num_labels)
        if (kmers := config.kmer_config) is not None:
            self.kmer_part = KmerPart(kmers, self.num_labels)
        self.has_kmers = kmers is not None  # a plain value, for torch.compile
        self.post_init()

    def forward(
        self,
        inputs: Tensor,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput | tuple[Tensor, ...]:
        """Classify windows.

        Args:
            inputs: (B, L) base codes or (B, 4, L) one-hot, as in `AtacForTrackPrediction`.
            labels: as in `classification_loss`.
            mask: as in `classification_loss`.
            return_dict: False returns a tuple.

        Returns:
            `SequenceClassifierOutput`.

        Raises:
            ValueError: `inputs` has another shape, or a length that the model cannot read; `labels` another shape.
        """
        features = self.features(inputs)[1]
        pooled = features.mean(-1)
        logits = self.classifier(pooled)
        if self.has_kmers:
            logits = self.kmer_part(inputs, logits)
        loss = None
        if labels is not None:
            weights = self.config.class_weights
            loss = classification_loss(
                logits, labels, self.config, None if weights is None else torch.tensor(weights), mask
            )
        output = SequenceClassifierOutput(loss=loss, logits=logits, last_hidden_state=features, pooler_output=pooled)
        return output.to_tuple() if return_dict is False else output

    def probabilities(self, logits: Tensor) -> Tensor:
        """Turn logits (B, num_labels) into probabilities, which sum to 1 where labels exclude one another."""
        return label_probabilities(logits, self.config)


__all__ = [
    "AtacForSequenceClassification",
    "AtacForTrackPrediction",
    "AtacPreTrainedModel",
    "SummedModel",
    "TensorModel",
    "TrackOutput",
    "summed_model",
    "tensor_model",
]
