"""`chromhub train` and `chromhub finetune` as a user starts, interrupts, kills and resumes them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from chromhub.cli import app
from safetensors.torch import load_file
from typer.testing import CliRunner

from ..finetune.small_store import small_store

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "store"
    small_store(folder)
    return folder


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "chromhub", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CHROMHUB_NO_MALLOPT": "1"},
        # A shell starts background jobs with Ctrl-C ignored, and so their children, however deep.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def wait_for(process, path):
    """Wait until a file is there."""
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.timeout(300)
def test_interrupted_killed_and_resumed_it_ends_the_same(data, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    # 57 windows in steps of 4: 15 an epoch, 45 in all; checkpoints every 4, so most lie within an epoch.
    options = ["--data", data, "--preset", "convnext-dcnn-tiny", "--max-jitter", 256, "--batch-size", 4]
    options += ["--epochs", 3, "--save-steps", 4, "--device", "cpu", "--threads", 1]
    uninterrupted = start("train", *options, "-o", whole, "--json")

    first = start("train", *options, "-o", cut)
    wait_for(first, cut / "checkpoints" / "checkpoint-8" / "trainer_state.json")
    first.send_signal(signal.SIGINT)
    code, _, err = finish(first)
    assert code == 130
    assert f"go on with: --resume -o {cut}" in err
    assert "Traceback" not in err
    assert [path.name for path in cut.iterdir() if path.name != ".run.lock"] == ["checkpoints"]

    again = start("train", *options, "-o", cut)
    code, _, err = finish(again)
    assert code == 2
    assert "holds an unfinished run; go on with --resume" in err

    second = start("train", "-o", cut, "--resume", "--threads", 1, "--device", "cpu")
    wait_for(
        second, cut / "checkpoints" / "checkpoint-24" / "model.safetensors"
    )  # killed while it writes 24, or soon after
    second.kill()
    finish(second)
    assert [path.name for path in cut.iterdir() if path.name != ".run.lock"] == ["checkpoints"]

    code, out, err = finish(
        start("train", "-o", cut, "--resume", "--num-workers", 1, "--threads", 1, "--device", "cpu", "--json")
    )
    assert code == 0, err
    assert json.loads(out)["resumed_from"] >= 20
    code, out, err = finish(uninterrupted)
    assert code == 0, err
    assert json.loads(out)["steps"] == 45
    ours, theirs = load_file(cut / "model.safetensors"), load_file(whole / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)
    assert (cut / "history.json").read_bytes() == (whole / "history.json").read_bytes()
    assert not (cut / "checkpoints").exists()


def test_train_then_finetune(data, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"max_jitter": 256, "batch_size": 32, "epochs": 1, "windows": {"stride": 2048}}))
    common = ["--data", str(data), "--recipe", str(recipe), "--device", "cpu"]
    result = RUNNER.invoke(
        app,
        [
            "train",
            *common,
            "--preset",
            "dcnn-tiny",
            "-o",
            str(tmp_path / "base"),
            "--set",
            "windows.fraction=0.5",
            "--json",
        ],
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["windows"]["train"] == 15  # half of 1 + (60,000 - 2,560) // 2,048 = 29
    split = {"train": ["one"], "valid": ["two"], "test": ["three"]}
    small_store(tmp_path / "other", seed=1, genome="other", split=split)
    common = ["--data", str(tmp_path / "other"), "--recipe", str(recipe), "--device", "cpu", "--quiet"]
    result = RUNNER.invoke(
        app, ["finetune", *common, "--base", str(tmp_path / "base"), "--lora-r", "2", "-o", str(tmp_path / "run")]
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{tmp_path / 'run'}: Pearson ")
    assert result.stderr == ""
    written = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert (written["mode"], written["lora"]["r"], written["windows"]["stride"]) == ("lora", 2, 2048)
    start = ["finetune", "--data", str(tmp_path / "other"), "--base", str(tmp_path / "base"), "--device", "cpu"]
    steps = ["--max-steps", "1", "--max-windows", "8", "--set", "max_jitter=256", "-o", str(tmp_path / "unnamed")]
    result = RUNNER.invoke(app, [*start, *steps])
    assert result.exit_code == 0, result.output
    chosen = yaml.safe_load((tmp_path / "unnamed" / "recipe.yaml").read_text())["mode"]
    assert result.stderr.startswith(f"mode {chosen}: no mode was measured on models of signal")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "-o", "r", "--preset", "dcnn"], "'data' is missing"),
        (["train", "-o", "r", "--data", "none", "--preset", "dcnn"], "none is not a chromhub store"),
        (["train", "-o", "r", "--data", "d", "--preset", "dcnn", "--set", "epoch=3"], "did you mean 'epochs'?"),
        (["train", "-o", "r", "--data", "d", "--preset", "dcnn", "--set", "epochs"], "--set takes KEY=VALUE"),
        (["train", "-o", "r", "--data", "d", "--preset", "dcnn", "--device", "abacus"], "--device must be"),
        (
            ["train", "-o", "r", "--data", "d", "--preset", "claster-landscape", "--paper"],
            "--paper has the settings of Grover et al., who have no landscapes; leave it out",
        ),
        (["train", "-o", "r", "--resume"], "r holds no unfinished run to resume"),
        (["finetune", "-o", "r", "--data", "d"], "needs a base"),
        (
            ["finetune", "-o", "r", "--data", "d", "--base", "./none", "--mode", "lorra"],
            "'mode' must be valid, got 'lorra'",
        ),
        (["finetune", "-o", "r", "--recipe", "scratch.yaml"], "the recipe is of mode scratch; use `chromhub train`"),
        (["train", "-o", "r", "--recipe", "lora.yaml"], "the recipe is of mode lora; use `chromhub finetune`"),
        (["finetune", "-o", "r", "--recipe", "none.yaml", "--base", "b"], "none.yaml"),
    ],
)
def test_bad_input_ends_in_one_sentence(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scratch.yaml").write_text("data: d\npreset: dcnn\n")
    (tmp_path / "lora.yaml").write_text("data: d\nbase: b\n")
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_a_preset_that_does_not_exist(data, tmp_path):
    result = RUNNER.invoke(app, ["train", "--data", str(data), "--preset", "resnet", "-o", str(tmp_path / "r")])
    assert result.exit_code == 2
    assert "preset must be one of" in result.stderr
    assert not (tmp_path / "r").exists()
