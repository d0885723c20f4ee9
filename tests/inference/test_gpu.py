"""What the package does on CUDA alone, seen without a card: torch says there is one, nothing runs on it."""

import subprocess
import sys

import pytest
import torch
from chromhub.inference.cpu import computing, device_name, pick_device
from chromhub.inference.gpu import check_processes, float32_products, out_of_memory, precision_name, use_bf16
from chromhub.inference.ranks import find_ranks

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
KINDS = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)


@pytest.fixture
def one_gpu(monkeypatch):
    """A machine with one GPU, as far as torch tells."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))


def rounded():
    """Whether matrix products, convolutions and LSTMs are rounded."""
    found = [kind.fp32_precision == "tf32" for kind in KINDS]
    # PyTorch and its compiler read the older names too, which raise where they say something else
    assert torch.backends.cuda.matmul.allow_tf32 == found[0] == (torch.get_float32_matmul_precision() == "high")
    assert torch.backends.cudnn.allow_tf32 == found[1] == found[2]
    return found


# CUDA branch: inference/gpu.py use_bf16
def test_bfloat16_is_the_default_of_cards_that_have_it(one_gpu, monkeypatch):
    assert (use_bf16(CUDA), use_bf16(CPU), use_bf16(torch.device("mps"))) == (True, False, False)
    assert (use_bf16(CUDA, False), use_bf16(CPU, True)) == (False, True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    assert not use_bf16(CUDA)


# CUDA branch: inference/gpu.py float32_products
def test_float32_is_rounded_or_not_and_then_as_it_was():
    before = rounded()
    assert before == [False, True, True]  # PyTorch's own
    with float32_products(CPU, rounded=True):
        assert rounded() == before
    with float32_products(CUDA, rounded=True):
        assert rounded() == [True] * 3
        with float32_products(CUDA, rounded=False):
            assert rounded() == [False] * 3
        assert rounded() == [True] * 3
    assert rounded() == before
    with pytest.raises(KeyError), float32_products(CUDA, rounded=True):
        raise KeyError
    assert rounded() == before


def test_float32_is_exact_whatever_holds_for_all_backends(monkeypatch):
    monkeypatch.setattr(torch.backends, "fp32_precision", "tf32")  # as transformers sets it with compile
    with float32_products(CUDA, rounded=False):
        assert [kind.fp32_precision for kind in KINDS] == ["ieee"] * 3


# CUDA branch: inference/gpu.py precision_name
def test_the_device_line_says_how_numbers_are_rounded():
    assert precision_name(CUDA, bf16=True) == ", bf16 and TF32 (--no-bf16 for float32)"
    assert precision_name(CUDA, bf16=False) == ", float32"
    assert (precision_name(CPU, bf16=True), precision_name(CPU, bf16=False)) == (", bf16", "")


def test_running_out_of_memory_is_one_sentence():
    sentence = r"^the GPU is out of memory: predict fewer windows at once \(a lower --batch"
    with pytest.raises(ValueError, match=sentence), computing(CPU, bf16=False):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    with pytest.raises(RuntimeError, match=r"^another"), out_of_memory("no remedy"):
        raise RuntimeError("another")


# CUDA branch: inference/cpu.py pick_device
def test_another_gpu_than_there_is(one_gpu):
    assert (pick_device(), pick_device("cuda:0")) == (CUDA, torch.device("cuda:0"))
    with pytest.raises(ValueError, match=r"^--device cuda:1: this machine has 1 CUDA devices; use --device cuda:0 or"):
        pick_device("cuda:1")


# CUDA branch: inference/ranks.py find_ranks
def test_two_processes_on_one_gpu_are_refused(one_gpu, monkeypatch):
    check_processes()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    sentence = "2 processes were started on this machine, each needs a GPU of its own and it has 1: start 1, or add"
    for refused in (check_processes, find_ranks, lambda: find_ranks("cuda")):
        with pytest.raises(ValueError, match=sentence):
            refused()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_processes()


# CUDA branch: inference/cpu.py device_name
@pytest.mark.gpu
def test_the_same_sentences_from_the_card_itself(device):
    found = pick_device(None if device.type == "cuda" else "cpu")
    assert found.type == device.type
    assert device_name(found).startswith(f"{device.type} (")
    if device.type == "cuda":
        with pytest.raises(ValueError, match=r"--device cuda:99: this machine has \d+ CUDA devices"):
            pick_device("cuda:99")
        with pytest.raises(ValueError, match="out of memory: predict fewer"), computing(device, bf16=True):
            torch.empty(1 << 50, dtype=torch.uint8, device=device)


@pytest.mark.gpu
def test_products_are_as_exact_as_was_asked(device):
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(512, 512, generator=generator) for _ in range(2))
    exact = left.double() @ right.double()

    def error(bf16):
        with computing(device, bf16=bf16):
            found = (left.to(device) @ right.to(device)).double().cpu()
        return float((found - exact).norm() / exact.norm())

    assert error(False) < 1e-6
    assert 1e-3 < error(True) < 1e-2
    with float32_products(device, rounded=True):
        rounded = float(((left.to(device) @ right.to(device)).double().cpu() - exact).norm() / exact.norm())
    assert rounded < 1e-3
    if device.type == "cuda":
        assert rounded > 1e-5


@pytest.mark.gpu
@pytest.mark.enable_socket
def test_two_processes_on_one_card_end_in_a_sentence(device, tmp_path):
    if device.type == "cuda" and torch.cuda.device_count() > 1:
        pytest.skip("this machine has a GPU for each")
    code = "from chromhub.inference.ranks import find_ranks; print(find_ranks())"
    script = tmp_path / "ranks.py"
    script.write_text(f"import sys\ntry:\n    {code}\nexcept ValueError as error:\n    sys.exit(str(error))\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200)
    if device.type == "cuda":
        assert result.returncode != 0
        assert "2 processes were started on this machine, each needs a GPU of its own and it has 1" in result.stderr
    else:
        assert result.stdout.count("size=2") == 2, result.stderr
