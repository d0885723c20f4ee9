"""The stems, cores and k-mers of `AtacConfig`, each a small typed configuration: what to choose, and its default.

Where Grover et al.'s code departs from the textbook, the default follows the code, which made the published numbers,
and a field gives the textbook form; the docstring of the field says which is which.
"""

from dataclasses import dataclass, field
from typing import Literal

from huggingface_hub.dataclasses import strict


@strict
@dataclass
class ConvStemConfig:
    """One convolution, 4 -> `channels`.

    Args:
        type: always "conv".
        channels: output channels.
        kernel_size: bp.
        unit: "gelu-conv-norm" (the paper's dCNN: GELU on the one-hot itself, convolution, batch normalisation) or
            "conv-relu" (its CNN and LSTM).
        padding: "same" keeps the window's length; "valid" (CNN and LSTM) shortens it by `kernel_size` - 1.
    """

    type: Literal["conv"] = "conv"
    channels: int = 256
    kernel_size: int = 15
    unit: Literal["gelu-conv-norm", "conv-relu"] = "gelu-conv-norm"
    padding: Literal["same", "valid"] = "same"


@strict
@dataclass
class ConvNextStemConfig:
    """One ConvNeXt V2 block (arXiv:2301.00808) whose convolution is dense, 4 -> `channels`.

    Args:
        type: always "convnext".
        channels: output channels.
        kernel_size: bp.
        expansion: width of the pointwise layers over `channels`.
        activation: after the block: "none", or "relu" (the paper's ConvNeXtLSTM).
    """

    type: Literal["convnext"] = "convnext"
    channels: int = 256
    kernel_size: int = 15
    expansion: int = 4
    activation: Literal["none", "relu"] = "none"


@strict
@dataclass
class CnnCoreConfig:
    """Convolutions and pooling (the core of the paper's CNN and ConvNeXtCNN).

    Args:
        type: always "cnn".
        block: "conv" (convolution and ReLU) or "convnext" (depthwise ConvNeXt V2 blocks).
        channels: of each layer; with "convnext" each a multiple of the one before.
        kernel_size: positions.
        padding: of "conv" layers, "same" or "valid".
        pool_sizes: max pooling of the stem's output, then after each layer; 1 does not pool.
        dropouts: likewise, one more than `channels`.
        output: "window" flattens what is left of the window into dense layers that see all of it (CNN: one input
            length only), "position" gives every position the same dense layers (ConvNeXtCNN: any whole number of
            positions).
        hidden_size: of the dense layer with ReLU before the head.
    """

    type: Literal["cnn"] = "cnn"
    block: Literal["conv", "convnext"] = "conv"
    channels: list[int] = field(default_factory=lambda: [512, 512, 512])
    kernel_size: int = 15
    padding: Literal["same", "valid"] = "valid"
    pool_sizes: list[int] = field(default_factory=lambda: [4, 4, 4, 1])
    dropouts: list[float | int] = field(default_factory=lambda: [0.2, 0.2, 0.2, 0.5])
    output: Literal["window", "position"] = "window"
    hidden_size: int = 1024


@strict
@dataclass
class LstmCoreConfig:
    """A bidirectional LSTM on a pooled grid (the core of the paper's LSTM and ConvNeXtLSTM).

    Args:
        type: always "lstm".
        pool_size: bp per step.
        pool_dropout: on the pooled features.
        hidden_size: of each direction.
        output: "last" predicts every bin from the last step alone, as the reference does: there the forward state
            has read the window and the backward state one step. One input length only. "position" is the textbook
            form: every bin from its own step, any length; it needs a stem with "same" padding.
        output_dropout: on the LSTM's output.
        dense_size: of the dense layer with ReLU before the head.
        dense_dropout: on that layer's output.
    """

    type: Literal["lstm"] = "lstm"
    pool_size: int = 4
    pool_dropout: float | int = 0.2
    hidden_size: int = 256
    output: Literal["last", "position"] = "last"
    output_dropout: float | int = 0.2
    dense_size: int = 256
    dense_dropout: float | int = 0.5


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


@strict
@dataclass
class TransformerCoreConfig:
    """A tower of convolutions, then a pre-norm transformer without a final norm (the paper's ConvNeXtTransformer).

    Args:
        type: always "transformer".
        pool_size: bp per token; divides `bin_size`.
        tower: "convnext" (depthwise ConvNeXt V2 blocks, the paper) or "conv" (residual GELU-convolution-norm units).
        tower_blocks: blocks of the tower.
        tower_kernel_size: tokens.
        num_layers: transformer layers.
        num_heads: attention heads; divides the stem's channels.
        feedforward_size: hidden width of a layer's MLP.
        dropout: on attention weights, residual branches and the MLP's hidden layer.
        rotary: "hidden" rotates the whole normalised hidden vector before the query and key projections, as the
            reference does: scores then are no function of the distance alone. "heads" is RoFormer's rotary embedding
            (arXiv:2104.09864): queries and keys of each head are rotated.
        rotary_base: longest wavelength, in units of 2 pi tokens.
        identical_layers: start all layers from the same weights, as the reference does; False draws each anew.
    """

    type: Literal["transformer"] = "transformer"
    pool_size: int = 4
    tower: Literal["convnext", "conv"] = "convnext"
    tower_blocks: int = 4
    tower_kernel_size: int = 7
    num_layers: int = 4
    num_heads: int = 4
    feedforward_size: int = 512
    dropout: float | int = 0.1
    rotary: Literal["hidden", "heads"] = "hidden"
    rotary_base: float | int = 10000
    identical_layers: bool = True


@strict
@dataclass
class XlstmCoreConfig:
    """A tower of convolutions, then a stack of mLSTM and sLSTM blocks (arXiv:2405.04517; the paper's ConvNeXt-xLSTM).

    Args:
        type: always "xlstm".
        pool_size: bp per step; divides `bin_size`.
        tower: as in `TransformerCoreConfig`.
        tower_blocks: blocks of the tower.
        tower_kernel_size: steps.
        num_blocks: blocks of the stack.
        slstm_at: indices of those that are sLSTM; the others are mLSTM.
        num_heads: memories of a block; divides the stem's channels.
        conv_kernel_size: of the causal convolution in a block.
        qkv_block_size: queries, keys and values are projected in blocks of so many channels.
        mlstm_expansion: width of an mLSTM block over the stem's channels.
        feedforward_expansion: width of the gated MLP of an sLSTM block over the stem's channels.
        bidirectional: False reads every block left to right, as the reference does: a bin then knows nothing to its
            right but what the convolutions bring. True lets blocks 1, 3, ... read right to left, without further
            parameters.
    """

    type: Literal["xlstm"] = "xlstm"
    pool_size: int = 4
    tower: Literal["convnext", "conv"] = "convnext"
    tower_blocks: int = 4
    tower_kernel_size: int = 7
    num_blocks: int = 4
    slstm_at: list[int] = field(default_factory=lambda: [1])
    num_heads: int = 4
    conv_kernel_size: int = 4
    qkv_block_size: int = 4
    mlstm_expansion: int = 2
    feedforward_expansion: int = 2
    bidirectional: bool = False


@strict
@dataclass
class KmerConfig:
    """A linear part of k-mer counts beside a classifier's network (`KmerPart`).

    Args:
        k: bases of a k-mer, 1 to 8.
        widths: bp in the middle of the window, one region each, every one at least `k`; a width larger than the window
            is the window.
    """

    k: int = 6
    widths: list[int] = field(default_factory=lambda: [320, 640])


StemConfig = ConvStemConfig | ConvNextStemConfig
CoreConfig = CnnCoreConfig | LstmCoreConfig | DilatedCoreConfig | TransformerCoreConfig | XlstmCoreConfig
STEMS = {"conv": ConvStemConfig, "convnext": ConvNextStemConfig}
CORES = {
    "cnn": CnnCoreConfig,
    "lstm": LstmCoreConfig,
    "dilated": DilatedCoreConfig,
    "transformer": TransformerCoreConfig,
    "xlstm": XlstmCoreConfig,
}
