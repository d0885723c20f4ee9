"""Fixtures for every test, and a world without a network.

huggingface_hub and transformers read their environment when they are imported. So the stand-in for the Hub starts, and
the environment is set, at the top of this file, before anything can import them: whatever a test asks of "the Hub"
goes to 127.0.0.1. pytest-socket (in pyproject's addopts) blocks every other connection. Each pytest-xdist worker
imports this file and so has a server and a cache of its own.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .hub_server import FakeHub

if TYPE_CHECKING:
    import torch
    from chromhub.modeling import AtacForTrackPrediction

for _early in ("huggingface_hub", "transformers", "torch"):
    assert _early not in sys.modules, f"{_early} was imported before tests/conftest.py could set its environment"

for _name in list(os.environ):
    if _name.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "CHROMHUB_")) and _name != "CHROMHUB_SHARED":
        del os.environ[_name]
_HUB = FakeHub().start()
_HOME = tempfile.mkdtemp(prefix="chromhub-tests-")
os.environ |= {
    "HF_ENDPOINT": _HUB.url,
    "HF_HOME": _HOME,
    "HF_TOKEN": "any-word-will-do",
    "HF_HUB_DISABLE_XET": "1",  # the server speaks plain LFS
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "OMP_NUM_THREADS": "1",  # several workers share the cores, and one thread sums in one order
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "NO_COLOR": "1",  # plain help and error text, not wrapped
    "TERM": "dumb",
    "COLUMNS": "200",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let tests marked `gpu` be tried without a card, so that a typo in one costs no time on it."""
    parser.addoption("--gpu-device", default="cuda", help="where tests marked gpu compute: cuda, or cpu to try them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` where there is no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked or config.getoption("--gpu-device") != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs a CUDA device, and there is none; --gpu-device cpu tries it on the CPU")
        for item in marked:
            item.add_marker(skip)


def pytest_unconfigure() -> None:
    """Stop the server and delete the cache."""
    _HUB.stop()
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture
def hub() -> FakeHub:
    """Return the Hub's stand-in, without repositories and with an empty `log`."""
    _HUB.repos.clear()
    _HUB.log.clear()
    return _HUB


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with real data and reference values beside the checkout, or the one CHROMHUB_SHARED names."""
    folder = Path(os.environ.get("CHROMHUB_SHARED") or Path(__file__).parents[2] / "shared")
    if not folder.is_dir():
        pytest.skip(f"needs real data or reference values in {folder} (or CHROMHUB_SHARED), which does not exist")
    return folder


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> "torch.device":
    """Return where tests marked `gpu` compute, see `--gpu-device`."""
    import torch

    return torch.device(request.config.getoption("--gpu-device"))


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Give every test the same random numbers, whatever ran before it."""
    import random

    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - transformers and peft draw from it
    torch.manual_seed(0)


@pytest.fixture
def tiny_model() -> "AtacForTrackPrediction":
    """Return a seeded tiny model in evaluation mode that no test shares.

    GRN starts as a no-op and batch norm with mean 0, variance 1; here they are random, so that a part left out of a
    file, a fast path or an adapter changes the output.
    """
    import torch
    from chromhub.modeling import AtacConfig, AtacForTrackPrediction

    model = AtacForTrackPrediction(AtacConfig.from_preset("convnext-dcnn-tiny"))
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if name.endswith(("grn.gamma", "grn.beta", "running_mean")):
            tensor.normal_(std=0.1, generator=generator)
        elif name.endswith(("running_var", "norm.weight")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif name == "head.weight":
            tensor.normal_(std=0.5, generator=generator)  # so that bins differ by more than rounding
    return model.eval()
