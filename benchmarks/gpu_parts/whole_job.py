"""Whole jobs on a simulated genome: training from a store, a chromosome to bigWig, variants to scores."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.finetune.recipe import Recipe
from chromhub.finetune.train import train
from chromhub.inference.cpu import computing
from chromhub.inference.gpu import use_bf16
from chromhub.inference.predict import predict_to_bigwig, whole_chroms
from chromhub.inference.score import score_file
from chromhub.inference.variant_scorer import ScoreSettings
from chromhub.modeling import AtacConfig, AtacForTrackPrediction

from gpu_parts.part import Part, main

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "finetune"))
from small_store import small_store

CHR17 = 83_257_441  # bp of GRCh38's, which Grover et al. predict in 120 s
STATED_SECONDS = 120
STEPS = 50  # of the first run, which says how many fit


def training(part: Part, store: GenomeStore, preset: str, *, compiled: bool, seconds: float) -> dict[str, Any]:
    """Train for about `seconds`; return the rate, validation and start included."""
    steps, found = 4 if part.dry_run else STEPS, {}
    while True:
        recipe = Recipe(
            data=str(store.path),
            preset=preset,
            batch_size=4 if part.dry_run else 256,
            max_steps=steps,
            max_eval_windows=64 if not part.dry_run else 4,
            epochs=1000,
            compile=compiled,
        )
        run = part.scratch / f"run-{compiled}-{steps}"
        summary = train(recipe, run, device=str(part.device), progress=False)
        found = {
            "batch": recipe.batch_size,
            "steps": steps,
            "seconds": summary["wall_seconds"],
            "windows_per_second": summary["windows_per_second"],
        }
        more = int(steps * seconds / max(summary["wall_seconds"], 0.1))
        if part.dry_run or steps > STEPS or more < 2 * steps:
            return found
        steps = min(more, 5000)


def measure(part: Part) -> None:
    """Simulate, train, predict, score."""
    preset = "convnext-dcnn-tiny" if part.dry_run else "convnext-dcnn"
    sizes = {"one": 64_000_000, "two": 1_000_000, "three": CHR17}
    if part.dry_run:
        sizes = {"one": 60_000, "two": 12_000, "three": 20_000}
    store = small_store(part.scratch / "store", sizes=sizes)
    bf16 = use_bf16(part.device)
    part.save(preset=preset, bf16=bf16, train=training(part, store, preset, compiled=False, seconds=15))
    model: Any = AtacForTrackPrediction(AtacConfig.from_preset(preset)).eval().to(part.device)
    for name, both in (("chromosome_one_strand", False), ("chromosome", True)):
        start = time.perf_counter()
        with computing(part.device, bf16=bf16):
            made = predict_to_bigwig(
                model,
                store,
                part.scratch / f"{name}.bw",
                regions=whole_chroms(store.chrom_sizes, ["three"]),
                batch_size=8 if part.dry_run else 512,
                average_rc=both,
            )
        seconds = time.perf_counter() - start
        times_faster = STATED_SECONDS / seconds * sizes["three"] / CHR17
        part.save(**{name: {"bp": sizes["three"], "bins": made.num_bins, "seconds": seconds, "ratio": times_faster}})
    part.save(score=scoring(part, model, store))
    rates = f"training {part.found['train']['windows_per_second']:,.0f} windows/s"
    both = part.found["chromosome"]
    line = f"{rates}; {both['bp'] / 1e6:.3g} Mb to bigWig in {both['seconds']:.1f} s, both strands; "
    part.save(line=line + f"{part.found['score']['per_second']:,.0f} variants/s")
    if part.left > 60 and not part.dry_run:
        part.save(train_compiled=training(part, store, preset, compiled=True, seconds=15))


def scoring(part: Part, model: Any, store: GenomeStore) -> dict[str, Any]:
    """Score SNVs from their text to the table, in float32 as `chromhub score` does."""
    count = 8 if part.dry_run else 8192
    codes, rng = store.codes("three"), np.random.default_rng(1)
    starts = np.sort(rng.integers(4096, len(codes) - 4096, count)).tolist()
    given = [f"three:{start + 1}:{'ACGT'[codes[start]]}>{'ACGT'[(codes[start] + 1) % 4]}" for start in starts]
    settings = ScoreSettings(batch_size=4 if part.dry_run else 256)
    start = time.perf_counter()
    with computing(part.device, bf16=False), torch.no_grad():
        score_file([model], store, given, part.scratch / "scores.tsv", settings=settings)
    seconds = time.perf_counter() - start
    return {"variants": count, "seconds": seconds, "per_second": count / seconds}


if __name__ == "__main__":
    main(measure)
