"""The convolutions of a CLASTER branch: how wide each is, how far it steps, and what length is left.

A published model's convolutions are not quite those of its settings: the framework it was made with moved widths and
dilations by one until its padding came out whole. Those plans stand here as they came out. For any other shape
`plan_layers` has a plain rule. Either way the plan is written into config.json: a loaded model never asks again.
"""

from dataclasses import dataclass
from typing import Any

from huggingface_hub.dataclasses import strict


@strict
@dataclass
class ConvLayer:
    """One block's convolutions.

    Args:
        channels: of its output.
        kernel_size: positions that its first convolution and its shortcut see.
        stride: positions they step.
        padding: zeros they see on each side.
        inner_kernel_size: positions of its second convolution, odd: it keeps the length; 0 has none (the first block).
        inner_dilation: positions from one to the next of those.
    """

    channels: int
    kernel_size: int
    stride: int
    padding: int
    inner_kernel_size: int = 0
    inner_dilation: int = 1

    def output_size(self, size: int) -> int:
        """Return how many positions are left of `size`."""
        return (size + 2 * self.padding - self.kernel_size) // self.stride + 1


# (layers, kernel size, stride, positions) -> kernel size, stride, padding, inner kernel size, inner dilation a block.
# The paddings of the two square plans are the smallest that leave 36 and 10 positions, as the source does.
_PUBLISHED: dict[tuple[tuple[int, ...], int, int, int], list[tuple[int, int, int, int, int]]] = {
    ((4, 4), 10, 2, 10001): [
        (10, 2, 0, 0, 1),
        (10, 2, 3, 9, 3),
        (10, 2, 0, 9, 4),
        (10, 2, 3, 9, 9),
        (10, 2, 0, 9, 16),
        (10, 1, 0, 9, 33),
        (10, 2, 0, 9, 32),
        (10, 2, 3, 9, 9),
        (10, 2, 0, 9, 4),
    ],
    ((1, 1), 10, 2, 201): [(10, 2, 0, 0, 1), (10, 2, 3, 9, 3), (10, 2, 0, 9, 4)],
    ((1, 2), 10, 2, 626): [(10, 2, 3, 0, 1), (10, 2, 3, 9, 3), (10, 2, 0, 9, 4), (10, 2, 0, 9, 8)],
    ((1, 2), 5, 2, 626): [(4, 2, 0, 0, 1), (4, 2, 0, 3, 3), (5, 2, 0, 5, 4), (6, 2, 0, 5, 7)],
    ((1, 2), 5, 2, 201): [(5, 2, 0, 0, 1), (5, 2, 0, 5, 2), (4, 2, 0, 3, 5), (5, 2, 0, 5, 4)],
}


def plan_layers(
    size: int,
    *,
    layers: list[int] | tuple[int, ...],
    base_channels: int,
    first_expansion: int,
    kernel_size: int,
    stride: int,
    dilation: int,
) -> list[ConvLayer]:
    """Return the convolutions of a branch.

    The first block has one convolution. Where the shape is none of the published ones, each block steps `stride` with
    half a kernel of padding, and the second convolution of block i is `dilation` ** i wide-meshed, as far as it still
    fits into the block's input.

    Args:
        size: positions that the branch reads.
        layers: residual blocks of each group; a group has twice the channels of the one before.
        base_channels: of the first group.
        first_expansion: the first block's channels over `base_channels`.
        kernel_size: as configured.
        stride: likewise.
        dilation: likewise.

    Raises:
        ValueError: nothing is left of so few positions.
    """
    channels = [base_channels * first_expansion]
    channels += [base_channels * 2**group for group, blocks in enumerate(layers) for _ in range(blocks)]
    published = _PUBLISHED.get((tuple(layers), kernel_size, stride, size)) if dilation == 2 else None
    if published is not None:
        return [ConvLayer(width, *numbers) for width, numbers in zip(channels, published, strict=True)]
    plan, inner, left = [], kernel_size - 1 + kernel_size % 2, size
    for block, width in enumerate(channels):
        layer = ConvLayer(width, kernel_size, stride, max(0, kernel_size - stride) // 2)
        if block:
            layer.inner_kernel_size, layer.inner_dilation = inner, dilation**block
            while layer.inner_dilation > 1 and (inner - 1) * layer.inner_dilation >= left:
                layer.inner_dilation //= dilation
        plan.append(layer)
        left = layer.output_size(left)
        if left < 1:
            raise ValueError(
                f"`layers` {list(layers)} leave nothing of {size} positions after block {block} with `kernel_size` "
                f"{kernel_size} and `stride` {stride}; give fewer blocks"
            )
    return plan


def sizes(plan: list[dict[str, Any]], size: int) -> list[int]:
    """Return how many positions each block of a plan, as a configuration holds it, leaves of `size`."""
    left = []
    for layer in plan:
        size = ConvLayer(**layer).output_size(size)
        left.append(size)
    return left
