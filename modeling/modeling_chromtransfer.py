"""ChromTransfer: from DNA to the probability of open chromatin (Salvatore et al. 2023, doi 10.1093/nargab/lqad026).

The layers are those of the authors' published models (anderssonlab/ChromTransfer, Keras): every convolution keeps the
length, nothing is dilated, strided or pooled before the mean over the sequence, and the order is convolution, ReLU,
batch normalisation, dropout. One position before that mean sees 202 bp.

Shapes: B batch, L bp, C channels.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from .classification import SequenceClassifierOutput, classification_loss, label_probabilities
from .configuration_chromtransfer import ChromTransferConfig
from .dropout import FastDropout
from .one_hot import as_one_hot
from .whole_weights import WholeWeights

# Standard deviation of a standard normal cut at two of its own; Keras divides by it.
_CUT_NORMAL_STD = 0.87962566103423978


@dataclass
class ChromTransferModelOutput(ModelOutput):
    """What the body returns.

    Args:
        last_hidden_state: (B, C, L), at least 0.
        pooler_output: (B, C), its mean over the sequence.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None


class ConvUnit(nn.Module):
    """Convolution, ReLU, batch normalisation, dropout."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int, config: ChromTransferConfig) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.conv = nn.Conv1d(in_channels, channels, kernel_size, padding=kernel_size // 2)
        self.activation = nn.ReLU()
        self.norm = nn.BatchNorm1d(channels, eps=config.bn_eps, momentum=config.bn_momentum)
        self.dropout = FastDropout(config.dropout)

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map (B, C_in, L) to (B, C, L), 0 where `mask` (B, 1, L) is."""
        hidden = keep_length(self.conv(hidden), self.kernel_size)
        hidden = self.dropout(self.norm(self.activation(hidden)))
        return hidden if mask is None else hidden * mask


class ResidualBlock(nn.Module):
    """Two units and what went in; a block that changes the channels has a third unit on the way of its input."""

    def __init__(
        self, in_channels: int, channels: int, kernel_size: int, config: ChromTransferConfig, *, projection: bool
    ) -> None:
        super().__init__()
        self.unit1 = ConvUnit(in_channels, channels, kernel_size, config)
        self.unit2 = ConvUnit(channels, channels, kernel_size, config)
        self.shortcut = ConvUnit(in_channels, channels, kernel_size, config) if projection else None

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map (B, C_in, L) to (B, C, L)."""
        kept = hidden if self.shortcut is None else self.shortcut(hidden, mask)
        return kept + self.unit2(self.unit1(hidden, mask), mask)


class DenseUnit(nn.Module):
    """Dense layer, ReLU, batch normalisation if the configuration says so, dropout."""

    def __init__(self, in_features: int, features: int, config: ChromTransferConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, features)
        self.activation = nn.ReLU()
        norm = nn.BatchNorm1d(features, eps=config.bn_eps, momentum=config.bn_momentum)
        self.norm = norm if config.head_batch_norm else nn.Identity()
        self.dropout = FastDropout(config.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, F_in) to (B, F)."""
        return self.dropout(self.norm(self.activation(self.dense(hidden))))


class ClassificationHead(nn.Module):
    """Hidden layers, then one number a label."""

    def __init__(self, config: ChromTransferConfig) -> None:
        super().__init__()
        sizes = [config.tower2_filters, *config.head_hidden_sizes]
        self.layers = nn.ModuleList(DenseUnit(before, after, config) for before, after in itertools.pairwise(sizes))
        self.output = nn.Linear(sizes[-1], config.num_labels or 1)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map (B, C) to logits (B, num_labels)."""
        for layer in self.layers:
            pooled = layer(pooled)
        return self.output(pooled)


def keep_length(hidden: Tensor, kernel_size: int) -> Tensor:
    """Cut what a convolution with k // 2 zeros on each side made of (B, C, L) to L positions.

    Keras puts (k - 1) // 2 zeros left, one less than that where k is even: the first of L + 1 positions goes.
    """
    return hidden[..., 1 - kernel_size % 2 :]


def padding_mask(one_hot: Tensor) -> Tensor:
    """Return (B, 1, L), 0 at the Ns before the first base and after the last of a one-hot (B, 4, L), else 1."""
    called = one_hot.ne(0).any(1, keepdim=True).to(one_hot.dtype)
    return called.cummax(-1).values * called.flip(-1).cummax(-1).values.flip(-1)


class ChromTransferPreTrainedModel(WholeWeights):
    """Loading, saving and initialisation shared by body and classifier."""

    config: ChromTransferConfig
    config_class = ChromTransferConfig
    base_model_prefix = "chromtransfer"
    main_input_name = "inputs"
    input_modalities = "sequence"
    accepts_loss_kwargs = False  # the loss is a mean: gradient accumulation must divide it
    _no_split_modules = ["ResidualBlock"]  # noqa: RUF012
    _can_compile_fullgraph = True

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load as transformers does, which of a part on disk (`device_map`) would not read the buffers."""
        return super().from_pretrained(*args, **{**kwargs, "offload_buffers": True})

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise as the source: He-normal convolutions, Glorot-uniform dense layers, biases 0."""
        if isinstance(module, nn.Conv1d):
            std = math.sqrt(2 / module.weight[0].numel()) / _CUT_NORMAL_STD
            init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.BatchNorm1d):
            init.ones_(module.weight)
            module.reset_running_stats()
        else:
            return
        if module.bias is not None:
            init.zeros_(module.bias)


class ChromTransferModel(ChromTransferPreTrainedModel):
    """The body: DNA to one vector a sequence."""

    _keys_to_ignore_on_load_unexpected = [r"^head\."]  # noqa: RUF012 - it loads a classifier's body
    _takes_weights_of = ("ChromTransferForSequenceClassification",)

    def __init__(self, config: ChromTransferConfig) -> None:
        super().__init__(config)
        width1, width2 = config.tower1_filters, config.tower2_filters
        (entry1, kernel1), (entry2, kernel2) = config.tower1_kernels, config.tower2_kernels
        self.stem = ConvUnit(4, config.stem_filters, config.stem_kernel, config)
        self.entry1 = ResidualBlock(config.stem_filters, width1, entry1, config, projection=True)
        self.tower1 = nn.ModuleList(
            ResidualBlock(width1, width1, kernel1, config, projection=False) for _ in range(config.tower1_blocks)
        )
        self.entry2 = ResidualBlock(width1 * config.tower1_blocks, width2, entry2, config, projection=True)
        self.tower2 = nn.ModuleList(
            ResidualBlock(width2, width2, kernel2, config, projection=False) for _ in range(config.tower2_blocks)
        )
        self.final = ConvUnit(width2, width2, config.final_kernel, config)
        self.last_conv = nn.Conv1d(width2, width2, config.last_kernel, padding=config.last_kernel // 2)
        self.last_activation = nn.ReLU()
        self.post_init()

    def forward(
        self, inputs: Tensor, return_dict: bool | None = None, **_: Any
    ) -> ChromTransferModelOutput | tuple[Tensor, ...]:
        """Read sequences.

        Args:
            inputs: (B, L) base codes, A0 C1 G2 T3 N4, or (B, 4, L) one-hot in the order A, C, G, T.
            return_dict: False returns a tuple.

        Raises:
            ValueError: `inputs` has another shape.
        """
        hidden = as_one_hot(inputs, self.dtype)
        mask = padding_mask(hidden) if self.config.pooling == "masked_mean" else None
        hidden = self.entry1(self.stem(hidden, mask), mask)
        outputs = []
        for block in self.tower1:
            hidden = block(hidden, mask)
            outputs.append(hidden)
        hidden = self.entry2(torch.cat(outputs, 1), mask)
        for block in self.tower2:
            hidden = block(hidden, mask)
        hidden = keep_length(self.last_conv(self.final(hidden, mask)), self.config.last_kernel)
        hidden = self.last_activation(hidden)  # (B, C, L)
        # of Ns alone the masked mean is 0
        pooled = hidden.mean(-1) if mask is None else (hidden * mask).sum(-1) / mask.sum(-1).clamp(min=1)
        output = ChromTransferModelOutput(last_hidden_state=hidden, pooler_output=pooled)
        return output.to_tuple() if return_dict is False else output

    def regularization_loss(self) -> Tensor:
        """Return the L2 penalty on the kernels that are trained, all but the last one's; scalar."""
        kernels = [unit.conv.weight for unit in self.modules() if isinstance(unit, ConvUnit)]
        trained = [kernel.float().square().sum() for kernel in kernels if kernel.requires_grad]
        return self.config.l2 * torch.stack(trained).sum() if trained else self.last_conv.weight.new_zeros(())


class ChromTransferForSequenceClassification(ChromTransferPreTrainedModel):
    """The body and a dense head: the published models, each with the head its configuration names."""

    _norm_is_frozen = False

    def __init__(self, config: ChromTransferConfig) -> None:
        super().__init__(config)
        self.chromtransfer = ChromTransferModel(config)
        self.head = ClassificationHead(config)
        self.post_init()

    def forward(
        self,
        inputs: Tensor,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput | tuple[Tensor, ...]:
        """Classify sequences.

        Args:
            inputs: (B, L) base codes, A0 C1 G2 T3 N4, or (B, 4, L) one-hot in the order A, C, G, T.
            labels: (B,) 0 or 1 for one label, (B,) class numbers for several, (B, num_labels) of 0 and 1 where
                `config.problem_type` is "multi_label_classification".
            mask: as in `classification_loss`.
            return_dict: False returns a tuple.

        Returns:
            The loss holds the L2 penalty in training alone, as in Keras.

        Raises:
            ValueError: `inputs` or `labels` have another shape.
        """
        body = self.chromtransfer(inputs)
        logits = self.head(body.pooler_output)
        loss = None
        if labels is not None:
            weights = self.config.class_weights
            loss = classification_loss(
                logits, labels, self.config, None if weights is None else torch.tensor(weights), mask
            )
            if self.training and self.config.l2 > 0:
                loss = loss + self.regularization_loss()
        output = SequenceClassifierOutput(loss, logits, body.last_hidden_state, body.pooler_output)
        return output.to_tuple() if return_dict is False else output

    def probabilities(self, logits: Tensor) -> Tensor:
        """Turn logits (B, num_labels) into probabilities."""
        return label_probabilities(logits, self.config)

    def regularization_loss(self) -> Tensor:
        """Return the L2 penalty on the body's kernels that are trained; scalar."""
        return self.chromtransfer.regularization_loss()

    def freeze_body(self, train_batch_norm: bool = False) -> None:
        """Train the head alone, the source's first stage; `unfreeze_body` begins its second.

        Args:
            train_batch_norm: train the body's batch normalisation: scale, shift and statistics. By default it
                normalises by its statistics and leaves them, as a layer with `trainable = False` does in Keras.
        """
        self.chromtransfer.requires_grad_(False)
        self._norm_is_frozen = not train_batch_norm
        if train_batch_norm:
            for norm in self._body_norms():
                norm.requires_grad_(True)
        self.train(self.training)

    def unfreeze_body(self) -> None:
        """Train everything."""
        self.chromtransfer.requires_grad_(True)
        self._norm_is_frozen = False
        self.train(self.training)

    def train(self, mode: bool = True) -> "ChromTransferForSequenceClassification":
        """Set the mode; a frozen body's batch normalisation stays in evaluation."""
        super().train(mode)
        if self._norm_is_frozen:
            for norm in self._body_norms():
                norm.eval()
        return self

    def _body_norms(self) -> list[nn.BatchNorm1d]:
        return [module for module in self.chromtransfer.modules() if isinstance(module, nn.BatchNorm1d)]


__all__ = [
    "ChromTransferForSequenceClassification",
    "ChromTransferModel",
    "ChromTransferModelOutput",
    "ChromTransferPreTrainedModel",
]
