"""The kernels that a training step spends its time in."""

from typing import Any

import torch
from chromhub.inference.cpu import computing
from chromhub.inference.gpu import use_bf16
from chromhub.modeling import AtacConfig, AtacForTrackPrediction
from torch.profiler import ProfilerActivity, profile
from zoo import windows

from gpu_parts.part import Part, main
from gpu_parts.throughput import adamw, step

KERNELS = 10
STEPS = 5


def costliest(part: Part, preset: str, size: int) -> list[dict[str, Any]]:
    """Return the costliest kernels of some training steps: name, share of the time, calls a step."""
    model: Any = AtacForTrackPrediction(AtacConfig.from_preset(preset)).to(part.device)
    codes, signal = (tensor.to(part.device) for tensor in windows(size)[::2])
    optimizer, steps = adamw(model), 1 if part.dry_run else STEPS

    def once() -> None:
        context = computing(part.device, bf16=use_bf16(part.device))
        step(model, optimizer, lambda: model(codes, labels=signal).loss, context)

    for _ in range(1 if part.dry_run else 3):
        once()
    on_card = part.device.type == "cuda"
    part.synchronize()
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_card else [])]) as profiler:
        for _ in range(steps):
            once()
        part.synchronize()
    # On a card only what runs there: an operator's own time there is that of its kernels, which are rows of their own.
    rows = [
        (event.self_device_time_total if on_card else event.self_cpu_time_total, event.key, event.count)
        for event in profiler.key_averages()
        if not on_card or event.device_type == torch.autograd.DeviceType.CUDA
    ]
    total = sum(row[0] for row in rows) or 1.0
    return [
        {"kernel": name[:160], "share": time / total, "calls": count / steps, "ms": time / steps / 1e3}
        for time, name, count in sorted(rows, reverse=True)[:KERNELS]
    ]


def measure(part: Part) -> None:
    """Profile the two presets that matter most, or two small ones."""
    chosen, size = ("convnext-dcnn", "convnext-transformer"), 64
    if part.dry_run:
        chosen, size = ("convnext-dcnn-tiny", "dcnn-tiny"), 2
    presets: dict[str, Any] = {}
    for preset in chosen:
        presets[preset] = found = costliest(part, preset, size)
        first = found[0]
        told = f"{preset}: {first['share']:.0%} in {first['kernel'][:60]}"
        part.save(presets=presets, batch=size, line="; ".join(filter(None, [part.found.get("line"), told])))


if __name__ == "__main__":
    main(measure)
