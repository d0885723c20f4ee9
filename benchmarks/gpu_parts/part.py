"""What every part of benchmarks/gpu.py shares: its options, its results as they come, and honest timing."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

ROUNDS = 5


@dataclass
class Part:
    """The options of a part, and what it has measured.

    Attributes:
        device: to measure.
        dry_run: tiny sizes.
        seconds: after which the process is ended.
        scratch: a folder that is deleted afterwards.
        out: the folder that is kept.
        result: the file of what was measured.
        train: recipe and data of the part `train`.
        found: what was measured.
    """

    device: torch.device
    dry_run: bool
    seconds: float
    scratch: Path
    out: Path
    result: Path
    train: list[str]
    found: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds until the process is ended."""
        return self.seconds - (time.monotonic() - self.started)

    def save(self, **values: Any) -> None:
        """Add to what was measured, and write it: what is there counts even if the part ends badly later."""
        self.found |= values
        self.result.write_text(json.dumps(self.found))

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def timed(self, run: Callable[[], Any], *, at_least: float) -> float:
        """Return the seconds of one run: as many in a row as take `at_least` seconds, after one that does not count."""
        run()
        count, took = 1, 0.0
        while True:
            self.synchronize()
            start = time.perf_counter()
            for _ in range(count):
                run()
            self.synchronize()
            took = time.perf_counter() - start
            if took >= at_least or self.dry_run:
                return took / count
            count = max(count + 1, int(1.2 * count * at_least / max(took, 1e-6)))

    def interleaved(
        self, ways: dict[str, Callable[[], Any]], *, at_least: float = 0.1, rounds: int = ROUNDS
    ) -> dict[str, list[float]]:
        """Time several ways in turn, round by round, so that a card that slows down slows all; seconds by way."""
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(2 if self.dry_run else rounds):
            for name, run in ways.items():
                seconds[name].append(self.timed(run, at_least=at_least))
        return seconds


def spread(seconds: list[float], amount: float = 1.0) -> dict[str, float]:
    """Return the median of `amount` a second over rounds, and its range."""
    rates = sorted(amount / each for each in seconds)
    return {"median": statistics.median(rates), "low": rates[0], "high": rates[-1]}


def main(measure: Callable[[Part], None]) -> None:
    """Run a part from its command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", type=torch.device, required=True)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--seconds", type=float, required=True)
    for name in ("scratch", "out", "result"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--train", nargs=2, default=[])
    part = Part(**vars(parser.parse_args()))
    if part.device.type == "cuda":
        torch.cuda.set_device(part.device)
    torch.set_flush_denormal(True)  # as our commands do, for what a CPU computes
    measure(part)
