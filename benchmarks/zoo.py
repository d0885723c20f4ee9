"""Every published preset against the reference package, with the same weights, on this machine's CPU.

    pip install --no-deps atac-asap xlstm
    python benchmarks/zoo.py [--quick] [--preset NAME ...] [--batch-size 64] [--rounds 5] [--json]

First outputs and gradients are shown equal (dropout off). Then forward passes and training steps (loss, backward,
AdamW) are timed: the reference as shipped; the reference with the allocator setting of our commands (`prepare_cpu`),
which is the comparison like for like; and ours. Each runs in a process of its own, since that setting is a process's;
one at a time, in turn, round by round. A ratio is reference / ours of the same round; the median over rounds is printed
with its range. The reference computes in float32, as it ships; its xLSTM needs CUDA, so here its layers' plain backend
runs.

`--quick` takes three rounds, batch 16, and batch 64 for convnext-dcnn. Presets without a counterpart in the reference
(conv-transformer, conv-xlstm, the sizes) have nothing to be compared with.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import multiprocessing
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from chromhub.hub_models.asap_names import AGCT_TO_ACGT, to_chromhub
from chromhub.inference.cpu import prepare_cpu
from chromhub.modeling import AtacConfig, AtacForTrackPrediction
from torch import Tensor, nn

RESULTS = Path(__file__).parent / "results" / "zoo.json"
CLASSES = {
    "cnn": "VanillaCNN",
    "lstm": "CNN_LSTM",
    "dcnn": "DilatedCNN",
    "convnext-cnn": "ConvNeXtCNN",
    "convnext-lstm": "ConvNeXtLSTM",
    "convnext-dcnn": "ConvNeXtDCNN",
    "convnext-transformer": "ConvNextTransformer",
    "convnext-xlstm": "ConvNeXt_XLSTM",
}
VARIANTS = ("as shipped", "our allocator", "ours")
# What is timed of ours, and the reference's measure that it is set against.
MEASURES = {
    "forward float32": "forward float32",
    "forward float32, target only": "forward float32",
    "forward bfloat16": "forward float32",
    "forward bfloat16, target only": "forward float32",
    "step float32": "step float32",
    "step bfloat16": "step float32",
}


def reference(preset: str) -> nn.Module:
    """Return the reference's model, its every parameter random: GRN and residual blocks start as the identity."""
    warnings.simplefilter("ignore")
    if preset == "convnext-xlstm":
        module = importlib.import_module("asap.models.xlstm")
        layer = module.sLSTMLayerConfig
        module.sLSTMLayerConfig = lambda **fields: layer(**{**fields, "backend": "vanilla"})
    else:
        module = importlib.import_module("asap.models")
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its configuration
        model = getattr(module, CLASSES[preset])()
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var") or (name.endswith("bn.weight")):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("gamma", "beta")):
            tensor.normal_(std=0.3)
    return model


def ours(preset: str, theirs: nn.Module) -> AtacForTrackPrediction:
    """Return our model with the reference's weights."""
    model = AtacForTrackPrediction(AtacConfig.from_preset(preset))
    state = to_chromhub(kept(theirs.state_dict()), preset)
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        raise SystemExit(f"{preset}: the weights do not fit: {missing} {unexpected}")
    return model


def kept(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out the reference's buffers that hold no trained number."""
    dropped = ("num_batches_tracked", "div_term", "causal_mask")
    return {name: tensor for name, tensor in state.items() if not name.endswith(dropped)}


def windows(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return random codes (B, 2048), the reference's one-hot (B, 2048, 4) of them, and signal (B, 1, 512)."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 4, (size, 2048), dtype=torch.uint8, generator=generator)
    one_hot = torch.eye(4)[codes.long()][..., AGCT_TO_ACGT]
    return codes, one_hot, torch.rand(size, 1, 512, generator=generator) * 5


def reference_loss(outputs: Tensor, signal: Tensor) -> Tensor:
    """Return the loss that the reference trains with."""
    return nn.functional.poisson_nll_loss(outputs.squeeze(-1), torch.log1p(signal[:, 0]), log_input=False, full=False)


def differences(preset: str) -> dict[str, float]:
    """Compare outputs (largest difference) and gradients (norm of the difference over the norm), dropout off."""
    theirs = reference(preset)
    model = ours(preset, theirs)
    codes, one_hot, signal = windows(2)
    with torch.no_grad():
        expected = theirs.eval()(one_hot).squeeze(-1)
        outputs = model.eval().predict(codes)[:, 0]
        centre = model.predict(codes, target_only=True)[:, 0]
        with torch.autocast("cpu", torch.bfloat16):
            half = model.predict(codes)[:, 0]
    for module in [*theirs.modules(), *model.modules()]:
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0  # of attention weights
    reference_loss(theirs.train()(one_hot), signal).backward()
    model.train()(codes, labels=signal).loss.backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    expected_gradients = to_chromhub(kept({name: grad for name, grad in gradients.items() if grad is not None}), preset)
    pairs = [(parameter.grad, expected_gradients[name]) for name, parameter in model.named_parameters()]
    difference = sum(float((a - b).square().sum()) for a, b in pairs) / sum(float(b.square().sum()) for _, b in pairs)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "max_difference": float((outputs - expected).abs().max()),
        "max_difference_target_only": float((centre - expected[:, 128:384]).abs().max()),
        "bfloat16_pearson": float(torch.corrcoef(torch.stack([half.flatten(), expected.flatten()]))[0, 1]),
        "gradient_difference": difference**0.5,
    }


def processor() -> str:
    """Name the processor: ratios depend on it, e.g. on whether it has matrix units for bfloat16 (AMX)."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    has_amx = any("amx_bf16" in line for line in lines if line.startswith("flags"))
    return name + (", AMX bfloat16" if has_amx else ", no AMX")


def timed(run: Callable[[], Any], *, repeats: int) -> float:
    """Return the median of `repeats` runs after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def measure(preset: str, variant: str, size: int, threads: int) -> dict[str, float]:
    """Time every measure of one variant, in seconds."""
    torch.set_num_threads(threads)
    if variant != "as shipped":
        prepare_cpu(threads)
    theirs = reference(preset)
    codes, one_hot, signal = windows(size)
    model: Any = ours(preset, theirs) if variant == "ours" else theirs
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)

    def forward(*, bf16: bool = False, target_only: bool = False) -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            model.predict(codes, target_only=target_only) if variant == "ours" else model(one_hot)

    def step(*, bf16: bool = False) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(codes, labels=signal).loss if variant == "ours" else reference_loss(model(one_hot), signal)
        loss.backward()
        optimizer.step()

    model.eval()
    times = {"forward float32": timed(forward, repeats=2)}
    if variant == "ours":
        times["forward float32, target only"] = timed(lambda: forward(target_only=True), repeats=2)
        times["forward bfloat16"] = timed(lambda: forward(bf16=True), repeats=2)
        times["forward bfloat16, target only"] = timed(lambda: forward(bf16=True, target_only=True), repeats=2)
    model.train()
    times["step float32"] = timed(step, repeats=1)
    if variant == "ours":
        times["step bfloat16"] = timed(lambda: step(bf16=True), repeats=1)
    return times


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function in a fresh process and return what it returns."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def compare(preset: str, *, size: int, rounds: int, threads: int) -> dict[str, Any]:
    """Check and time one preset."""
    result: dict[str, Any] = {
        **in_own_process(differences, preset),
        "batch_size": size,
        "rounds": rounds,
        "threads": threads,
        "torch": torch.__version__,
        "machine": processor(),
    }
    if max(result["max_difference"], result["max_difference_target_only"], result["gradient_difference"]) > 1e-4:
        raise SystemExit(f"{preset}: ours and the reference differ, no timing is worth anything: {result}")
    seconds: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant in VARIANTS:
            seconds[variant].append(in_own_process(measure, preset, variant, size, threads))
    result["measures"] = {}
    for name, against in MEASURES.items():
        row: dict[str, Any] = {"seconds": statistics.median(times[name] for times in seconds["ours"])}
        for variant in VARIANTS[:2]:
            ratios = [
                theirs[against] / mine[name] for theirs, mine in zip(seconds[variant], seconds["ours"], strict=True)
            ]
            row[variant] = {"ratio": statistics.median(ratios), "range": [min(ratios), max(ratios)]}
        result["measures"][name] = row
    return result


def line(preset: str, result: dict[str, Any]) -> str:
    """Return what is printed of one preset."""
    lines = [
        f"{preset}: {result['parameters']:,} parameters, batch {result['batch_size']}, {result['threads']} threads; "
        f"largest difference {result['max_difference']:.0e}, gradients {result['gradient_difference']:.0e}"
    ]
    for name, row in result["measures"].items():
        ratios = [
            f"{row[variant]['ratio']:6.2f}x ({row[variant]['range'][0]:.2f}-{row[variant]['range'][1]:.2f}) {variant}"
            for variant in VARIANTS[:2]
        ]
        lines.append(f"  {name:30s} {row['seconds']:7.2f} s  {'  '.join(ratios)}")
    return "\n".join(lines)


def main() -> None:
    """Compare, print and write the results, preset by preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds; batch 16, and 64 for convnext-dcnn")
    parser.add_argument("--preset", action="append", choices=list(CLASSES), help="repeatable; all by default")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if importlib.util.find_spec("asap") is None:
        raise SystemExit("the reference is not installed: pip install --no-deps atac-asap xlstm")

    for preset in arguments.preset or CLASSES:
        size = arguments.batch_size or (16 if arguments.quick and preset != "convnext-dcnn" else 64)
        rounds = arguments.rounds or (3 if arguments.quick else 5)
        if preset == "convnext-xlstm" and importlib.util.find_spec("xlstm") is None:
            print("convnext-xlstm: left out, its reference is not installed: pip install --no-deps xlstm")
            continue
        result = compare(preset, size=size, rounds=rounds, threads=arguments.threads)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[preset] = result
        partial = RESULTS.with_suffix(".partial")
        partial.write_text(json.dumps({name: results[name] for name in CLASSES if name in results}, indent=1) + "\n")
        partial.replace(RESULTS)
        if not arguments.json:
            print(line(preset, result), flush=True)
    if arguments.json:
        print(RESULTS.read_text())


if __name__ == "__main__":
    main()
