"""Masked bins from the files to the metrics: whatever a track holds where it was not measured changes nothing."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.cli import app
from chromhub.datasets_scripts.dataset import WindowDataset, WindowPlan, evaluation_windows
from chromhub.datasets_scripts.export import ExportPlan, export_shards
from chromhub.datasets_scripts.shard_windows import ShardWindows
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.store_files import fingerprint_of
from chromhub.datasets_scripts.streaming import StreamingWindows
from chromhub.finetune.recipe import Recipe
from chromhub.finetune.train import train
from chromhub.inference.evaluation_folder import evaluate_run
from safetensors.torch import load_file
from typer.testing import CliRunner

from tests.datasets_scripts.bigwig_files import BEDGRAPH, write_raw_bigwig
from tests.datasets_scripts.conftest import SIZES, Toy

PRESET = "convnext-dcnn-tiny"
LENGTH, TARGET, JITTER, STRIDE = 1024, 512, 64, 2048
# Not measured, 0-based half-open: gaps of 100 bp and more in the bigWig of track a; a BED for track b.
# Both cover some of the training (chr1), validation (chr2:0-19000) and test (chr2:19000-38001) parts.
GAPS = {
    "a": [("chr1", 3000, 4001), ("chr2", 5002, 6000), ("chr2", 25_000, 26_030)],
    "b": [("chr1", 3500, 9000), ("chr2", 5500, 8000), ("chr2", 25_998, 30_000)],
}


@pytest.fixture
def store(toy: Toy) -> GenomeStore:
    """Build the toy from a bigWig with gaps and a sheet with a mask, as a user does."""
    sections = []
    for chrom, size in SIZES.items():
        edges = [0, *(edge for c, *gap in GAPS["a"] if c == chrom for edge in gap), size]
        steps = [s for first, end in zip(edges[::2], edges[1::2], strict=True) for s in _steps(first, end)]
        sections.append((chrom, BEDGRAPH, steps))
    gappy = write_raw_bigwig(toy.folder / "gappy.bw", SIZES, sections)
    toy.file("b.bed", "".join(f"{chrom}\t{start}\t{end}\n" for chrom, start, end in GAPS["b"]))
    sheet = toy.file("sheet.csv", "name,path,mask,cell_type\nb,b.bw,b.bed,HSC\n")
    words = ["--fasta", toy.inputs.fasta, "--track", f"a={gappy}", "--mask-gaps", 100, "--sheet", sheet]
    words += ["--peaks", toy.inputs.peaks, "--split", toy.folder / "split.json", "-o", toy.folder / "store"]
    result = CliRunner().invoke(app, ["data", "build", *map(str, words)])
    assert result.exit_code == 0, result.output
    return GenomeStore.open(toy.folder / "store")


def _steps(first: int, end: int) -> list[tuple[int, int, float]]:
    """Cover a stretch with steps of 50 bp, with a hole of 60 bp that is too short for a mask."""
    edges = [*range(first, end, 50), end]
    return [(s, e, float(s // 50 % 7)) for s, e in pairwise(edges) if not 600 <= s - first < 650]


@pytest.fixture
def other(store: GenomeStore, toy: Toy) -> GenomeStore:
    """Copy the store and fill what was not measured with the largest value there is."""
    shutil.copytree(store.path, toy.folder / "other")
    for track, name in enumerate(store.track_names):
        file = toy.folder / "other" / "tracks" / f"{name}.npy"
        values = np.load(file)
        for chrom in SIZES:
            first = store.offset(chrom) // store.bin_size
            masked = flat_mask(chrom, name) == 0
            values[first : first + len(masked)][masked] = 255
        np.save(file, values)
        assert values.dtype == np.uint8, track
    return GenomeStore.open(toy.folder / "other")


def flat_mask(chrom: str, track: str) -> np.ndarray:
    """Return by hand which bins of 4 bp of a chromosome were measured: 0 where any base of the bin was not."""
    bases = np.ones(-(-SIZES[chrom] // 4) * 4, int)
    for c, start, end in GAPS[track]:
        bases[slice(start, end) if c == chrom else slice(0, 0)] = 0
    return bases.reshape(-1, 4).min(axis=1)


def recipe(data: Path, **changes) -> Recipe:
    """Return a run of one step: (40,000 - 1,152) // 2,048 + 1 = 19 windows."""
    fields = {"preset": PRESET, "model": {"input_length": LENGTH, "target_length": TARGET}, "max_jitter": JITTER}
    fields |= {"windows": {"stride": STRIDE}, "batch_size": 32, "epochs": 1, "schedule": "cosine"}
    return Recipe(data=str(data), **fields, **changes)


def trained(data: Path, run: Path, **changes) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Train and return the weights and the history."""
    train(recipe(data, **changes), run, device="cpu", progress=False, say=lambda _: None)
    return load_file(run / "model.safetensors"), json.loads((run / "history.json").read_text())


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def exported(store: GenomeStore, folder: Path):
    plan = ExportPlan(
        training=WindowPlan(stride=STRIDE),
        input_length=LENGTH,
        target_length=TARGET,
        margin=JITTER,
        shard_size=60_000,
    )
    return export_shards(store, folder, plan)


def test_the_store_knows_what_was_not_measured(store) -> None:
    assert store.track_names == ["a", "b"]
    assert store.track_mask("a").to_numpy().tolist() == [list(gap) for gap in GAPS["a"]]
    assert store.track_mask("b").to_numpy().tolist() == [list(gap) for gap in GAPS["b"]]
    for chrom in SIZES:
        mask = store.gather_mask(np.array([store.offset(chrom)]), SIZES[chrom] // 4 * 4)[0]
        for track, name in enumerate(store.track_names):
            assert np.array_equal(mask[track], flat_mask(chrom, name)[: mask.shape[1]])


def test_masks_turn_and_move_with_their_window_however_it_is_read(store, toy) -> None:
    shards = exported(store, toy.folder / "shards")
    options = {"max_jitter": JITTER, "reverse_complement": True, "seed": 1}
    windows = shards.windows("train")
    plain = WindowDataset(store, windows, input_length=LENGTH, **options)
    mapped = ShardWindows(shards, "train", **options)
    stream = StreamingWindows(shards, "train", batch_size=5, num_lanes=1, shuffle=False, **options)
    kinds = set()
    for epoch in range(3):
        for data in (plain, mapped, stream):
            data.set_epoch(epoch)
        streamed = list(stream)
        read = [
            plain.batch(range(len(plain))),
            mapped.batch(range(len(mapped))),
            {name: np.concatenate([batch[name] for batch in streamed]) for name in streamed[0]},
        ]
        for i, start in enumerate(windows["start"]):
            shift, turned = int(plain._jitter[i]), bool(plain._reversed[i])
            bins = slice((start + shift) // 4, (start + shift + LENGTH) // 4)
            expected = np.stack([flat_mask("chr1", name)[bins] for name in "ab"])
            signal = np.stack([store.signal("chr1", name)[bins] for name in "ab"])
            for batch in read:
                assert np.array_equal(batch["mask"][i], expected[:, ::-1] if turned else expected)
                assert np.array_equal(batch["labels"][i], signal[:, ::-1] if turned else signal)
            kinds.add((0 < expected.mean() < 1, shift > 0, shift < 0, turned))
    assert {(True, True, False, True), (True, False, True, True), (True, True, False, False)} <= kinds


@pytest.mark.parametrize("streaming", [None, False, True], ids=["store", "shards", "stream"])
def test_a_step_of_training_does_not_see_masked_bins(store, other, toy, streaming) -> None:
    data = [store.path, other.path]
    options = {}
    if streaming is not None:
        data = [Path(exported(s, toy.folder / f"{s.path.name}-shards").name) for s in (store, other)]
        options["streaming"] = streaming
    one, history = trained(data[0], toy.folder / "one", **options)
    two, other_history = trained(data[1], toy.folder / "two", **options)
    assert same(one, two)
    assert [row["step"] for row in history] == [1]
    for name in ("loss", "eval_loss", "eval_pearson"):
        assert history[0][name] == other_history[0][name]


def test_without_the_masks_the_same_bins_do_count(store, other, toy) -> None:
    runs = []
    for made in (store, other):
        description = json.loads((made.path / "store.json").read_text())
        for track in description["tracks"]:
            del track["masked_bp"]
        description["fingerprint"] = fingerprint_of(description, made.path)
        (made.path / "store.json").write_text(json.dumps(description))
        runs.append(trained(made.path, toy.folder / f"run-{made.path.name}"))
    assert not same(runs[0][0], runs[1][0])
    for name in ("loss", "eval_loss", "eval_pearson"):
        assert runs[0][1][0][name] != runs[1][1][0][name]


def test_no_metric_counts_a_masked_bin(store, other, toy) -> None:
    trained(store.path, toy.folder / "run")
    found = [
        evaluate_run(toy.folder / "run", made, toy.folder / f"evaluation-{made.path.name}", device="cpu")
        for made in (store, other)
    ]
    assert found[0]["results"] == found[1]["results"]
    for name in ("metrics.tsv", "scatter.png", "tracks.png"):
        files = [(toy.folder / f"evaluation-{made.path.name}" / name).read_bytes() for made in (store, other)]
        assert files[0] == files[1], name
    windows, _ = evaluation_windows(store, "test", input_length=LENGTH, target_length=TARGET)
    peaks, _ = evaluation_windows(store, "test", input_length=LENGTH, target_length=TARGET, kind="peaks")
    for name in store.track_names:
        for kind, table in (("genome_wide", windows), ("peaks", peaks)):
            counted = found[0]["results"][name][kind]["pooled"]
            targets = targets_of(table, flat_mask("chr2", name))
            for bins in (1, 4, 32):  # a coarse bin counts where each of its bins does
                expected = int(targets.reshape(len(table), -1, bins).min(axis=2).sum())
                assert counted[str(4 * bins)]["log1p"]["n"] == counted[str(4 * bins)]["raw"]["n"] == expected
            assert kind == "peaks" or counted["4"]["log1p"]["n"] < targets.size


def targets_of(windows: pd.DataFrame, mask: np.ndarray) -> np.ndarray:
    """Return the mask of each window's target, (n, bins)."""
    first = (windows["start"].to_numpy() + (LENGTH - TARGET) // 2) // 4
    return mask[first[:, None] + np.arange(TARGET // 4)]
