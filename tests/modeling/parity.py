"""The reference's weights, made by the formula of the fixtures' README, under our names and our base order."""

import zlib

import numpy as np
import torch
from chromhub.hub_models.asap_names import detect_architecture, to_chromhub


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
    state = {key: torch.from_numpy(formula_weight(key, shape, seed)) for key, shape in tensors.items()}
    return to_chromhub(state, detect_architecture(state))
