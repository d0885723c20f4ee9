"""Training step of ConvNeXtDCNN: ours against the same layers written as the paper writes them, in one run.

The naive model shares our parameters; its block is the textbook one, its dropout PyTorch's. First the two are shown
equal (loss and gradients, dropout off); then their steps are timed in turn, each in a process of its own because
the heap setting of our commands (`prepare_cpu`) is a process's: naive float32 with PyTorch's defaults, naive with our
heap setting, ours in float32, ours in bfloat16. Ratios are naive / other, the median over rounds with its range.

    python benchmarks/train_step.py [--preset convnext-dcnn] [--batch-size 16] [--rounds 5] [--json]
"""

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from pathlib import Path

import torch
from chromhub.inference.cpu import prepare_cpu
from chromhub.modeling import AtacConfig, AtacForTrackPrediction
from chromhub.modeling.convnext_block import ConvNextBlock, GlobalResponseNorm
from chromhub.modeling.dropout import FastDropout
from torch import Tensor, nn

RESULTS = Path(__file__).parent / "results" / "train_step.json"
VARIANTS = ["naive float32", "naive float32, our heap", "ours float32", "ours bfloat16"]


class TextbookNorm(GlobalResponseNorm):
    """GRN as algorithm 1 of arXiv:2301.00808 prints it."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, L, H) to (B, L, H)."""
        norm = torch.norm(hidden, p=2, dim=1, keepdim=True)
        share = norm / (norm.mean(dim=-1, keepdim=True) + self.eps)
        return self.gamma * (hidden * share) + self.beta + hidden


class TextbookBlock(ConvNextBlock):
    """The block without its fast path."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, C_in, L) to (B, C, L)."""
        return self.plain_forward(inputs)


def make_naive(model: AtacForTrackPrediction) -> AtacForTrackPrediction:
    """Rewrite a model in place with textbook layers; parameters stay where they are."""
    for module in list(model.modules()):
        if isinstance(module, ConvNextBlock):
            module.__class__ = TextbookBlock
        elif isinstance(module, GlobalResponseNorm):
            module.__class__ = TextbookNorm
        elif isinstance(module, FastDropout):
            module.__class__ = nn.Dropout
    return model


def build(preset: str) -> AtacForTrackPrediction:
    """Return a seeded model whose GRN and residual blocks are not the identity."""
    torch.manual_seed(0)
    model = AtacForTrackPrediction(AtacConfig.from_preset(preset))
    for module in model.modules():
        if isinstance(module, GlobalResponseNorm):
            nn.init.normal_(module.gamma, std=0.5)
        elif isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


def batch(size: int) -> dict[str, Tensor]:
    """Return random windows and counts."""
    generator = torch.Generator().manual_seed(1)
    return {
        "inputs": torch.randint(0, 4, (size, 2048), dtype=torch.uint8, generator=generator),
        "labels": torch.rand(size, 1, 512, generator=generator) * 5,
    }


def largest_difference(preset: str) -> float:
    """Return the largest relative difference between our and the naive gradients (and loss), dropout off."""
    gradients = []
    for naive in (False, True):
        model = make_naive(build(preset)) if naive else build(preset)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        loss = model.train()(**batch(2)).loss
        loss.backward()
        gradients.append([loss.detach(), *(parameter.grad for parameter in model.parameters())])
    return max(((ours - naive).norm() / naive.norm()).item() for ours, naive in zip(*gradients, strict=True))


def serve(
    connection: multiprocessing.connection.Connection, variant: str, preset: str, size: int, threads: int
) -> None:
    """Time one training step at every request."""
    torch.set_num_threads(threads)
    if variant != "naive float32":
        prepare_cpu(threads)
    model = build(preset).train()
    if variant.startswith("naive"):
        make_naive(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    inputs = batch(size)

    def step() -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=variant.endswith("bfloat16")):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        return time.perf_counter() - start

    step()
    while connection.recv():
        connection.send(step())


def main() -> None:
    """Check, time, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="convnext-dcnn")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    difference = largest_difference(arguments.preset)
    if difference > 1e-4:
        raise SystemExit(f"ours and the naive model differ by {difference:.1e} (relative): no timing is worth anything")
    context = multiprocessing.get_context("spawn")
    workers = {}
    for variant in VARIANTS:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(theirs, variant, arguments.preset, arguments.batch_size, arguments.threads), daemon=True
        )
        process.start()
        workers[variant] = ours
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(arguments.rounds):
        for variant, connection in workers.items():  # one at a time, in turn
            connection.send(True)
            times[variant].append(connection.recv())
    for connection in workers.values():
        connection.send(False)

    ratios = {
        variant: [naive / other for naive, other in zip(times[VARIANTS[0]], seconds, strict=True)]
        for variant, seconds in times.items()
    }
    result = {
        "preset": arguments.preset,
        "batch_size": arguments.batch_size,
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "largest_relative_gradient_difference": difference,
        "variants": {
            variant: {
                "seconds_per_step": statistics.median(times[variant]),
                "speedup": statistics.median(ratios[variant]),
                "speedup_range": [min(ratios[variant]), max(ratios[variant])],
            }
            for variant in VARIANTS
        },
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(
        f"{arguments.preset}, batch {arguments.batch_size}, {arguments.threads} threads; "
        f"gradients agree to {difference:.0e}"
    )
    for variant, row in result["variants"].items():
        low, high = row["speedup_range"]
        print(f"{variant:26s} {row['seconds_per_step']:7.2f} s/step  {row['speedup']:5.2f}x ({low:.2f}-{high:.2f})")


if __name__ == "__main__":
    main()
