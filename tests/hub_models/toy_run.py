"""Run folders as training and evaluation leave them, made in a second."""

import json
from pathlib import Path
from typing import Any

import torch
from chromhub.finetune.adapters import attach, save_adapter
from chromhub.finetune.recipe import LoraRecipe, load_recipe
from chromhub.inference.provenance import Provenance, SeenChrom
from chromhub.modeling import AtacForTrackPrediction, DnaFeatureExtractor


def _numbers(n: int, pearson: float | None) -> dict[str, Any]:
    return {scale: {"n": n, "pearson": pearson, "mse": 0.125} for scale in ("log1p", "raw")}


# What `chromhub.inference.evaluate.evaluate` returns; the peaks at 128 bp have no correlation.
METRICS: dict[str, Any] = {
    "model": "/home/someone/runs/yeast",
    "leak": {"checked": True, "allowed": False, "overlaps": []},
    "part": "test",
    "data": {
        "name": "yeast",
        "genome": "sacCer3",
        "fingerprint": "f00d",
        "bin_size": 4,
        "summary": "max",
        "tracks": ["track_0"],
    },
    "intervals": ["chrIV:0-1531933", "chrXV:0-1091291"],
    "reverse_complement": False,
    "windows": {"genome_wide": {"kept": 12}, "peaks": {"kept": 3}},
    "results": {
        "track_0": {
            "genome_wide": {
                "pooled": {"4": _numbers(3072, 0.1 + 0.2), "128": _numbers(96, 0.75)},
                "chroms": {
                    "chrIV": {"4": _numbers(2048, 0.25), "128": _numbers(64, 0.5)},
                    "chrXV": {"4": _numbers(1024, 0.375), "128": _numbers(32, 0.625)},
                },
            },
            "peaks": {
                "pooled": {"4": _numbers(768, 0.8125), "128": _numbers(24, None)},
                "chroms": {"chrIV": {"4": _numbers(768, 0.8125), "128": _numbers(24, None)}},
            },
        }
    },
    "versions": {"torch": "2.0"},
}
HISTORY = [
    {"step": 10, "epoch": 1.0, "loss": 0.9, "eval_loss": 0.8, "eval_pearson": 0.25, "learning_rate": 1e-3},
    {"step": 20, "epoch": 2.0, "loss": 0.7, "eval_loss": 0.6, "eval_pearson": 0.5, "learning_rate": 9e-4},
    {"step": 30, "epoch": 3.0, "loss": 0.6, "eval_loss": 0.7, "eval_pearson": 0.375, "learning_rate": 8e-4},
]


def write_records(folder: Path, *, evaluated: bool = True, base: str | None = None, parent: Provenance | None = None):
    """Write what lies beside the weights."""
    mode = {"base": base, "mode": "lora"} if base else {"preset": "convnext-dcnn-tiny", "mode": "scratch"}
    recipe = load_recipe(None, data="/home/someone/data/yeast", seed=7, epochs=3, **mode)
    recipe.write(folder / "recipe.yaml")
    Provenance(
        base_model=base,
        genome="sacCer3",
        trained_on=(
            SeenChrom("chrI", "aaaa", ((0, 230218),)),
            SeenChrom("chrIII", "bbbb", tuple((i * 10_000, i * 10_000 + 5_000) for i in range(10))),
        ),
        selected_on=(SeenChrom("chrII", "cccc", ((0, 813184),)),),
        tracks=("track_0",),
        seed=7,
        mode=recipe.mode or "",
        data_fingerprint="f00d",
        recipe=recipe.model_dump(mode="json"),
        versions={"torch": "2.0"},
        base=parent,
    ).save(folder)
    (folder / "history.json").write_text(json.dumps(HISTORY))
    (folder / "training_curve.png").write_bytes(b"\x89PNG")
    if evaluated:
        (folder / "evaluation").mkdir()
        (folder / "evaluation" / "metrics.json").write_text(json.dumps(METRICS))
        (folder / "evaluation" / "scatter.png").write_bytes(b"\x89PNG")
        (folder / "evaluation" / "training_curve.png").write_bytes(b"\x89PNG")
        (folder / "metrics.json").write_text(json.dumps(METRICS))


def toy_run(folder: Path, model: AtacForTrackPrediction, *, evaluated: bool = True) -> Path:
    """Write the run of a model trained from scratch."""
    model.save_pretrained(folder)
    DnaFeatureExtractor().save_pretrained(folder)
    write_records(folder, evaluated=evaluated)
    (folder / "checkpoints" / "checkpoint-30").mkdir(parents=True)
    (folder / "checkpoints" / "checkpoint-30" / "optimizer.pt").write_bytes(b"pickle")
    return folder


def toy_adapter(folder: Path, model: AtacForTrackPrediction, base: Path | str) -> Path:
    """Write the run of an adapter on `model`, which lies in `base`; every weight of the adapter matters."""
    adapted = attach(model, "lora", lora=LoraRecipe(r=2))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    folder.mkdir()
    save_adapter(adapted.eval(), folder, base=str(base))
    write_records(folder, base=str(base), parent=Provenance.load(base))
    return folder
