"""A training step of the landscape models on this machine's CPU, float32 against bfloat16.

    python benchmarks/claster_step.py [--preset NAME ...] [--batch-size 64] [--rounds 5] [--threads 2] [--json]

A step is forward, SmoothL1 loss, backward and AdamW, as `chromhub train` does them, with the commands' allocator
setting. Both precisions take turns in one process, on the same random landscapes, each with its own copy of one model;
each ratio is float32 / bfloat16 of one round, and the median over rounds is printed with its range; processor time,
which other work on the machine moves less, lies beside it. Before anything is
timed, loss and predictions in bfloat16 are set beside those in float32 (dropout off).
"""

import argparse
import copy
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from chromhub.inference.cpu import prepare_cpu
from chromhub.modeling import CLASTER_PRESETS, ClasterConfig, ClasterForProfileRegression
from torch import Tensor
from zoo import processor

RESULTS = Path(__file__).parent / "results" / "claster_step.json"
PRESETS = ("claster-landscape", "claster")
KINDS = {"float32": False, "bfloat16": True}


def batch(config: ClasterConfig, size: int) -> dict[str, Tensor]:
    """Return random landscapes, contact maps and labels."""
    torch.manual_seed(0)
    names = ("inputs", "contact_map")
    inputs = {name: torch.rand(size, *branch.shape) for name, branch in zip(names, config.branches, strict=False)}
    return {**inputs, "labels": torch.rand(size, config.num_tracks, config.num_bins)}


def step(model: ClasterForProfileRegression, optimizer: Any, inputs: dict[str, Tensor], *, bf16: bool) -> None:
    """Train one step."""
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = model(**inputs).loss
    loss.backward()
    optimizer.step()


def differences(model: ClasterForProfileRegression, inputs: dict[str, Tensor]) -> dict[str, float]:
    """Return how far bfloat16 moves loss and standardised predictions, relative to float32's."""
    model.eval()
    found = {}
    for kind, bf16 in KINDS.items():
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found[kind] = model(**inputs)
    model.train()
    one, other = found["float32"], found["bfloat16"]
    moved = (other.logits.float() - one.logits).abs().max() / one.logits.abs().max()
    return {"loss": abs(float(other.loss) / float(one.loss) - 1), "predictions": float(moved)}


def measure(preset: str, *, size: int, rounds: int) -> dict[str, Any]:
    """Time both precisions of one model."""
    torch.manual_seed(0)
    model = ClasterForProfileRegression(ClasterConfig.from_preset(preset))
    inputs = batch(model.config, size)
    moved = differences(model, {name: tensor[:8] for name, tensor in inputs.items()})
    models = {kind: copy.deepcopy(model).train() for kind in KINDS}
    optimizers = {kind: torch.optim.AdamW(m.parameters(), lr=1e-4, weight_decay=1e-4) for kind, m in models.items()}
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    processor_seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for i in range(rounds + 1):  # the first does not count
        for kind, bf16 in KINDS.items():
            start, used = time.perf_counter(), time.process_time()
            step(models[kind], optimizers[kind], inputs, bf16=bf16)
            if i:
                seconds[kind].append(time.perf_counter() - start)
                processor_seconds[kind].append(time.process_time() - used)
    ratios = [a / b for a, b in zip(seconds["float32"], seconds["bfloat16"], strict=True)]
    return {
        "parameters": model.num_parameters(),
        "batch_size": size,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": processor(),
        "bfloat16_moves": moved,
        "seconds": {kind: statistics.median(times) for kind, times in seconds.items()},
        "processor_seconds": {kind: statistics.median(times) for kind, times in processor_seconds.items()},
        "ratio": statistics.median(ratios),
        "range": [min(ratios), max(ratios)],
    }


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", action="append", choices=list(CLASTER_PRESETS), help="repeatable")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    prepare_cpu(arguments.threads)
    for preset in arguments.preset or PRESETS:
        found = measure(preset, size=arguments.batch_size, rounds=arguments.rounds)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({**results, preset: found}, indent=2) + "\n")
        if not arguments.json:
            seconds = ", ".join(f"{kind} {value:.3f} s" for kind, value in found["seconds"].items())
            low, high = found["range"]
            print(f"{preset}: {seconds}: {found['ratio']:.2f}x ({low:.2f}-{high:.2f})", flush=True)
    if arguments.json:
        print(RESULTS.read_text())


if __name__ == "__main__":
    main()
