import subprocess
import sys

import pytest
import torch
from chromhub.inference.cpu import bf16_warning, device_name, pick_device


def test_the_cpu_can_be_asked_for():
    assert pick_device("cpu") == torch.device("cpu")
    assert device_name(torch.device("cpu")) == f"cpu ({torch.get_num_threads()} threads)"


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(ValueError, match=f"--device.*{name}"):
        pick_device(name)


@pytest.mark.parametrize(("setting", "says"), [("", "heap reused"), ("1", "heap default")])
def test_prepare_cpu_flushes_denormals_and_says_what_it_did(setting, says):
    # In a process of its own: the settings are the process's.
    code = (
        "import torch; from chromhub.inference.cpu import bf16_warning, prepare_cpu\n"
        "print(prepare_cpu(1)); print((torch.tensor([1e-39]) * 1.0).item())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"CHROMHUB_NO_MALLOPT": setting}
    )
    description, product = result.stdout.split("\n")[:2]
    assert description.startswith("1 threads, heap ")
    if sys.platform == "linux":
        assert description == f"1 threads, {says}"
    assert float(product) == 0


@pytest.mark.parametrize(
    ("device", "capability", "slow"), [("cpu", "AVX2", True), ("cpu", "AVX512", False), ("cuda", "AVX2", False)]
)
def test_bfloat16_without_instructions_for_it_is_said_to_be_slow(device, capability, slow):
    warning = bf16_warning(torch.device(device), capability)
    assert (warning is not None and "slower than float32" in warning) == slow
