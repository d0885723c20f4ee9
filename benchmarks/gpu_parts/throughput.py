"""Windows a second of each preset: evaluation and training step, in each precision, eager and compiled.

Where the reference package is installed it is timed in the same rounds, as shipped, with the same weights, after its
outputs were shown equal. Jobs come in order of value, and what time is not left for is said.
"""

import copy
import importlib.util
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from chromhub.finetune.optimizer import build_optimizer
from chromhub.inference.cpu import computing
from chromhub.inference.gpu import float32_products
from chromhub.modeling import PRESETS, AtacConfig, AtacForTrackPrediction
from torch import Tensor, nn
from zoo import CLASSES, ours, reference, reference_loss, windows

from gpu_parts.flops import gflop
from gpu_parts.part import Part, main, spread

FIRST = ("convnext-dcnn", "convnext-transformer")
PRECISIONS = ("float32", "tf32", "bf16")
LARGEST = 4096
SECONDS = {"eager": 15.0, "largest": 15.0, "compiled": 90.0}  # that a job may take; it is left out where fewer are left


def precise(device: torch.device, precision: str) -> Any:
    """Return the context of a precision; "as shipped" changes nothing."""
    if precision == "as shipped":
        return nullcontext()
    return (
        float32_products(device, rounded=True) if precision == "tf32" else computing(device, bf16=precision == "bf16")
    )


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser that our training uses, which changes weights little."""
    return build_optimizer(model, learning_rate=1e-6, betas=(0.9, 0.95), weight_decay=0.1)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor], context: Any) -> None:
    """Take a training step."""
    model.train()
    optimizer.zero_grad()
    with context:
        value = loss()
    value.backward()
    optimizer.step()


class Preset:
    """A preset on the device, and the reference with its weights where there is one."""

    def __init__(self, part: Part, name: str) -> None:
        self.part, self.name = part, name
        self.reference: Any = None
        if name in CLASSES and importlib.util.find_spec("asap") is not None:
            try:
                self.reference = reference(name)
            except (ImportError, AttributeError, TypeError, ValueError) as error:
                part.found.setdefault("without_reference", {})[name] = f"{type(error).__name__}: {error}"
        plain = AtacForTrackPrediction(AtacConfig.from_preset(name))
        self.model: Any = ours(name, self.reference) if self.reference is not None else plain
        self.gflop = gflop(self.model.eval(), self.model.config.input_length)
        self.model.to(part.device)
        if self.reference is not None:
            self.reference.to(part.device)

    def batch(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return codes, the reference's one-hot and signal on the device."""
        codes, one_hot, signal = windows(size)
        return codes.to(self.part.device), one_hot.to(self.part.device), signal.to(self.part.device)

    def difference(self) -> float:
        """Return how far our outputs are from the reference's in float32, relative."""
        codes, one_hot, _ = self.batch(2)
        with torch.no_grad(), precise(self.part.device, "float32"):
            expected = self.reference.eval()(one_hot).squeeze(-1)
            found = self.model.eval().predict(codes)[:, 0]
        return float((found - expected).norm() / expected.norm())

    def ways(self, size: int, precisions: tuple[str, ...], *, model: Any = None) -> dict[str, Callable[[], Any]]:
        """Return what is timed of our model, by "evaluation PRECISION" and "step PRECISION"."""
        model = self.model if model is None else model
        codes, _, signal = self.batch(size)
        optimizer, device = adamw(model), self.part.device

        def evaluate(precision: str) -> None:
            model.eval()
            with precise(device, precision):
                model.predict(codes)

        def train(precision: str) -> None:
            step(model, optimizer, lambda: model(codes, labels=signal).loss, precise(device, precision))

        found: dict[str, Callable[[], Any]] = {}
        for each in precisions:
            found[f"evaluation {each}"] = lambda each=each: evaluate(each)
            found[f"step {each}"] = lambda each=each: train(each)
        return found

    def their_ways(self, size: int) -> dict[str, Callable[[], Any]]:
        """Return what is timed of the reference, as shipped."""
        _, one_hot, signal = self.batch(size)
        theirs = self.reference
        optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-6, betas=(0.9, 0.95), weight_decay=0.1)

        def evaluate() -> None:
            theirs.eval()
            with torch.no_grad():
                theirs(one_hot)

        def train() -> None:
            loss = lambda: reference_loss(theirs(one_hot), signal)  # noqa: E731 - once
            step(theirs, optimizer, loss, precise(self.part.device, "as shipped"))

        return {"reference evaluation": evaluate, "reference step": train}


def timed(preset: Preset, ways: dict[str, Callable[[], Any]], size: int) -> dict[str, Any]:
    """Return windows a second of each way, and its peak memory."""
    part, found = preset.part, {}
    peaks = {}
    for name, run in ways.items():
        if part.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(part.device)
        run()  # compiles, and chooses algorithms
        part.synchronize()
        if part.device.type == "cuda":
            peaks[name] = round(torch.cuda.max_memory_allocated(part.device) / 2**30, 2)
    for name, seconds in part.interleaved(ways).items():
        found[name] = spread(seconds, size)
        if name in peaks:
            found[name]["peak_gib"] = peaks[name]
    return found


def largest(preset: Preset, size: int) -> int:
    """Return the largest batch, of powers of two, whose training step the memory holds."""
    top = size if preset.part.dry_run else LARGEST
    while size < top:
        try:
            preset.ways(2 * size, ("bf16",))["step bf16"]()
        except ValueError as error:  # `computing` says so; the backward pass is outside of it
            if "out of memory" not in str(error):
                raise
            break
        except torch.OutOfMemoryError:
            break
        size *= 2
    torch.cuda.empty_cache()
    preset.model.zero_grad(set_to_none=True)
    return size


def job(preset: Preset, kind: str, size: int) -> dict[str, Any]:
    """Do one job and return what it measured."""
    precisions = PRECISIONS[:2] if preset.part.dry_run else PRECISIONS
    if kind == "eager":
        ways = preset.ways(size, precisions)
        if preset.reference is not None:
            ways |= preset.their_ways(size)
        return {"batch": size, **timed(preset, ways, size)}
    if kind == "largest":
        size = largest(preset, size)
        return {"batch": size, **timed(preset, preset.ways(size, precisions[-1:]), size)}
    compiled = copy.deepcopy(preset.model)
    compiled.compile()
    return {"batch": size, **timed(preset, preset.ways(size, precisions[-1:], model=compiled), size)}


def measure(part: Part) -> None:
    """Do the jobs in order, as long as there is time."""
    names = [*FIRST, *(name for name in PRESETS if not name.endswith(("-small", "-tiny")) and name not in FIRST)]
    jobs = [(name, kind) for name in FIRST for kind in ("eager", "compiled", "largest")]
    jobs += [(name, kind) for kind in ("eager", "largest", "compiled") for name in names if name not in FIRST]
    size = 64
    if part.dry_run:
        size = 2
        jobs = [("convnext-dcnn-tiny", "eager"), ("convnext-dcnn-tiny", "largest"), ("dcnn-tiny", "eager")]
        if importlib.util.find_spec("asap") is not None:
            jobs.append(("cnn", "eager"))
    presets: dict[str, dict[str, Any]] = {}
    left_out: list[str] = []
    at_hand: Preset | None = None
    for name, kind in jobs:
        if part.left < SECONDS[kind] and not part.dry_run:
            left_out.append(f"{name} {kind}")
            continue
        if at_hand is None or at_hand.name != name:
            at_hand = None  # frees its memory before the next comes
            at_hand = Preset(part, name)
        found = presets.setdefault(name, {"gflop": round(at_hand.gflop, 3)})
        if at_hand.reference is not None and "difference" not in found:
            found["difference"] = at_hand.difference()
        try:
            found[kind] = job(at_hand, kind, size)
        except (RuntimeError, ValueError, TypeError) as error:  # of one job, e.g. what does not compile
            found[kind] = {"failed": f"{type(error).__name__}: {error}"[:2000]}
            at_hand = None
        part.save(presets=presets, left_out=left_out, line=told(presets))
    part.save(presets=presets, left_out=left_out, line=told(presets))


def told(presets: dict[str, Any]) -> str:
    """Return the first preset's best rates in words."""
    name, found = next(iter(presets.items()))
    best = []
    for mode, passes in (("evaluation", 1), ("step", 3)):
        rates = [
            (rate["median"], f"{kind}, {way.removeprefix(mode).strip()}, batch {row['batch']}")
            for kind, row in found.items()
            if isinstance(row, dict)
            for way, rate in row.items()
            if way.startswith(mode)
        ]
        if rates:
            rate, how = max(rates)
            tflops = rate * passes * found["gflop"] / 1e3
            best.append(f"{mode} {rate:,.0f} windows/s ({tflops:.3g} TFLOP/s; {how})")
    return f"{len(presets)} presets; {name}: " + "; ".join(best)


if __name__ == "__main__":
    main(measure)
