"""Variants a second against the reference package's way, and memory against the number of variants.

    pip install --no-deps atac-asap
    python benchmarks/variants.py [--quick] [--variants 64] [--rounds 5] [--memory] [--json]

The reference has no scores but predictions of both alleles; its way is two full forward passes (batch 64, no gradient)
and the fold change of its notebook. Ours is `VariantScorer`, from the variants' text to all scores, on one strand as
theirs (our default averages both), otherwise with the default settings, in float32. Both have the same weights; first
the fold changes are shown equal. Then they are timed in processes of their own, in turn, round by round: the reference
as shipped, the reference with the allocator setting of our commands, and ours. What is timed is processor time with one
thread, so that other work on the machine matters less. A ratio is variants a second, ours over the reference's, of the
same round; the median over rounds is printed with its range.

`--memory` runs `chromhub score` on VCFs of 1,000 and of 100,000 variants with a very small model and compares the
largest resident memory.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chromhub.datasets_scripts.fasta import Fasta, decode
from chromhub.datasets_scripts.variants import Variant
from chromhub.hub_models.asap_names import AGCT_TO_ACGT
from chromhub.inference.cpu import prepare_cpu
from chromhub.inference.variant_scorer import ScoreSettings, VariantScorer
from chromhub.inference.variants import GenomeBases
from chromhub.modeling import AtacConfig, AtacForTrackPrediction
from zoo import in_own_process, ours, processor, reference

RESULTS = Path(__file__).parent / "results" / "variants.json"
PRESETS = ("convnext-dcnn", "dcnn")
WAYS = ("as shipped", "our allocator", "ours")
_BATCH = 64
_WINDOW = 512
_MEASURE = """
import json, resource, sys
from chromhub.cli import app
app(sys.argv[1:], standalone_mode=False)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


def genome(path: Path, size: int) -> np.ndarray:
    """Write a random chromosome of `size` bp and return its codes."""
    codes = np.random.default_rng(0).integers(0, 4, size).astype(np.uint8)
    path.write_text(f">chr1\n{decode(codes)}\n")
    return codes


def snvs(codes: np.ndarray, count: int) -> list[Variant]:
    """Return SNVs at random places, in the order of the genome."""
    rng = np.random.default_rng(1)
    starts = np.sort(rng.integers(2048, len(codes) - 2048, count)).tolist()
    steps = rng.integers(1, 4, count).tolist()
    return [
        Variant("chr1", start, "ACGT"[codes[start]], "ACGT"[(codes[start] + step) % 4])
        for start, step in zip(starts, steps, strict=True)
    ]


def their_way(model: torch.nn.Module, codes: np.ndarray, variants: list[Variant]) -> np.ndarray:
    """Return the fold change of the reference's notebook from two full forward passes, (V,)."""
    weights = np.exp(-0.5 * (np.arange(-32, 33) / 8) ** 2)
    weights /= weights.sum()
    changes = []
    for first in range(0, len(variants), _BATCH):
        batch = variants[first : first + _BATCH]
        windows = np.stack([codes[v.start - 1023 : v.start + 1025] for v in batch])
        changed = windows.copy()
        changed[:, 1023] = ["ACGT".index(v.alt) for v in batch]
        signals = []
        for side in (windows, changed):
            with torch.no_grad():
                one_hot = torch.eye(4)[torch.from_numpy(side).long()][..., AGCT_TO_ACGT]
                signals.append(torch.expm1(model(one_hot)).squeeze(-1).numpy()[:, 256 - 32 : 256 + 33] @ weights)
        changes.append(signals[0] / (signals[1] + 1e-4))
    return np.concatenate(changes)


def run(preset: str, way: str, count: int, threads: int) -> dict[str, Any]:
    """Score `count` variants in one way; return its fold changes and the seconds of the faster of two runs."""
    torch.set_num_threads(threads)
    if way != "as shipped":
        prepare_cpu(threads)
    theirs = reference(preset).eval()
    with tempfile.TemporaryDirectory() as folder:
        codes = genome(Path(folder) / "genome.fa", 200_000)
        variants = snvs(codes, count)
        scorer = VariantScorer(
            [ours(preset, theirs).eval()],
            GenomeBases(Fasta(Path(folder) / "genome.fa"), ["chr1"]),
            ScoreSettings(window=_WINDOW, average_rc=False),
        )

        def score() -> np.ndarray:
            if way != "ours":
                return their_way(theirs, codes, variants)
            if scorer.statuses(variants) != ["ok"] * count:
                raise SystemExit("a variant of the benchmark does not fit its genome")
            return scorer.score(variants)["paper_fold_change"][:, 0]

        changes = score()
        seconds = []
        for _ in range(2):
            start = time.process_time()
            score()
            seconds.append(time.process_time() - start)
    return {"changes": changes, "seconds": min(seconds)}


def compare(preset: str, *, count: int, rounds: int, threads: int) -> dict[str, Any]:
    """Check and time one preset."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    difference = 0.0
    for _ in range(rounds):
        found = {way: in_own_process(run, preset, way, count, threads) for way in WAYS}
        difference = max(difference, float(np.abs(found["ours"]["changes"] / found["as shipped"]["changes"] - 1).max()))
        if difference > 1e-3:
            raise SystemExit(f"{preset}: fold changes differ by {difference:.1e}, no timing is worth anything")
        for way in WAYS:
            seconds[way].append(found[way]["seconds"])
    result: dict[str, Any] = {
        "variants": count,
        "rounds": rounds,
        "threads": threads,
        "window": _WINDOW,
        "largest_relative_difference": difference,
        "variants_per_second": count / statistics.median(seconds["ours"]),
        "torch": torch.__version__,
        "machine": processor(),
    }
    for way in WAYS[:2]:
        ratios = [theirs / mine for theirs, mine in zip(seconds[way], seconds["ours"], strict=True)]
        result[way] = {"ratio": statistics.median(ratios), "range": [min(ratios), max(ratios)]}
    return result


def memory(counts: tuple[int, ...] = (1_000, 100_000)) -> dict[str, Any]:
    """Return the largest resident memory in MB of `chromhub score` on VCFs of so many variants."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = AtacConfig.from_preset(
            "convnext-dcnn-tiny",
            input_length=512,
            target_length=384,
            stem={"channels": 4},
            core={"num_blocks": 1, "bottleneck_channels": 4, "feature_channels": 4},
        )
        AtacForTrackPrediction(config).save_pretrained(folder / "run")
        codes = genome(folder / "genome.fa", 5_000_000)
        for count in counts:
            rows = [f"{v.chrom}\t{v.start + 1}\t.\t{v.ref}\t{v.alt}\t.\tPASS\t.\n" for v in snvs(codes, count)]
            header = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
            (folder / f"{count}.vcf").write_text(header + "".join(rows))
            arguments = [
                *("score", str(folder / "run"), "--variants", str(folder / f"{count}.vcf"), "--window", "64"),
                *("--fasta", str(folder / "genome.fa"), "-o", str(folder / f"{count}.out.vcf"), "--device", "cpu"),
                "--one-strand",
            ]
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", _MEASURE, *arguments], capture_output=True, text=True, check=True
            )
            result[str(count)] = {
                "peak_mb": json.loads(done.stdout.splitlines()[-1]) / 1024,
                "seconds": time.perf_counter() - start,
            }
    few, many = (result[str(count)]["peak_mb"] for count in counts)
    return {**result, "ratio": many / few}


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="convnext-dcnn alone, three rounds")
    parser.add_argument("--variants", type=int, default=64)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action="store_true", help="memory alone")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if arguments.memory:
        results["memory"] = memory()
    else:
        if importlib.util.find_spec("asap") is None:
            raise SystemExit("the reference is not installed: pip install --no-deps atac-asap")
        rounds = arguments.rounds or (3 if arguments.quick else 5)
        for preset in PRESETS[: 1 if arguments.quick else None]:
            results[preset] = compare(preset, count=arguments.variants, rounds=rounds, threads=arguments.threads)
            if not arguments.json:
                print(
                    f"{preset}: {results[preset]['variants_per_second']:.1f} variants/s; "
                    + "; ".join(
                        f"{results[preset][way]['ratio']:.2f}x ({results[preset][way]['range'][0]:.2f}-"
                        f"{results[preset][way]['range'][1]:.2f}) the reference {way}"
                        for way in WAYS[:2]
                    ),
                    flush=True,
                )
    partial = RESULTS.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1) + "\n")
    partial.replace(RESULTS)
    if arguments.json:
        print(RESULTS.read_text())
    elif arguments.memory:
        print(f"peak memory: {results['memory']}")


if __name__ == "__main__":
    main()
