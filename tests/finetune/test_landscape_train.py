"""From a landscape folder to a run, and from a run to another assay."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from chromhub.datasets_scripts.landscape import LandscapeData
from chromhub.finetune.landscape_data import LandscapeWindows, choose_rows, statistics
from chromhub.finetune.recipe import load_recipe
from chromhub.finetune.schedule import build_schedule
from chromhub.finetune.starting_landscape import starting_landscape
from chromhub.finetune.train import train
from chromhub.inference.load import load_landscape_model
from chromhub.inference.provenance import Provenance

from ..landscape_folder import write_landscape


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("landscapes")
    write_landscape(root / "plain")
    write_landscape(root / "two", seed=1, targets=2)
    write_landscape(root / "rotated", contacts="rotated")
    write_landscape(root / "square", contacts="square")
    return {path.name: str(path) for path in root.iterdir()}


def recipe(folder: str, **fields):
    return load_recipe(data=folder, **{"preset": "claster-tiny", "max_steps": 2, "batch_size": 8, **fields})


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory) -> tuple[Path, dict]:
    output = tmp_path_factory.mktemp("runs") / "base"
    return output, train(recipe(folders["plain"]), output, device="cpu", progress=False, say=lambda text: None)


def opened(folder: str):
    return LandscapeData.open(folder)


def test_the_source_decides_what_a_recipe_leaves_open(folders):
    found = recipe(folders["plain"], max_steps=None)
    assert found.task == "landscape"
    assert (found.learning_rate, found.epochs, found.schedule, found.warmup) == (1e-4, 120, "constant", 3.3)
    assert (found.weight_decay, found.betas, found.max_grad_norm, found.max_jitter) == (1e-4, (0.9, 0.999), 1.0, 0)
    tuned = load_recipe(data=folders["plain"], base="x/y")
    assert (tuned.task, tuned.mode, tuned.learning_rate, tuned.schedule) == ("landscape", "lora", 1e-3, "cosine")
    factor = build_schedule("constant", steps_per_epoch=10, num_steps=100, warmup=0.4, restart_decay=1)
    assert [factor(step) for step in (0, 3, 4, 99)] == [0.2, 0.8, 1.0, 1.0]
    for fields in ({"max_jitter": 4}, {"streaming": True}, {"tracks": ["a"]}):
        with pytest.raises(ValueError, match="task landscape has no streaming, tracks or max_jitter"):
            recipe(folders["plain"], **fields)
    with pytest.raises(ValueError, match="warmup must be below 1 with schedule cosine"):
        recipe(folders["plain"], schedule="cosine", warmup=2)


@pytest.mark.parametrize("form", ["rotated", "square"])
def test_flips_turn_every_modality(folders, form):
    data = opened(folders[form])
    rows = data.rows("train")
    plain = LandscapeWindows(data, rows, contacts=True)
    turning = LandscapeWindows(data, rows, contacts=True, flip=True, seed=3)
    batch, turned = plain.batch([0, 1, 2, 3]), turning.batch([0, 1, 2, 3])
    back = [not np.array_equal(batch["inputs"][i], turned["inputs"][i]) for i in range(4)]
    assert 0 < sum(back) < 4
    for i, is_turned in enumerate(back):
        for name in batch:
            step = -1 if is_turned else 1
            rows_step = step if name == "contact_map" and form == "square" else 1
            assert np.array_equal(turned[name][i], batch[name][i][::rows_step, ::step]), name
    turning.set_epoch(1)
    assert not np.array_equal(turning.batch([0, 1, 2, 3])["inputs"], turned["inputs"])
    assert np.array_equal(turning[2]["inputs"], turning.batch([2])["inputs"][0])


def test_statistics_are_those_of_the_training_genes(folders):
    data = opened(folders["rotated"])
    rows = data.rows("train")
    found = statistics(data, rows, flip=False, contacts=True)
    assert found["landscape_mean"] == pytest.approx(data.landscapes[rows].mean(), rel=1e-5)
    assert found["landscape_std"] == pytest.approx(data.landscapes[rows].std(), rel=1e-5)
    assert found["contact_mean"] == pytest.approx(data.contacts[rows].mean(), rel=1e-5)
    # gene 0 has no bins 0 and 1, which lie off its chromosome
    assert found["target_mean"][0, 0] == pytest.approx(data.targets[rows[1:], 0, 0].mean(), rel=1e-5)
    assert found["target_std"][0, 5] == pytest.approx(data.targets[rows, 0, 5].std(), rel=1e-5)
    both = statistics(data, rows, flip=True, contacts=False)
    assert np.allclose(both["target_mean"], both["target_mean"][:, ::-1])
    assert "contact_mean" not in both


def test_a_run_is_a_model_with_its_record(run, folders):
    output, summary = run
    assert summary["windows"] == {"train": 18, "valid": 8}
    assert summary["eval_pearson"] is not None
    assert not (output / "preprocessor_config.json").exists()
    model, data = load_landscape_model(output), opened(folders["plain"])
    assert model.config.input_tracks == data.input_tracks
    assert model.landscape_mean.item() == pytest.approx(data.landscapes[data.rows("train")].mean(), rel=1e-4)
    provenance = Provenance.load(output)
    assert [chrom.chrom for chrom in provenance.trained_on] == ["a"]
    assert [chrom.chrom for chrom in provenance.selected_on] == ["b"]
    first = data.genes["tss"].iloc[0] - 2100  # 21 bins of 200 bp around it
    assert provenance.trained_on[0].intervals[0][0] == first
    assert json.loads((output / "history.json").read_text())


@pytest.mark.parametrize("mode", ["lora", "full", "head"])
def test_another_assay_on_a_base(run, folders, mode, tmp_path):
    output, _ = run
    fields = {"preset": None, "base": str(output), "mode": mode, "learning_rate": 1e-2}
    if mode != "lora":
        fields["new_head"] = True
    folder = folders["plain" if mode == "lora" else "two"]
    trained = train(
        recipe(folder, **fields), tmp_path / mode, device="cpu", progress=False, say=lambda text: None, allow_leak=True
    )
    base, tuned = load_landscape_model(output), load_landscape_model(tmp_path / mode)
    same = torch.equal(base.landscape.features.weight, tuned.landscape.features.weight)
    assert same == (mode == "head")
    assert trained["parameters_trained"] < sum(p.numel() for p in base.parameters()) or mode == "full"
    assert tuned.config.num_tracks == (1 if mode == "lora" else 2)
    assert torch.equal(base.landscape_mean, tuned.landscape_mean)


def test_contact_maps_are_read_by_models_that_have_them(folders):
    data = opened(folders["rotated"])
    model = starting_landscape(recipe(folders["rotated"], preset="claster-tiny-contacts"), data)
    assert model.config.structure["shape"] == [5, 21]
    assert model.contact_mean.item() == pytest.approx(data.contacts[data.rows("train")].mean(), rel=1e-4)
    assert starting_landscape(recipe(folders["rotated"]), data).structure is None


@pytest.mark.parametrize(
    ("folder", "fields", "message"),
    [
        ("plain", {"preset": "convnext-dcnn"}, "is a landscape folder, for a preset of claster"),
        ("plain", {"preset": "claster-tiny-contacts"}, "reads rotated contact maps and .* has none"),
        ("square", {"preset": "claster-tiny-contacts"}, "reads rotated contact maps and .* has square"),
        ("plain", {"model": {"num_bins": 9}}, "`model.num_bins` is 9 in the recipe and 21 in the data"),
        ("plain", {"model": {"bins": 9}}, "has no key 'bins'"),
    ],
)
def test_what_does_not_fit_is_refused(folders, folder, fields, message):
    with pytest.raises(ValueError, match=message):
        starting_landscape(recipe(folders[folder], **fields), opened(folders[folder]))


def test_a_part_of_the_genes(folders):
    data = opened(folders["plain"])
    train_rows, valid, report = choose_rows(
        recipe(folders["plain"], windows={"fraction": 0.5}, max_eval_windows=3), data
    )
    assert (len(train_rows), len(valid)) == (9, 3)
    assert report["train"] == {"genes": 18, "drawn": 9}


def test_other_outputs_need_a_new_head(run, folders):
    with pytest.raises(ValueError, match="use --new-head with --mode full, head or two-stage"):
        starting_landscape(recipe(folders["two"], preset=None, base=str(run[0])), opened(folders["two"]))
