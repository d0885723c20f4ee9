"""The card and what it does at best: the roofs that the other parts are held against."""

import platform
import subprocess
from importlib import metadata

import torch
from chromhub.inference.cpu import device_name
from chromhub.inference.gpu import float32_products

from gpu_parts.part import Part, main, spread

LIBRARIES = ("torch", "triton", "transformers", "huggingface_hub", "peft", "accelerate", "numpy", "atac-asap")


def version(name: str) -> str | None:
    """Return a library's version, None where it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def card(device: torch.device) -> dict[str, object]:
    """Return what the driver says of the card."""
    if device.type != "cuda":
        return {"name": device_name(device)}
    about = torch.cuda.get_device_properties(device)
    query = ["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm,power.limit", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        driver = f"not known: {error}"
    return {
        "name": about.name,
        "memory_gib": round(about.total_memory / 2**30, 1),
        "multiprocessors": about.multi_processor_count,
        "capability": f"{about.major}.{about.minor}",
        "driver": driver,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def measure(part: Part) -> None:
    """Measure matrix products on random numbers, and a copy from the card to itself."""
    versions = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    part.save(card=card(part.device), versions=versions, line="the card's name alone")
    size = 256 if part.dry_run else 8192
    kinds = {"tf32": torch.float32, "float32": torch.float32}
    if not part.dry_run:
        kinds = {"bf16": torch.bfloat16, **kinds}
    products = {}
    for name, dtype in kinds.items():
        left, right = (torch.randn(size, size, device=part.device, dtype=dtype) for _ in range(2))
        with float32_products(part.device, rounded=name == "tf32"):
            seconds = part.interleaved({name: lambda left=left, right=right: left @ right}, at_least=0.2)[name]
        products[name] = spread(seconds, 2 * size**3 / 1e12)
        part.save(product_tflops=products)
    source = torch.randint(0, 255, (2**20 if part.dry_run else 2**33,), device=part.device, dtype=torch.uint8)
    target = torch.empty_like(source)
    seconds = part.interleaved({"copy": lambda: target.copy_(source)}, at_least=0.2)["copy"]
    part.save(copy_tb_s=spread(seconds, 2 * source.numel() / 1e12))  # read and written
    told = ", ".join(f"{name} {rate['median']:.3g}" for name, rate in products.items())
    copy = part.found["copy_tb_s"]["median"]
    part.save(line=f"{part.found['card']['name']}: matrix products {told} TFLOP/s, copy {copy:.2g} TB/s")


if __name__ == "__main__":
    main(measure)
