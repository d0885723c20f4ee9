"""Which choices of training pay: one at a time against recipes/ablation.yaml, at a fixed budget, on validation data.

    python benchmarks/ablation.py --data ../shared/data --work runs [--species yeast celegans] [--minutes-per-run 2.5]
        [--seeds 0 1] [--jobs 2] [--factor NAME ...]

Each run takes as many optimiser steps as the reference, on the same windows in the same order; "wider" alone takes
fewer, so that both cost the same processor time, by a measurement of one step of each that is kept in the work folder.
"both strands" is the reference, evaluated on both. Nothing is chosen within a run: the last weights are evaluated, by
`chromhub evaluate` on every validation window (yeast chrII, worm chrIII). The test part is not read.

Runs that lie in the work folder are not made again, unfinished ones go on. Every number of benchmarks/results/
ablation.json is of one budget: a run at another one needs another --results.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
import yaml
from chromhub.modeling import AtacConfig, AtacForTrackPrediction
from matplotlib.figure import Figure
from real_data import JOBS, RECIPES, RESULTS, build_stores

FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "ablation.png"
RECIPE = RECIPES / "ablation.yaml"
SPECIES = {"yeast": "yeast", "celegans": "germline"}  # the store of each job in real_data.py
BIN_SIZES = (4, 128)
EPOCH = 120  # steps, of recipes/ablation.yaml
SECONDS_PER_STEP = 0.6  # of the reference on one core, about
REFERENCE, WIDER, BOTH = "reference", "wider", "both strands"
# A convolution in place of the ConvNeXt block, four times the channels, blocks at 4 bp in place of 2: six times the
# parameters at the cost of the reference, whose narrow layers wait for memory.
CONV_128 = {
    "stem": {"channels": 128},
    "core": {"bottleneck_channels": 64, "feature_channels": 128, "pool_size": 4, "pool_left_padding": 0},
}
# What each run changes. Both strands and the steps of the wider model are seen to below.
FACTORS: dict[str, dict[str, object]] = {
    REFERENCE: {},
    "EMA 0.999": {"ema": 0.999},
    "warm restarts each epoch": {"schedule": "paper"},
    "Muon": {"optimizer": "muon"},
    "learning rate x 0.5": {"learning_rate": 0.001},
    "learning rate x 2": {"learning_rate": 0.004},
    "loss poisson_raw": {"loss": "poisson_raw"},
    "loss profile_count": {"loss": "profile_count"},
    "substitutions 0.04": {"substitutions": 0.04},
    WIDER: {"preset": "convnext-dcnn-small"},
    "conv stem, 128 channels": {"preset": "dcnn-tiny", "model": CONV_128},
    BOTH: {},
}


def steps_of(minutes: float) -> int:
    """Return the steps of a run of about so many minutes: whole epochs, so that warm restarts end one."""
    return EPOCH * max(1, round(60 * minutes / SECONDS_PER_STEP / EPOCH))


def alone(*arguments: object) -> dict[str, float]:
    """Run a chromhub command on one thread.

    Returns:
        `seconds` by the clock and `processor_seconds`.
    """
    command = [sys.executable, "-m", "chromhub", *map(str, arguments)]
    print("+ chromhub", *arguments, file=sys.stderr, flush=True)
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=sys.stderr, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return {"seconds": time.monotonic() - started, "processor_seconds": usage.ru_utime + usage.ru_stime}


def train(folder: Path, store: Path, settings: dict[str, object]) -> None:
    """Train a run, or go on with it; what it cost is kept beside it."""
    if (folder / "provenance.json").exists():
        return
    resume = ["--resume"] if (folder / "checkpoints").exists() else []
    chosen = [argument for key, value in settings.items() for argument in ("--set", f"{key}={json.dumps(value)}")]
    spent = alone(
        *("train", "--recipe", RECIPE, "--data", store, "-o", folder, "--device", "cpu"),
        *("--threads", 1, "--quiet", *chosen, *resume),
    )
    spent["resumed"] = bool(resume)  # the cost of the first part is lost
    cost_file(folder).write_text(json.dumps(spent))


def cost_file(folder: Path) -> Path:
    """Return where the cost of a run is kept."""
    return folder.with_name(f"{folder.name}-cost.json")


def evaluate(folder: Path, store: Path, *, both: bool) -> dict[str, float]:
    """Return the log1p Pearson of a run on the validation part by bin size."""
    output = folder.with_name(f"{folder.name}-{'both' if both else 'one'}-valid")
    if not (output / "metrics.json").exists():
        bins = [argument for size in BIN_SIZES for argument in ("--bin-size", size)]
        alone(
            *("evaluate", folder, "--data", store, "--part", "valid", "--allow-leak", "-o", output, "--device", "cpu"),
            *("--threads", 1, *bins, "--no-floor", *([] if both else ["--one-strand"])),
        )
    (sets,) = json.loads((output / "metrics.json").read_text())["results"].values()
    pooled = sets["genome_wide"]["pooled"]
    return {str(size): pooled[str(size)]["log1p"]["pearson"] for size in BIN_SIZES}


def run(name: str, seed: int, *, store: Path, work: Path, steps: int) -> dict:
    """Train and evaluate one run, each unless it is there."""
    shared = {"eval_steps": steps, "save_steps": max(1, steps // 4), "seed": seed}
    trained = REFERENCE if name == BOTH else name
    folder = work / f"{trained.replace(' ', '-')}-{seed}"
    train(folder, store, {**FACTORS[name], **shared, "max_steps": steps})
    record = json.loads((folder / "provenance.json").read_text())["training"]
    cost = json.loads(cost_file(folder).read_text()) if cost_file(folder).exists() else {}
    return {
        "pearson_log1p": evaluate(folder, store, both=name == BOTH),
        "parameters": record["parameters_trained"],
        "steps": record["steps"],
        "windows": record["windows"]["train"],
        "seconds": None if cost.get("resumed", True) else round(cost["seconds"], 1),
        "processor_seconds": None if cost.get("resumed", True) else round(cost["processor_seconds"], 1),
    }


def wider_steps(work: Path, steps: int) -> int:
    """Return the steps of the wider model that cost what `steps` of the reference do, measured once."""
    path = work / "seconds_per_step.json"
    if not path.exists():
        presets = yaml.safe_load(RECIPE.read_text())["preset"], FACTORS[WIDER]["preset"]
        makers = {str(preset): step_maker(str(preset)) for preset in presets}
        rounds = [{preset: processor_seconds(step) for preset, step in makers.items()} for _ in range(3)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({preset: statistics.median(r[preset] for r in rounds) for preset in makers}))
    reference, wider = json.loads(path.read_text()).values()
    return max(1, round(steps * reference / wider))


def step_maker(preset: str) -> Callable[[], None]:
    """Return a function that takes one training step of a preset, on random windows as the recipe has them."""
    recipe = yaml.safe_load(RECIPE.read_text())
    model = AtacForTrackPrediction(AtacConfig.from_preset(preset)).train()
    optimizer = torch.optim.AdamW(model.parameters())
    codes = torch.randint(0, 4, (recipe["batch_size"], model.config.input_length), dtype=torch.uint8)
    labels = torch.rand(recipe["batch_size"], 1, model.config.num_bins)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe["bf16"]):
            loss = model(codes, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()  # the first one sets up
    return step


def processor_seconds(step: Callable[[], None], *, times: int = 1) -> float:
    """Return the processor time of one step."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(times):
        step()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / times


def summarised(runs: dict[str, dict[str, dict]]) -> dict[str, dict]:
    """Return each factor's runs by seed, their mean, and the mean difference from the reference of the same seed."""
    summary = {}
    for name, seeds in runs.items():
        pairs = [(found, runs[REFERENCE][seed]) for seed, found in seeds.items() if seed in runs.get(REFERENCE, {})]
        summary[name] = {
            "seeds": seeds,
            "pearson_log1p": {
                size: statistics.fmean(found["pearson_log1p"][size] for found in seeds.values())
                for size in map(str, BIN_SIZES)
            },
            "differences": {
                size: [found["pearson_log1p"][size] - other["pearson_log1p"][size] for found, other in pairs]
                for size in map(str, BIN_SIZES)
            },
        }
    return summary


def draw(results: dict, path: Path) -> None:
    """Draw the differences from the reference: a panel a species, a row a factor, a dot a seed."""
    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    panels = figure.subplots(1, len(results["species"]), sharey=True, squeeze=False)[0]
    for axis, (species, found) in zip(panels, results["species"].items(), strict=True):
        names = [name for name in FACTORS if name in found["runs"] and name != REFERENCE]
        for offset, size, colour, marker in ((-0.14, "4", "#0072B2", "o"), (0.14, "128", "#D55E00", "s")):
            points = [
                (difference, row + offset)
                for row, name in enumerate(names)
                for difference in found["runs"][name]["differences"][size]
            ]
            axis.scatter(
                *zip(*points, strict=True) if points else ((), ()), c=colour, marker=marker, label=f"{size} bp"
            )
        axis.axvline(0, color="#999999", lw=1)
        axis.set_yticks(range(len(names)), names)
        axis.grid(axis="x", color="#dddddd", lw=0.7)
        axis.spines[["top", "right"]].set_visible(False)
        title = f"{species}, {found['part']}, {found['steps']} steps"
        axis.set(xlabel="validation Pearson (log1p) over the reference", title=title)
    panels[0].invert_yaxis()
    panels[-1].legend(frameon=False, title="bins of")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, format="png")


def main() -> None:
    """Train, evaluate, and write results and figure after each species."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs"))
    parser.add_argument("--species", nargs="+", choices=list(SPECIES), default=list(SPECIES))
    parser.add_argument("--minutes-per-run", type=float, default=2.5, help="of training, about")
    parser.add_argument("--max-steps", type=int, help="in place of minutes, for a trial")
    parser.add_argument(
        "--factor", nargs="+", choices=list(FACTORS), default=list(FACTORS), help="beside the reference"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one core each")
    parser.add_argument("--results", type=Path, default=RESULTS / "ablation.json")
    parser.add_argument("--figure", type=Path, default=FIGURE)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"no data folder {arguments.data}; give --data")

    torch.set_num_threads(1)
    steps = arguments.max_steps or steps_of(arguments.minutes_per_run)
    budgets = dict.fromkeys(FACTORS, steps)
    if WIDER in arguments.factor:
        budgets[WIDER] = wider_steps(arguments.work / "ablation", steps)
    factors = [name for name in FACTORS if name in {REFERENCE, *arguments.factor}]
    for species in arguments.species:
        store = SPECIES[species]
        job = {**JOBS[species], "stores": {store: JOBS[species]["stores"][store]}}
        opened = build_stores(job, arguments.data, arguments.work)[store]
        work = arguments.work / "ablation" / f"{species}-{steps}-steps"
        do = partial(run, store=arguments.work / "data" / store, work=work)
        with ThreadPoolExecutor(arguments.jobs) as pool:
            # Both strands wait for the reference: two must not train it at once.
            for wave in ([name for name in factors if name != BOTH], [name for name in factors if name == BOTH]):
                keys = [(seed, name) for seed in arguments.seeds for name in wave]
                list(pool.map(lambda key, do=do: do(key[1], key[0], steps=budgets[key[1]]), keys))
        runs = {
            name: {str(seed): do(name, seed, steps=budgets[name]) for seed in arguments.seeds} for name in factors
        }  # all there by now
        results = json.loads(arguments.results.read_text()) if arguments.results.exists() else {"species": {}}
        results["recipe"] = yaml.safe_load(RECIPE.read_text())
        results["factors"] = FACTORS
        results["species"][species] = {
            "part": ", ".join(opened.split.intervals("valid", opened.chrom_sizes)["chrom"].unique()),
            "steps": steps,
            "runs": summarised(runs),
        }
        results["species"] = {name: results["species"][name] for name in SPECIES if name in results["species"]}
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        arguments.results.write_text(json.dumps(results, indent=1) + "\n")
        draw(results, arguments.figure)
    print(arguments.results.read_text() if arguments.json else f"wrote {arguments.results} and {arguments.figure}")


if __name__ == "__main__":
    main()
