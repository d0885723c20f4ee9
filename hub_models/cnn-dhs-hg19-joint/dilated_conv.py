"""A dilated convolution that PEFT's own LoRA adapts exactly."""

from torch import nn


class DilatedConv1d(nn.Conv1d):
    """A convolution whose dilation follows from its padding, `padding` = dilation * ((`kernel_size` - 1) // 2).

    So an odd kernel keeps the length. PEFT (0.19 to 0.21, `_ConvNd.update_layer`) builds a convolution's A as
    `type(layer)(in, r, kernel_size, stride, padding, bias=False)`: of a plain `nn.Conv1d` it drops the dilation, then
    fails in forward, or with `padding="same"` merges to something else. Here it builds the right A, with nothing of
    ours installed: this file travels with the checkpoint. `kernel_size` 1 and 2 are not dilated.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        (size,), (pad,) = (value if isinstance(value, tuple) else (value,) for value in (kernel_size, padding))
        dilation = max(1, pad // ((size - 1) // 2)) if size > 2 else 1
        super().__init__(in_channels, out_channels, size, stride, pad, dilation, groups, bias)
