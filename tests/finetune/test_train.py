"""A whole run: what it leaves, what it refuses, and that a resumed one ends the same bit for bit."""

import json
import shutil

import numpy as np
import pytest
import torch
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.finetune.adapters import attach
from chromhub.finetune.recipe import LoraRecipe, Recipe, load_recipe
from chromhub.finetune.run_folder import publish_run
from chromhub.finetune.starting_model import set_count_weight
from chromhub.finetune.train import train
from chromhub.finetune.trainer import ChromTrainer
from chromhub.inference.load import load_model
from chromhub.inference.provenance import Provenance
from chromhub.modeling import PRESETS, AtacConfig, AtacForTrackPrediction
from safetensors.torch import load_file

from .small_store import seal, small_store

FULL_RUN = {
    "config.json",
    "digests.json",
    "history.json",
    "model.safetensors",
    "preprocessor_config.json",
    "provenance.json",
    "recipe.yaml",
    "training_curve.png",
}
ADAPTER_RUN = {
    "digests.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    "history.json",
    "provenance.json",
    "recipe.yaml",
    "training_curve.png",
}
SHORT = {"max_jitter": 256, "windows": {"stride": 2048}, "batch_size": 8, "eval_batch_size": 8}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "store"
    small_store(folder)
    return folder


@pytest.fixture(scope="module")
def other_data(tmp_path_factory):
    """The same grid on another genome."""
    folder = tmp_path_factory.mktemp("data") / "other"
    small_store(folder, seed=1, genome="other")
    return folder


def scratch(data, **fields):
    return Recipe(data=str(data), **{"preset": "convnext-dcnn-tiny", **SHORT, "epochs": 2, **fields})


@pytest.fixture(scope="module")
def base(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "base"
    train(scratch(data, epochs=1), run, device="cpu", progress=False, say=lambda text: None)
    return run


def run(recipe, folder, **options):
    return train(recipe, folder, device="cpu", progress=False, say=lambda text: None, **options)


def weights(folder):
    return load_file(next(folder.glob("*model.safetensors")))


def assert_equal_weights(one, other):
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def assert_equal_runs(one, other):
    assert_equal_weights(one, other)
    assert json.loads((one / "history.json").read_text()) == json.loads((other / "history.json").read_text())


def test_a_run_from_scratch(data, tmp_path):
    said = []
    recipe = scratch(data)
    summary = train(recipe, tmp_path / "run", device="cpu", progress=False, say=said.append)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= FULL_RUN
    assert all(name in FULL_RUN or name.endswith(".py") for name in names)
    assert said[0].startswith("training on cpu")
    # 60,000 bp in windows of 2,048 + 2 x 256, stride 2,048: 1 + (60,000 - 2,560) // 2,048 = 29 windows, 4 steps of 8.
    # 12,000 bp in targets of 1,024: 11.
    assert summary["windows"] == {"train": 29, "valid": 11}
    assert summary["steps"] == 8
    assert recipe.bf16 is None  # the device decides, and the run says what it did
    assert load_recipe(tmp_path / "run" / "recipe.yaml") == recipe.model_copy(update={"bf16": False})
    model = load_model(tmp_path / "run")
    assert (model.config.genome, model.config.track_names) == ("toy", ["t0"])
    rows = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [row["step"] for row in rows if row["eval_loss"] is not None] == [4, 8]
    assert rows[0]["learning_rate"] == 0  # the paper's first step


@pytest.mark.parametrize("preset", sorted(name for name in PRESETS if name.endswith("-tiny")))
def test_one_word_changes_the_architecture(data, tmp_path, preset):
    summary = run(scratch(data, preset=preset, max_steps=2), tmp_path / "run")
    assert summary["steps"] == 2
    assert np.isfinite(summary["eval_loss"])
    assert load_model(tmp_path / "run").config.core_config == AtacConfig.from_preset(preset).core_config


def test_checkpointing_saves_memory_and_nothing_else(data, tmp_path):
    recipe = scratch(data, max_steps=3)
    run(recipe, tmp_path / "plain")
    run(recipe.model_copy(update={"gradient_checkpointing": True}), tmp_path / "recomputed")
    for name, tensor in weights(tmp_path / "plain").items():
        assert torch.allclose(tensor.float(), weights(tmp_path / "recomputed")[name].float(), atol=1e-5), name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # inductor's own imports
def test_compiled_training(data, tmp_path):
    recipe = scratch(data, max_steps=3)
    run(recipe, tmp_path / "plain")
    run(recipe.model_copy(update={"compile": True}), tmp_path / "compiled")
    assert weights(tmp_path / "compiled").keys() == weights(tmp_path / "plain").keys()  # no `_orig_mod.`


def test_a_mappability_head_learns_from_the_store(data, tmp_path):
    recipe = scratch(data, max_steps=2, model={"mappability_weight": 1.0})
    with pytest.raises(ValueError, match="has no unmappable intervals; build the data with --unmappable"):
        run(recipe, tmp_path / "refused")
    masked = tmp_path / "masked"
    shutil.copytree(data, masked)
    (masked / "unmappable.tsv").write_text("chrom\tstart\tend\none\t5000\t5600\n")
    seal(masked)
    run(recipe.model_copy(update={"data": str(masked)}), tmp_path / "run")
    torch.manual_seed(0)
    assert "mappability_head.linear.weight" in weights(tmp_path / "run")
    plain = run(scratch(masked, max_steps=2), tmp_path / "plain")
    both = json.loads((tmp_path / "run" / "history.json").read_text())[-1]["eval_loss"]
    assert both > plain["eval_loss"]  # a squared error came on top


def test_the_written_recipe_repeats_the_run(data, tmp_path):
    run(scratch(data, seed=3), tmp_path / "one")
    run(load_recipe(tmp_path / "one" / "recipe.yaml"), tmp_path / "two")
    assert_equal_runs(tmp_path / "one", tmp_path / "two")
    run(scratch(data, seed=4), tmp_path / "three")
    assert not torch.equal(weights(tmp_path / "one")["head.weight"], weights(tmp_path / "three")["head.weight"])


def test_provenance_holds_what_the_model_saw(data, base):
    provenance = Provenance.load(base)
    # The last of 29 windows with jitter ends at 28 x 2,048 + 2,560; the last of 11 targets at 11 x 1,024.
    assert [(s.chrom, s.digest, s.intervals) for s in provenance.trained_on] == [("one", "0-one", ((0, 59_904),))]
    assert [(s.chrom, s.intervals) for s in provenance.selected_on] == [("two", ((0, 11_264),))]
    assert (provenance.mode, provenance.tracks, provenance.base) == ("scratch", ("t0",), None)
    assert provenance.data_fingerprint == GenomeStore.open(data).fingerprint
    training = json.loads((base / "provenance.json").read_text())["training"]
    assert training["windows_report"]["train"]["kept"] == 29
    assert training["wall_seconds"] > 0
    assert training["windows_per_second"] > 0


@pytest.mark.parametrize("mode", ["lora", "head", "full", "two-stage"])
def test_fine_tuning(base, other_data, tmp_path, mode):
    # evaluated at the end alone, so that the second stage's weights are published
    fields = {"head_stage": {"epochs": 1}, "eval_steps": 8} if mode == "two-stage" else {}
    recipe = Recipe(data=str(other_data), base=str(base), mode=mode, **SHORT, epochs=1, **fields)
    summary = run(recipe, tmp_path / "run")
    assert summary["steps"] == (8 if mode == "two-stage" else 4)
    before, after = load_model(base).state_dict(), load_model(tmp_path / "run").state_dict()
    assert not torch.equal(before["head.weight"], after["head.weight"])
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    names = {path.name for path in (tmp_path / "run").iterdir()}
    if mode == "lora":
        assert names == ADAPTER_RUN
        assert {"stem.pointwise_in.weight", "core.blocks.3.dilated.conv.weight"} <= changed
        assert (load_model(base).config.genome, load_model(tmp_path / "run").config.genome) == ("toy", "other")
    else:
        assert names >= FULL_RUN
    if mode == "head":
        assert changed == {"head.weight", "head.bias"}
    # Under a frozen trunk the statistics of batch normalisation stay the base's.
    assert any("running_mean" in name for name in changed) == (mode in ("full", "two-stage"))
    provenance = Provenance.load(tmp_path / "run")
    assert provenance.base_model == str(base)
    assert provenance.base.trained_on[0].chrom == "one"


def test_what_was_evaluated_is_published(base, other_data, tmp_path):
    """The average of the weights, or statistics measured at the end: the metric is that of the published model."""
    recipe = {"data": str(other_data), "base": str(base), **SHORT, "epochs": 1, "learning_rate": 1e-2}
    plain = run(Recipe(**recipe, mode="full"), tmp_path / "plain")
    for name, fields in (("ema", {"ema": 0.99}), ("re-estimated", {"batch_norm": "re-estimated"})):
        summary = run(Recipe(**recipe, mode="full", **fields), tmp_path / name)
        assert summary["eval_pearson"] != plain["eval_pearson"]
        # steps too small to change a float: the published model, evaluated again
        still = {**recipe, "base": str(tmp_path / name), "learning_rate": 1e-12}
        again = run(Recipe(**still, mode="head", max_steps=1), tmp_path / f"{name}-again", allow_leak=True)
        assert again["eval_pearson"] == pytest.approx(summary["eval_pearson"], abs=1e-5)
    frozen, measured = weights(tmp_path / "plain"), weights(tmp_path / "re-estimated")
    assert torch.equal(frozen["stem.conv.weight"], measured["stem.conv.weight"])
    assert not torch.equal(frozen["core.features.norm.running_var"], measured["core.features.norm.running_var"])


def test_an_adapters_statistics_travel_with_it(base, other_data, tmp_path):
    recipe = {"data": str(other_data), "base": str(base), **SHORT, "epochs": 1, "mode": "lora"}
    run(Recipe(**recipe, batch_norm="train"), tmp_path / "run")
    assert not torch.equal(
        load_model(base).core.features.norm.running_mean, load_model(tmp_path / "run").core.features.norm.running_mean
    )
    with pytest.raises(ValueError, match=r"lora.dropout` must be 0 .*core.lstm.weight_ih_l0\), got 0.1"):
        attach(AtacForTrackPrediction(AtacConfig.from_preset("lstm-tiny")), "lora", lora=LoraRecipe(r=2, dropout=0.1))


def test_fewer_windows_are_a_subset_drawn_by_the_seed(data, tmp_path):
    from chromhub.datasets_scripts.store import GenomeStore
    from chromhub.finetune.selection import select_windows
    from chromhub.modeling import AtacConfig

    def starts(**windows):
        recipe = scratch(data, windows={"stride": 1024, **windows}, max_eval_windows=3)
        train_windows, valid_windows, report = select_windows(recipe, GenomeStore.open(data), AtacConfig())
        # Targets 0, 5 and 10 of 11; a window starts 512 bp before its target.
        assert valid_windows["start"].tolist() == [-512, 5 * 1024 - 512, 10 * 1024 - 512]
        assert report["train"]["drawn"] == len(train_windows)
        return train_windows["start"].tolist()

    half, tenth = starts(fraction=0.5), starts(fraction=0.1)
    assert (len(starts()), len(half), len(tenth), len(starts(max_windows=7))) == (57, 29, 6, 7)
    assert set(tenth) < set(half)
    assert half == sorted(half)


def test_the_weight_of_a_total_is_a_tenth_of_the_median(base, data, tmp_path):
    class Windows(list):
        def batch(self, indices):
            return {"labels": np.array([self[i] for i in indices]), "mask": np.ones((len(indices), 1, 2))}

    windows = Windows([[[10.0, 20.0]], [[0.0, 0.0]], [[50.0, np.nan]], [[100.0, 0.0]]])
    config = AtacConfig(loss="profile_count")
    set_count_weight(config, scratch(data), windows)
    assert config.count_weight == 4  # totals 0, 30, 50 and 100: a tenth of the median 40
    set_count_weight(config, scratch(data, model={"count_weight": 2.0}), windows)
    assert config.count_weight == 4  # left as the model has it
    set_count_weight(config, scratch(data), Windows([[[0.0, 0.0]]]))
    assert config.count_weight == 0.1
    plain = AtacConfig()
    set_count_weight(plain, scratch(data), windows)
    assert plain.count_weight == 1
    with pytest.raises(ValueError, match=r"a stream does not know, got no `model.count_weight`; say it, or train"):
        set_count_weight(config, scratch(data, streaming=True), windows)
    recipe = Recipe(data=str(data), base=str(base), mode="full", **SHORT, max_steps=1, loss="profile_count")
    run(recipe, tmp_path / "run", allow_leak=True)
    assert load_model(base).config.loss == "poisson"
    tuned = load_model(tmp_path / "run").config
    assert (tuned.loss, tuned.count_weight > 1) == ("profile_count", True)
    again = Recipe(data=str(data), base=str(tmp_path / "run"), mode="full", **SHORT, max_steps=1)
    run(again, tmp_path / "again", allow_leak=True)
    assert load_model(tmp_path / "again").config.loss == "profile_count"  # the base's, where nothing is said


class Stop(BaseException):
    """Stands for a kill."""


def killed(*args, **kwargs):
    raise Stop


def cut_short(monkeypatch, step, recipe, folder, **options):
    """Train, and stop before the optimiser step after `step`."""
    training_step = ChromTrainer.training_step

    def watched(self, *args, **kwargs):
        if self.state.global_step == step:
            raise Stop
        return training_step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ChromTrainer, "training_step", watched)
        with pytest.raises(Stop):
            run(recipe, folder, **options)


def keep_checkpoints(monkeypatch):
    """Copy the checkpoints of RUN to RUN-checkpoints when it is published."""

    def publish(staged, folder):
        shutil.copytree(folder / "checkpoints", folder.with_name(f"{folder.name}-checkpoints"))
        publish_run(staged, folder)

    monkeypatch.setattr("chromhub.finetune.train.publish_run", publish)


@pytest.mark.parametrize(
    ("mode", "fields"),
    [
        ("scratch", {}),
        ("scratch", {"accumulate": 2}),
        ("scratch", {"optimizer": "muon", "loss": "profile_count", "substitutions": 0.05}),
        ("lora", {"lora": {"r": 2, "dropout": 0.2}, "batch_norm": "train"}),
        # the head until step 8
        (
            "two-stage",
            {
                "head_stage": {"epochs": 2},
                "epochs": 1,
                "learning_rate": 1e-3,
                "layer_decay": 0.5,
                "ema": 0.9,
                "batch_norm": "re-estimated",
            },
        ),
    ],
)
def test_a_resumed_run_ends_the_same(base, data, tmp_path, monkeypatch, mode, fields):
    # 4 steps an epoch, checkpoints at 3, 4, 6, 8, 9 and 12: it goes on from 6, then from 9, each within an epoch.
    common = {**SHORT, "epochs": 3, "save_steps": 3, **fields}
    if mode == "scratch":
        recipe = Recipe(data=str(data), preset="convnext-dcnn-tiny", **common)
    else:
        recipe = Recipe(data=str(data), base=str(base), mode=mode, **common)
    keep_checkpoints(monkeypatch)
    run(recipe, tmp_path / "whole")
    cut = tmp_path / "cut"
    cut_short(monkeypatch, 7, recipe, cut)
    assert [path.name for path in cut.iterdir()] == ["checkpoints"]
    cut_short(monkeypatch, 11, recipe, cut, resume=True)
    half_written = cut / "checkpoints" / "checkpoint-11"
    shutil.copytree(cut / "checkpoints" / "checkpoint-9", half_written)
    (half_written / "trainer_state.json").unlink()
    summary = run(recipe, cut, resume=True)
    assert summary["resumed_from"] == 9
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")
    # The published weights may be of an early step: the last ones, and the optimizer's moments, are equal too.
    ours, theirs = (tmp_path / f"{name}-checkpoints" / "checkpoint-12" for name in ("whole", "cut"))
    assert_equal_weights(ours, theirs)
    if recipe.ema:
        averages = [load_file(folder / "average.safetensors") for folder in (ours, theirs)]
        assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])
    moments = [torch.load(folder / "optimizer.pt")["state"] for folder in (ours, theirs)]
    assert moments[0].keys() == moments[1].keys()
    for i, ours in moments[0].items():
        assert ours.keys() == moments[1][i].keys()
        assert all(torch.equal(moment, moments[1][i][name]) for name, moment in ours.items())
    assert any("momentum_buffer" in ours for ours in moments[0].values()) == (recipe.optimizer == "muon")


def test_a_run_that_had_ended_is_only_finished(base, data, tmp_path, monkeypatch):
    # Steps too small to change a float: the second evaluation is no better than the first, and patience ends the run.
    recipe = Recipe(data=str(data), base=str(base), mode="head", **SHORT, epochs=6, patience=1, learning_rate=1e-12)
    run(recipe, tmp_path / "whole")

    with monkeypatch.context() as patch:
        patch.setattr("chromhub.finetune.train.publish_run", killed)
        with pytest.raises(Stop):
            run(recipe, tmp_path / "cut")
    with monkeypatch.context() as patch:
        patch.setattr(ChromTrainer, "train", killed)
        summary = run(recipe, tmp_path / "cut", resume=True)
    assert summary["steps"] == 8
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_resuming_needs_the_same_recipe_and_data(data, tmp_path, monkeypatch):
    cut_short(monkeypatch, 5, scratch(data), tmp_path / "run")
    with pytest.raises(FileExistsError, match="unfinished run; go on with --resume"):
        run(scratch(data), tmp_path / "run")
    with pytest.raises(ValueError, match=r"has batch_size 8, got 4; resume without it"):
        run(scratch(data, batch_size=4), tmp_path / "run", resume=True)
    changed = tmp_path / "run" / "checkpoints" / "data.json"
    changed.write_text('{"fingerprint": "older"}')
    with pytest.raises(ValueError, match=r"has changed since the run began \(fingerprint older then, \w{16} now\)"):
        run(scratch(data), tmp_path / "run", resume=True)
    run(scratch(data, batch_size=16, epochs=1), tmp_path / "run", overwrite=True)
    assert load_recipe(tmp_path / "run" / "recipe.yaml").batch_size == 16


def test_a_leak_is_refused(base, data, tmp_path):
    split = {"train": ["two"], "valid": ["one:0-20000"], "test": ["three"]}
    folder = tmp_path / "leaky"
    small_store(folder, split=split)
    recipe = Recipe(data=str(folder), base=str(base), **SHORT, epochs=1)
    with pytest.raises(ValueError, match=r"valid part of the data overlaps .*one:0-20000.*--allow-leak"):
        run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run(recipe, tmp_path / "run", allow_leak=True)


@pytest.mark.parametrize(
    ("made", "fields", "sentence"),
    [
        ({"bin_size": 8}, {}, r"has bin_size 4 and the data .* has 8; build the data with the base's value"),
        ({"summary": "mean"}, {}, r"has target_summary 'max' and the data .* has 'mean'"),
        ({"num_tracks": 2}, {}, r"predicts 1 tracks and the data .* has 2 \(t0, t1\); use --new-head"),
        ({"num_tracks": 2}, {"new_head": True}, "mode lora keeps the base's 1 tracks, got 2"),
        ({}, {"model": {"input_length": 4096}}, r"`model.input_length` is 4096 in the recipe and 2048 in the base"),
        ({}, {"max_jitter": 6}, "`max_jitter` must be a multiple of the bin size 4, got 6"),
    ],
)
def test_a_base_that_does_not_fit_is_refused(base, tmp_path, made, fields, sentence):
    small_store(tmp_path / "data", seed=1, genome="other", **made)
    recipe = Recipe(data=str(tmp_path / "data"), base=str(base), **{**SHORT, "epochs": 1, **fields})
    with pytest.raises(ValueError, match=sentence):
        run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_new_head_keeps_the_trunk(base, tmp_path):
    small_store(tmp_path / "data", seed=1, genome="other", num_tracks=2)
    recipe = Recipe(data=str(tmp_path / "data"), base=str(base), mode="head", new_head=True, **SHORT, epochs=1)
    run(recipe, tmp_path / "run")
    model = load_model(tmp_path / "run")
    assert (model.config.num_tracks, model.config.track_names, tuple(model.head.weight.shape)) == (
        2,
        ["t0", "t1"],
        (2, 64),
    )
    assert torch.equal(model.stem.conv.weight, load_model(base).stem.conv.weight)


def test_other_refusals(base, data, tmp_path):
    with pytest.raises(ValueError, match="cannot lie where its base lies"):
        run(Recipe(data=str(data), base=str(base), **SHORT), base, overwrite=True)
    with pytest.raises(ValueError, match="`model` in the recipe has no key 'input_lenth'"):
        run(scratch(data, model={"input_lenth": 4096}), tmp_path / "run")
    with pytest.raises(ValueError, match=r"`model.bin_size` is 8 in the recipe and 4 in the data"):
        run(scratch(data, model={"bin_size": 8}), tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="is not a chromhub store"):
        run(scratch(tmp_path / "none"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_metric_is_pearson_of_the_central_bins(data, tmp_path):
    from chromhub.datasets_scripts.store import GenomeStore

    summary = run(scratch(data, epochs=1, bf16=False), tmp_path / "run")
    store, model = GenomeStore.open(data), load_model(tmp_path / "run")
    starts = store.offset("two") + np.arange(11) * 1024 - 512
    codes, signal = store.gather(starts, 2048)
    with torch.no_grad():
        predicted = model(torch.from_numpy(codes)).predictions[..., 128:384].numpy()
    expected = np.corrcoef(predicted.ravel(), np.log1p(signal[..., 128:384]).ravel())[0, 1]
    assert summary["eval_pearson"] == pytest.approx(expected, abs=1e-5)
    shutil.rmtree(tmp_path / "run")
