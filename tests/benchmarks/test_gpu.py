"""The script that measures a GPU: its parts run, and one that fails or hangs costs only itself."""

import argparse
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gpu = load("gpu")
PARTS = ("facts", "correctness", "throughput", "whole_job", "kernels", "train")


def options(output, **values):
    return argparse.Namespace(device="cpu", dry_run=True, output=output, train=None, **values)


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Two parts: one measures and then fails, one hangs with a child of its own."""
    folder = tmp_path / "gpu_parts"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    measured = "import json, sys\nfrom pathlib import Path\n"
    measured += "Path(sys.argv[sys.argv.index('--result') + 1]).write_text(json.dumps({'line': 'half done'}))\n"
    (folder / "broken.py").write_text(measured + "for i in range(30):\n    print(f'line {i}')\nsys.exit(3)\n")
    (folder / "hangs.py").write_text(measured + "import subprocess\nsubprocess.run(['sleep', '600'])\n")
    monkeypatch.setattr(gpu, "HERE", tmp_path)
    return tmp_path


def test_a_part_that_fails_is_reported_with_its_last_lines(parts):
    found = gpu.run_part("broken", options(parts), seconds=60)
    assert (found["failed"], found["line"]) == ("exit status 3", "half done")
    assert found["last_lines"] == [f"line {i}" for i in range(10, 30)]
    assert "broken" in gpu.line("broken", found)
    assert "FAILED, exit status 3; half done" in gpu.line("broken", found)


def test_a_part_that_hangs_is_ended(parts):
    found = gpu.run_part("hangs", options(parts), seconds=3)
    assert (found["failed"], found["line"]) == ("it ran past its 3 s", "half done")
    assert found["seconds"] < 20


def test_the_command_line_is_held():
    refused = subprocess.run([sys.executable, ROOT / "benchmarks/gpu.py", "--parts", "facts,all"], capture_output=True)
    assert refused.returncode == 2
    assert b"--parts must be of facts, correctness, throughput, whole_job, kernels, train, got all" in refused.stderr
    assert gpu.refusal(argparse.Namespace(device="cpu", dry_run=False)).endswith("add --dry-run")
    assert gpu.refusal(argparse.Namespace(device="cpu", dry_run=True)) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_sentence(tmp_path):
    command = [sys.executable, ROOT / "benchmarks/gpu.py", "-o", tmp_path / "out"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: this machine has no GPU that torch can use: run it on one that has")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_dry_run_goes_through_every_part(tmp_path):
    command = [sys.executable, ROOT / "benchmarks/gpu.py", "--dry-run", "--device", "cpu", "--minutes", "5"]
    result = subprocess.run([*command, "-o", tmp_path / "out"], capture_output=True, text=True)
    found = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert {part: found[part].get("last_lines") for part in PARTS} == dict.fromkeys(PARTS)
    assert result.returncode == 0, result.stdout
    assert [line.split(" ")[0] for line in result.stdout.splitlines()] == list(PARTS)
    assert found["correctness"]["passed"] > 5
    assert found["throughput"]["presets"]["convnext-dcnn-tiny"]["eager"]["step float32"]["median"] > 0
    assert found["whole_job"]["score"]["per_second"] > 0
    assert {path.name for path in (tmp_path / "out" / "train").iterdir()} == {
        "config.json", "history.json", "metrics.json", "model.safetensors", "provenance.json", "recipe.yaml",
    }  # fmt: skip


def test_the_table_says_what_a_card_did(monkeypatch):
    render = load("render_readme")
    assert render.gpu().startswith("Not measured yet") or (ROOT / "benchmarks/results/gpu.json").exists()
    # 400 windows/s of 6 GFLOP are 2.4 TFLOP/s, 3 % of 80; a step is three passes: 100 x 18 GFLOP, 1.8 of 80, 2 %
    way = {"evaluation bf16": {"median": 400.0}, "step bf16": {"median": 100.0}, "batch": 64}
    theirs = {"reference evaluation": {"median": 100.0}, "reference step": {"median": 50.0}}
    results = {
        "facts": {"card": {"name": "A card"}, "product_tflops": {"bf16": {"median": 80.0}}, "versions": {"torch": "3"}},
        "correctness": {"passed": 9, "failures": [1]},
        "throughput": {"presets": {"dcnn": {"gflop": 6.0, "eager": {**way, **theirs}, "compiled": {"failed": "why"}}}},
        "whole_job": {"chromosome": {"bp": 83e6, "seconds": 2.0, "ratio": 60.0}, "score": {"per_second": 1000.0}},
    }
    monkeypatch.setattr(render, "read", lambda name: results)
    text = render.gpu()
    assert "A card, torch 3. Matrix products: bf16 80 TFLOP/s. Tests on the card: 9 passed, 1 failed." in text
    assert "| dcnn | evaluation bf16, eager, batch 64 | 400 | 3% | 4.0x |" in text
    assert "| dcnn | step bf16, eager, batch 64 | 100 | 2% | 2.0x |" in text
    assert "* 83 Mb to bigWig, both strands: 2.0 s, 60x the 120 s stated" in text
    assert "1,000 variants/s" in text
