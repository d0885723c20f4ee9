"""Prove and measure the package on a GPU: one command, no network, a few minutes.

    make gpu                                             # with the wheels of `make gpu-wheels`
    python benchmarks/gpu.py --minutes 8 -o out/gpu [--parts facts,correctness] [--train RECIPE DATA]
    python benchmarks/gpu.py --dry-run --device cpu --minutes 2 -o out/gpu   # tiny models, to try the script itself

Parts, most valuable first, each in a process of its own with a time limit of its own, so that one that hangs or fails
costs only itself:

    facts        the card, the driver, versions, and what the card does at best: matrix products and copies
    correctness  the tests marked `gpu`
    throughput   windows a second of each preset, in each precision, eager and compiled, beside the reference package
    whole_job    training from a store, a chromosome to bigWig, variants to scores
    kernels      the kernels that a training step spends its time in
    train        with --train: trains a recipe in the time that is left, evaluates, keeps weights and metrics

OUT/gpu.json is rewritten after each part and a line printed. A part that failed is there with its last 20 lines, and
with what it had measured by then.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SHARES = {"facts": 0.05, "correctness": 0.3, "throughput": 0.4, "whole_job": 0.18, "kernels": 0.07, "train": 1.0}
LAST_LINES = 20


def run_part(name: str, options: argparse.Namespace, *, seconds: float) -> dict[str, Any]:
    """Run one part and return what it measured, with `failed` and `last_lines` where it did not end well."""
    with tempfile.TemporaryDirectory(prefix="chromhub-gpu-") as scratch:
        result, log = Path(scratch) / "result.json", Path(scratch) / "log"
        words = [
            "--device",
            options.device,
            "--seconds",
            f"{seconds:.0f}",
            "--scratch",
            scratch,
            "--result",
            str(result),
        ]
        words += ["--out", str(options.output.resolve())]
        words += ["--dry-run"] if options.dry_run else []
        words += ["--train", *options.train] if name == "train" else []
        path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
        started, failed = time.monotonic(), None
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"gpu_parts.{name}", *words],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout=seconds)
                failed = f"exit status {code}" if code else None
            except subprocess.TimeoutExpired:
                _end(process)
                failed = f"it ran past its {seconds:.0f} s"
        found: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {}
        found["seconds"] = round(time.monotonic() - started, 1)
        if failed is not None:
            lines = log.read_text(errors="replace").splitlines()
            found |= {"failed": failed, "last_lines": lines[-LAST_LINES:]}
        return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a part and the processes that it started."""
    import signal

    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def line(name: str, found: dict[str, Any]) -> str:
    """Return what is printed of a part."""
    said = found.get("line", "nothing was measured")
    failed = f"FAILED, {found['failed']}; " if "failed" in found else ""
    return f"{name} ({found['seconds']:.0f} s): {failed}{said}"


def refusal(options: argparse.Namespace) -> str | None:
    """Return why nothing can be measured here, in one sentence."""
    if importlib.util.find_spec("torch") is None:
        return f"{sys.executable} has no torch: use a Python that has it"
    if options.device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            return (
                "this machine has no GPU that torch can use: run it on one that has, or try the script with "
                "--dry-run --device cpu"
            )
    elif not options.dry_run:
        return f"--device {options.device}: the full-size models are for a GPU; add --dry-run"
    return None


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/gpu"), help="folder of gpu.json")
    parser.add_argument("--parts", default=",".join(SHARES), help="some of them, by commas")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dry-run", action="store_true", help="tiny models and few rounds: tries the script")
    parser.add_argument("--train", nargs=2, metavar=("RECIPE", "DATA"), help="YAML file and store of the part `train`")
    parser.add_argument("--check", action="store_true", help="only say whether this machine can be measured")
    options = parser.parse_args()
    options.parts = [part for part in options.parts.split(",") if part]
    if unknown := set(options.parts) - set(SHARES):
        parser.error(f"--parts must be of {', '.join(SHARES)}, got {', '.join(sorted(unknown))}")
    return options


def main() -> int:
    """Run the parts; 0 where all ended well."""
    options = parse()
    if (why := refusal(options)) is not None:
        print(f"error: {why}", file=sys.stderr)
        return 2
    if options.check:
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    target, end = options.output / "gpu.json", time.monotonic() + 60 * options.minutes
    results: dict[str, Any] = {"command": " ".join(sys.argv[1:]), "dry_run": options.dry_run, "device": options.device}
    wanted = [name for name in options.parts if name != "train" or options.train or options.dry_run]
    if options.dry_run and not options.train:
        options.train = ["dry-run", "dry-run"]
    for i, name in enumerate(wanted):
        # What earlier parts left over is shared out among those to come.
        shares = [SHARES[part] for part in wanted[i:]]
        seconds = max(10.0, (end - time.monotonic()) * shares[0] / sum(shares))
        if options.dry_run:  # on a CPU that may be busy, and whose time costs nothing
            seconds = 60 * options.minutes
        results[name] = run_part(name, options, seconds=seconds)
        partial = target.with_suffix(".partial")
        partial.write_text(json.dumps(results, indent=1) + "\n")
        partial.replace(target)
        print(line(name, results[name]), flush=True)
    return int(any("failed" in results[name] or results[name].get("wrong") for name in wanted))


if __name__ == "__main__":
    sys.exit(main())
