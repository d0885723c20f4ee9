"""The reference's weights, made by the formula of the fixtures' README, under our names and our base order."""

import re
import zlib

import numpy as np
import torch

RENAMED = [
    (r"^init_conv\.dwconv\.", "stem.conv."),
    (r"^init_conv\.pwconv1\.", "stem.pointwise_in."),
    (r"^init_conv\.pwconv2\.", "stem.pointwise_out."),
    (r"^init_conv\.bn\.", "stem.norm."),
    (r"^init_conv\.", "stem."),
    (r"^core\.dconv_blocks\.(\d+)\.", r"core.blocks.\1.dilated."),
    (r"^core\.conv_blocks\.(\d+)\.", r"core.blocks.\1.pointwise."),
    (r"^core\.final_conv\.", "core.features."),
    (r"^core\.linear_out\.", "head."),
    (r"\.bn\.", ".norm."),
]
AGCT_TO_ACGT = [0, 2, 1, 3]


def formula_weight(key: str, shape: list[int], seed: int) -> np.ndarray:
    rng, leaf = np.random.default_rng([seed, zlib.crc32(key.encode())]), key.rsplit(".", 1)[-1]
    if leaf == "running_var":
        weight = rng.uniform(0.5, 1.5, shape)
    elif leaf == "gamma":
        weight = 0.5 * rng.standard_normal(shape)
    elif leaf == "beta" or (len(shape) == 1 and leaf != "weight"):
        weight = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1:
        weight = rng.uniform(0.5, 1.5, shape)
    else:
        weight = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return weight.astype(np.float32)


def reference_state(tensors: dict[str, list[int]], seed: int) -> dict[str, torch.Tensor]:
    state = {}
    for key, shape in tensors.items():
        weight = torch.from_numpy(formula_weight(key, shape, seed))
        if len(shape) == 3 and shape[1] == 4:  # the first convolution reads bases
            weight = weight[:, AGCT_TO_ACGT]
        name = key
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        state[name] = weight
    return state
