"""Train a recipe in the time that is left, evaluate it, and keep small weights and the metrics."""

import json
import shutil
import time
from typing import Any

import torch
from chromhub.datasets_scripts.landscape import LandscapeData, is_landscape
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.finetune.recipe import Recipe, load_recipe
from chromhub.finetune.train import train
from chromhub.inference.evaluation_folder import evaluate_run
from chromhub.inference.load import load_any
from huggingface_hub import save_torch_state_dict

from gpu_parts.part import Part, main

TRIAL_STEPS = 40
SHARE = 0.7  # of the time that is left goes into training, the rest into evaluation
SHARD = "15MB"
KEPT = ("config.json", "history.json", "provenance.json", "recipe.yaml")


def affordable(part: Part, recipe: Recipe) -> int:
    """Return how many steps fit, from the pace of a short run."""
    trial = recipe.model_copy(update={"max_steps": TRIAL_STEPS, "max_eval_windows": 64})
    start = time.monotonic()
    summary = train(trial, part.scratch / "trial", device=str(part.device), progress=False)
    pace = min(summary["wall_seconds"], time.monotonic() - start) / TRIAL_STEPS
    return max(TRIAL_STEPS, int(SHARE * part.left / pace))


def save_weights(part: Part, run: Any) -> float:
    """Write the weights as float16 in files of at most `SHARD`; return the largest relative rounding of a tensor.

    Raises:
        ValueError: a weight that float16 does not hold.
    """
    state, largest, half = load_any(run).state_dict(), 0.0, {}
    for name, tensor in state.items():
        half[name] = tensor.half() if tensor.is_floating_point() else tensor
        if not torch.isfinite(half[name]).all():
            raise ValueError(f"{name} holds weights that float16 does not: keep them in float32")
        size = float(tensor.double().norm())
        if size:
            largest = max(largest, float((half[name].double() - tensor.double()).norm()) / size)
    save_torch_state_dict(half, part.out / "train", max_shard_size=SHARD)
    return largest


def measure(part: Part) -> None:
    """Train, keep, evaluate."""
    recipe_file, data = part.train
    if part.dry_run and recipe_file == "dry-run":
        recipe = dry_recipe(part)
    else:
        recipe = load_recipe(recipe_file, data=data)
        steps = affordable(part, recipe)
        recipe = recipe.model_copy(update={"max_steps": min(recipe.max_steps or steps, steps)})
    run = part.scratch / "run"
    summary = train(recipe, run, device=str(part.device), progress=False)
    shutil.rmtree(part.out / "train", ignore_errors=True)
    (part.out / "train").mkdir(parents=True)
    for name in KEPT:
        if (run / name).exists():
            shutil.copy(run / name, part.out / "train" / name)
    rounding = save_weights(part, run)
    part.save(steps=summary["steps"], summary=summary, float16_rounding=rounding, line="trained, not evaluated")
    store = LandscapeData.open(recipe.data) if is_landscape(recipe.data) else GenomeStore.open(recipe.data)
    metrics = evaluate_run(run, store, part.scratch / "evaluation", device=str(part.device))
    (part.out / "train" / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    rate = summary["windows_per_second"]
    part.save(line=f"{summary['steps']:,} steps at {rate:,.0f} windows/s; weights and metrics in {part.out / 'train'}")


def dry_recipe(part: Part) -> Recipe:
    """Return a recipe of a few steps on a small store."""
    from gpu_parts.whole_job import small_store

    store = small_store(part.scratch / "data")
    common = {"max_steps": 4, "batch_size": 4, "eval_batch_size": 4, "max_jitter": 256}
    return Recipe(data=str(store.path), preset="dcnn-tiny", epochs=1, max_eval_windows=4, **common)


if __name__ == "__main__":
    main(measure)
