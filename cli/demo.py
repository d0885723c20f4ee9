"""`chromhub demo`: the whole job on a simulated genome, from files to a report, in a few minutes on two cores."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .console import command, out, print_json, progress, say
from .demo_report import BIN_SIZES, SETS, table_columns, table_rows, verdict, write_demo_report

if TYPE_CHECKING:
    from ..datasets_scripts.store import GenomeStore

MARKER = "demo.json"
PRESET = "convnext-dcnn-tiny"


@dataclass(frozen=True)
class DemoSize:
    """How much the demo does.

    Attributes:
        chrom_sizes: bp of each simulated chromosome: two to train on, one to validate on, one to test on.
        num_windows: training windows of the new cell type.
        base_steps: optimiser steps of the base.
        tune_steps: optimiser steps of the adapter; the model from scratch gets `base_steps + tune_steps`.
        eval_steps: steps between validations.
        num_validation: validation windows.
    """

    chrom_sizes: dict[str, int]
    num_windows: int
    base_steps: int
    tune_steps: int
    eval_steps: int
    num_validation: int


FULL = DemoSize({"chr1": 1_000_000, "chr2": 800_000, "chr3": 200_000, "chr4": 400_000}, 64, 700, 200, 50, 96)
QUICK = DemoSize({"chr1": 160_000, "chr2": 80_000, "chr3": 40_000, "chr4": 60_000}, 24, 60, 20, 20, 16)


@command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for everything it makes.")] = Path(
        "chromhub-demo"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an earlier demo in the folder first.")] = False,
    seed: Annotated[int, typer.Option(help="Of the genome and of every training.", min=0)] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Half a minute: shows that everything runs; the models learn little.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.  [default: the best there is]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Simulate a genome, pre-train, fine-tune to a new cell type, evaluate, predict, and write a report."""
    from ..datasets_scripts.atomic import making  # here, so that --help stays quick

    try:
        with making(output, overwrite=True):
            result = run_demo(output, QUICK if quick else FULL, seed=seed, overwrite=overwrite, device=device)
    except KeyboardInterrupt:
        if (output / MARKER).is_file():
            say(f"an unfinished demo lies in {output}; start anew with --overwrite")
        raise
    if as_json:
        print_json(result)
        return
    table = Table(*table_columns(), box=None, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.no_wrap = True
        column.justify = "left" if column is table.columns[0] else "right"
    for row in table_rows(result):
        table.add_row(*row)
    out.print(table)
    out.print(result["verdict"], markup=False, soft_wrap=True)
    out.print(f"report: {result['report']}", markup=False, soft_wrap=True)


def run_demo(
    output: str | Path, size: DemoSize, *, seed: int = 0, overwrite: bool = False, device: str | None = None
) -> dict[str, Any]:
    """Do the whole job through the same functions as the other commands.

    Args:
        output: folder to make: genome/, data/, runs/, predictions/, report.html and the result as demo.json.
        size: how much to do.
        seed: of the genome and of every training.
        overwrite: delete an earlier demo there; no other folder is ever deleted.
        device: "cpu", "cuda" or "mps"; None picks the best.

    Returns:
        JSON-ready result: seed, cell_type, device, models (by name: windows, steps, seconds, parameters, pearson),
        verdict, seconds, report.

    Raises:
        FileExistsError: `output` is in use.
    """
    from ..datasets_scripts.simulate import AGNOSTIC, CELL_TYPES, simulate  # here, so that --help need not load torch
    from ..finetune.recipe import load_recipe
    from ..finetune.train import train
    from ..inference.cpu import device_name, pick_device, prepare_cpu
    from ..inference.evaluate import evaluate
    from ..inference.load import load_model
    from ..inference.predict import predict_to_bigwig, whole_chroms

    started = time.monotonic()
    where = pick_device(device)
    folder = _make_folder(Path(output), overwrite=overwrite)
    prepare_cpu()
    *others, target = CELL_TYPES

    stage = _Stages(6)
    stage(f"simulate a genome of {sum(size.chrom_sizes.values()) / 1e6:.1f} Mb and three cell types")
    num_peaks = simulate(folder / "genome", seed=seed, chrom_sizes=size.chrom_sizes)
    say("  peaks: " + ", ".join(f"{cell} {number:,}" for cell, number in num_peaks.items()))
    stores = {name: _build(folder, name) for name in (AGNOSTIC, target)}
    truth = _build(folder, f"{target}.rate", peaks=target)

    device_line = device_name(where)
    common: dict[str, Any] = {
        "preset": PRESET,
        "batch_size": 8,
        "learning_rate": 4e-3,  # of all three; 1e-3 gives the model from scratch 0.37 on test, 4e-3 gives 0.42
        "schedule": "cosine",
        "max_grad_norm": 1.0,
        "epochs": 10_000,
        "patience": 10_000,
        "eval_steps": size.eval_steps,
        "max_eval_windows": size.num_validation,
        "seed": seed,
    }
    few = {"data": str(stores[target].path), "windows": {"max_windows": size.num_windows}, "max_jitter": 256}
    recipes = {
        "base": {"data": str(stores[AGNOSTIC].path), "max_steps": size.base_steps},
        "lora": {**few, "preset": None, "base": str(folder / "runs/base"), "max_steps": size.tune_steps},
        "scratch": {**few, "max_steps": size.base_steps + size.tune_steps},
    }
    titles = {
        "base": f"pre-train a cell-type-agnostic base on the mean of {' and '.join(others)}",
        "lora": f"tune it to {target}, which it has not seen: LoRA on {size.num_windows} windows",
        "scratch": f"train from scratch on the same {size.num_windows} windows, with the steps of both together",
    }
    models: dict[str, dict[str, Any]] = {}
    for name, title in titles.items():
        stage(title)
        recipe = load_recipe(**{**common, **recipes[name]})
        summary = train(recipe, folder / "runs" / name, device=device, say=lambda text: say(f"  {text}"))
        models[name] = {
            "windows": 0 if name == "base" else summary["windows"]["train"],
            "windows_of_others": summary["windows"]["train"] if name == "base" else 0,
            "parameters": summary["parameters_trained"],
            "steps": summary["steps"],
            "best_step": summary["best_step"],
            "seconds": summary["wall_seconds"],
        }

    test = stores[target].split.test
    stage(f"evaluate on {', '.join(test)} and predict it as bigWigs: no model has seen it")
    regions = whole_chroms(stores[target].chrom_sizes, test)
    with progress() as bar:
        task = bar.add_task("  windows", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        for name, row in models.items():
            model = load_model(folder / "runs" / name)
            metrics = evaluate(model, stores[target], bin_sizes=BIN_SIZES, device=where, progress=show)
            row["pearson"] = {
                key: {bin_size: by_scale["log1p"]["pearson"] for bin_size, by_scale in result["pooled"].items()}
                for key, result in metrics["results"][target].items()
            }
            predict_to_bigwig(
                model, stores[target], folder / "predictions" / f"{name}.bw", regions=regions, progress=show
            )
    config = load_model(folder / "runs/base").config
    models["truth"] = {"pearson": score_truth(stores[target], truth, length=config.target_length)}

    stage("write the report")
    result = {
        "seed": seed,
        "cell_type": target,
        "other_cell_types": others,
        "size": asdict(size),
        "device": device_line,
        "models": models,
        "verdict": verdict(models, target=target),
        "report": str(folder / "report.html"),
    }
    write_demo_report(folder, result, stores[AGNOSTIC], stores[target])
    result |= {"finished": True, "seconds": round(time.monotonic() - started, 1)}
    (folder / MARKER).write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    say(f"done in {result['seconds']:.0f} s")
    return result


def score_truth(store: "GenomeStore", truth: "GenomeStore", *, length: int) -> dict[str, dict[str, float | None]]:
    """Score the noise-free expectation against the measured signal: what no model can be expected to beat.

    Args:
        store: the measured signal.
        truth: its expectation, on the same genome.
        length: bp of the windows' targets.

    Returns:
        Pearson in log1p of the test part, by set and bin size.
    """
    import numpy as np

    from ..datasets_scripts.dataset import WindowDataset, evaluation_windows
    from ..inference.evaluate import SETS as KINDS
    from ..inference.metrics import PearsonState
    from ..inference.track_states import rebin

    scores: dict[str, dict[str, float | None]] = {}
    for name in SETS:
        windows, _ = evaluation_windows(store, "test", kind=KINDS[name], input_length=length, target_length=length)
        both = [WindowDataset(s, windows, input_length=length).batch(range(len(windows))) for s in (truth, store)]
        scores[name] = {}
        for bin_size in BIN_SIZES:
            state = PearsonState()
            factor = bin_size // store.bin_size
            state.update(*(np.log1p(rebin(batch["labels"], factor, summary=store.summary)) for batch in both))
            scores[name][str(bin_size)] = state.summary()["pearson"]
    return scores


def _build(folder: Path, track: str, *, peaks: str | None = None) -> "GenomeStore":
    """Build data/`track` from the simulated files, as `chromhub data build` does."""
    from ..datasets_scripts.build import build_store
    from ..datasets_scripts.store_inputs import StoreInputs, TrackSource

    genome = folder / "genome"
    inputs = StoreInputs(
        fasta=genome / "genome.fa",
        tracks=(TrackSource(track, genome / f"{track}.bw"),),
        split=genome / "split.json",
        peaks=genome / f"{peaks or track}.narrowPeak",
        summary="mean",
        genome="simulated",
    )
    return build_store(inputs, folder / "data" / track)


def _make_folder(folder: Path, *, overwrite: bool) -> Path:
    """Return an empty folder that is marked as a demo's; only what a demo makes is ever deleted."""
    from ..datasets_scripts.build import STORE_FILES
    from ..datasets_scripts.own_files import check_own, clear_own
    from ..datasets_scripts.simulate import SIMULATED_FILES
    from ..finetune.run_folder import RUN_FILES

    files = [
        *(MARKER, "report.html", "genome/genome.fa.fai", "predictions/*.bw"),
        *(f"genome/{name}" for name in SIMULATED_FILES),
        *(f"data/*/{name}" for name in STORE_FILES),
        *(f"runs/*/{name}" for name in RUN_FILES),
    ]
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; choose another folder with -o")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARKER).is_file():
            raise FileExistsError(f"{folder} holds files that are no demo; choose another folder with -o")
        if not overwrite:
            raise FileExistsError(f"{folder} holds a demo already; use --overwrite or another folder with -o")
        check_own(folder, files, others="files that no demo makes")
        clear_own(folder, files)
    for part in ("data", "predictions", "runs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text('{"finished": false}\n', encoding="utf-8")
    return folder


class _Stages:
    """Announces each stage with its number and the seconds since the start."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.started = total, 0, time.monotonic()

    def __call__(self, title: str) -> None:
        self.done += 1
        say(f"[{self.done}/{self.total}] {time.monotonic() - self.started:4.0f} s  {title}")
