import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.datasets_scripts.dataset import (
    WindowDataset,
    WindowPlan,
    collate,
    evaluation_windows,
    training_windows,
)
from chromhub.datasets_scripts.folds import Split
from torch.utils.data import DataLoader

LENGTH = 512


@pytest.fixture
def windows() -> pd.DataFrame:
    starts = np.arange(2000, 18_000, 400)
    return pd.DataFrame({"chrom": "chr1", "start": starts, "end": starts + LENGTH})


def dataset(store, windows, **options) -> WindowDataset:
    return WindowDataset(store, windows, **{"input_length": LENGTH, **options})


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name])


def test_a_window_is_the_genome(store, windows) -> None:
    item = dataset(store, windows)[3]
    start = windows["start"][3]
    assert item["inputs"].tolist() == store.codes("chr1")[start : start + LENGTH].tolist()
    assert item["labels"].shape == (2, 128)
    assert item["labels"][1].tolist() == store.signal("chr1", "b")[start // 4 : (start + LENGTH) // 4].tolist()


def test_batches_equal_single_items_at_any_batch_size_and_order(store, windows) -> None:
    data = dataset(store, windows, max_jitter=64, reverse_complement=True, substitutions=0.1, seed=3)
    data.set_epoch(2)
    order = np.random.default_rng(0).permutation(len(data))
    whole = data.batch(order.tolist())
    singles = [data[int(i)] for i in order]
    assert_same(whole, {name: np.stack([item[name] for item in singles]) for name in whole})
    parts = [data.batch(order[i : i + 7].tolist()) for i in range(0, len(order), 7)]
    assert_same(whole, {name: np.concatenate([part[name] for part in parts]) for name in whole})


def test_substitutions_leave_signal_and_store_alone(store, windows) -> None:
    plain, noisy = (dataset(store, windows, substitutions=share).batch(range(5)) for share in (0.0, 0.1))
    assert np.array_equal(plain["labels"], noisy["labels"])
    # 5 x 512 bases, of which a tenth is replaced: five standard deviations are 76
    assert abs((plain["inputs"] != noisy["inputs"]).sum() - 256) < 76
    assert_same(dataset(store, windows).batch(range(5)), plain)


@pytest.mark.enable_socket  # torch hands tensors over through a Unix socket
@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_do_not_matter(store, windows, num_workers) -> None:
    data = dataset(store, windows, max_jitter=64, reverse_complement=True)
    data.set_epoch(1)
    batches = list(DataLoader(data, batch_size=16, collate_fn=collate, num_workers=num_workers))
    assert batches[0]["inputs"].dtype == torch.uint8
    assert batches[0]["labels"].dtype == torch.float32
    joined = {name: torch.cat([batch[name] for batch in batches]).numpy() for name in batches[0]}
    assert_same(joined, data.batch(range(len(data))))


def test_epochs_and_seeds_differ_and_repeat(store, windows) -> None:
    def batch(seed: int, epoch: int) -> dict:
        data = dataset(store, windows, max_jitter=64, reverse_complement=True, seed=seed)
        data.set_epoch(epoch)
        return data.batch(range(len(data)))

    assert_same(batch(0, 1), batch(0, 1))
    assert not np.array_equal(batch(0, 1)["inputs"], batch(0, 2)["inputs"])
    assert not np.array_equal(batch(0, 1)["inputs"], batch(1, 1)["inputs"])


def test_jitter_is_whole_bins_both_ways_and_keeps_bases_and_bins_together(store, windows) -> None:
    data = dataset(store, windows, max_jitter=8)
    seen = set()
    for epoch in range(10):
        data.set_epoch(epoch)
        for i, start in enumerate(windows["start"]):
            item = data[i]
            shifts = [s for s in range(-20, 21) if (store.codes("chr1")[start + s :][:LENGTH] == item["inputs"]).all()]
            seen.update(shifts)
            first = (start + shifts[0]) // 4
            assert item["labels"][0].tolist() == store.signal("chr1", 0)[first : first + 128].tolist()
    assert seen == {-8, -4, 0, 4, 8}


def test_reverse_complement_turns_half_of_the_windows(store, windows) -> None:
    plain = dataset(store, windows).batch(range(len(windows)))
    turned = dataset(store, windows, reverse_complement=True)
    found = turned.batch(range(len(windows)))
    complement = np.array([3, 2, 1, 0, 4])
    flipped = [i for i in range(len(windows)) if not np.array_equal(found["inputs"][i], plain["inputs"][i])]
    assert 0.25 < len(flipped) / len(windows) < 0.75
    for i in flipped:
        assert found["inputs"][i].tolist() == complement[plain["inputs"][i]][::-1].tolist()
        assert np.array_equal(found["labels"][i], plain["labels"][i][:, ::-1])


def test_mappable_bases_turn_with_their_window(store, windows) -> None:
    # chr1:15000-15500 is unmappable; windows start at 14,800 and 15,200
    around = windows[windows["start"].isin([14_800, 15_200])]
    labels = dataset(store, around, mappability=True).batch([0, 1])["mappable"]
    assert labels[0].tolist() == [1] * 200 + [0] * 312  # to 15,312
    assert labels[1].tolist() == [0] * 300 + [1] * 212  # from 15,500
    turned = dataset(store, around.loc[around.index.repeat(8)], mappability=True, reverse_complement=True)
    batch = turned.batch(range(16))
    for i in np.flatnonzero(turned._reversed):
        assert batch["mappable"][i].tolist() == labels[i // 8][::-1].tolist()
    assert 0 < turned._reversed.sum() < 16


def test_overlapping_unmappable_intervals(toy) -> None:
    toy.file("unmappable.bed", "chr1\t100\t200\nchr1\t120\t130\nchr1\t180\t260\nchr2\t0\t4\n")
    store = toy.build()
    starts = np.array([store.offset("chr1"), store.offset("chr2") - 8])
    mappable = store.gather_mappable(starts, 300)
    assert np.flatnonzero(mappable[0] == 0).tolist() == list(range(100, 260))
    assert np.flatnonzero(mappable[1] == 0).tolist() == [8, 9, 10, 11]


def test_n_stays_n_in_the_reverse_complement(store) -> None:
    windows = pd.DataFrame({"chrom": ["chr1"] * 8, "start": [19_900] * 8, "end": [19_900 + LENGTH] * 8})
    found = dataset(store, windows, reverse_complement=True).batch(range(8))["inputs"]
    assert ((found == 4).sum(axis=1) == 100).all()


def test_windows_may_hang_off_a_chromosome(store) -> None:
    windows = pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [-256, 37_900], "end": [256, 37_900 + LENGTH]})
    batch = dataset(store, windows).batch([0, 1])
    assert (batch["inputs"][0, :256] == 4).all()
    assert (batch["inputs"][1, 101:] == 4).all()
    assert not batch["labels"][0, :, :64].any()


def test_collate_takes_single_items(store, windows) -> None:
    data = dataset(store, windows)
    assert_same(collate([data[0], data[1]]), collate(data.batch([0, 1])))


@pytest.mark.parametrize(
    ("row", "options", "sentence"),
    [
        (("chr1", 0, 500), {}, "must be `input_length` 512 bp long, got one of 500"),
        (("chr1", 2, 514), {}, "must start on bins of 4 bp, got a start of 2"),
        (("chr1", -32_768, -32_256), {"max_jitter": 4}, "must lie within 32768 bp"),
        (("chr1", 0, 512), {"max_jitter": 6}, "`max_jitter` must be a multiple of the store's bin size 4, got 6"),
    ],
)
def test_bad_windows(store, row, options, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        dataset(store, pd.DataFrame([row], columns=["chrom", "start", "end"]), **options)


# The toy: train chr1 (40,000 bp; blacklist 10,000-11,000, unmappable 15,000-15,500, N 20,000-20,100),
# valid chr2:0-19,000 (unmappable 2000-2010), test chr2:19,000-38,001.


def test_training_tiles(store) -> None:
    windows, report = training_windows(store, WindowPlan(stride=1000), input_length=LENGTH, max_jitter=244)
    # 1000 bp with jitter at 0, 1000, ..., 39,000: 40; the one at 10,000 is black; 15,000 is half unmappable
    assert report == {
        "kind": "tile",
        "candidates": 40,
        "dropped": {"blacklist": 1, "unmappable": 1},
        "kept": 38,
    }
    assert windows["start"].tolist() == [244 + 1000 * i for i in range(40) if i not in (10, 15)]
    assert ((windows["end"] - windows["start"]) == LENGTH).all()


def test_max_unmappable(store) -> None:
    plan = WindowPlan(stride=1000, max_unmappable=0.5)
    assert training_windows(store, plan, input_length=LENGTH, max_jitter=244)[1]["kept"] == 39


def test_n_is_left_out(toy) -> None:
    store = toy.build(split=Split(("chr1:19900-20300",), (), ()))
    windows, report = training_windows(store, WindowPlan(stride=64), input_length=200, max_jitter=0)
    # starts 19,900, 19,964, 20,028 and 20,092 hold 100, 100, 72 and 8 N of 200 bp; 35 % are 70
    assert windows["start"].tolist() == [20_092]
    assert report["dropped"] == {"N": 3}
    store = toy.build("n", split=Split(("chr1:19900-20100",), (), ()))
    with pytest.raises(ValueError, match=r"no training window is left of 1; left out: \{'N': 1\}"):
        training_windows(store, WindowPlan(), input_length=200, max_jitter=0)


def test_training_peaks(store) -> None:
    windows, report = training_windows(store, WindowPlan(kind="peaks"), input_length=LENGTH, max_jitter=8)
    # summits 1150 | 5100 and 5250 merge to 5175 | chr2 is not for training; 264 bp to the left, down to a bin
    assert windows["start"].tolist() == [(1150 - 264) // 4 * 4 + 8, (5175 - 264) // 4 * 4 + 8]
    assert report["dropped"] == {"outside the training intervals": 1}


def test_training_peaks_and_background(store) -> None:
    plan = WindowPlan(kind="peaks+background", negative_ratio=2)
    windows, report = training_windows(store, plan, input_length=LENGTH, max_jitter=8)
    assert report["background"] == len(windows) - 2
    assert 0 < report["background"] <= 4
    assert windows["start"].is_monotonic_increasing
    assert report["kept"] == len(windows)


def test_evaluation_tiles(store) -> None:
    windows, report = evaluation_windows(store, "valid", input_length=2048, target_length=1024)
    # targets at 0, 1024, ... of 19,000 bp: 18; unmappable 2000-2010 lies in the inputs of targets 1024 (512-2560) and
    # 2048 (1536-3584), and not in that of 0 (-512 to 1536)
    starts = [i * 1024 - 512 for i in range(18) if i not in (1, 2)]
    assert windows["start"].tolist() == starts
    assert (windows["end"] - windows["start"] == 2048).all()
    assert report == {"kind": "tile", "candidates": 18, "dropped": {"unmappable": 2}, "kept": 16}


@pytest.mark.parametrize(
    ("interval", "left_out"),
    [
        ((4608, 4609), True),  # first base of the input of target 5120-6144, which is 4608-6656
        ((4600, 4608), False),
        ((6655, 6656), True),  # last base
        ((6656, 6700), False),
        ((6700, 7168), False),  # the reference tests 512 bp too far right: it drops this one ...
        ((4700, 4800), True),  # ... and keeps this one
    ],
)
def test_evaluation_tests_the_input_itself_for_unmappable_bases(toy, interval, left_out) -> None:
    store = toy.build(unmappable=toy.file("u.bed", "chr2\t{}\t{}\n".format(*interval)))
    windows, _ = evaluation_windows(store, "valid", input_length=2048, target_length=1024)
    assert (5120 - 512 not in windows["start"].tolist()) == left_out


@pytest.mark.parametrize(
    ("mask", "interval", "left_out"),
    [
        ("blacklist", (1000, 2000), False),  # adjacent to the window 2000-3000
        ("blacklist", (3000, 4000), False),
        ("blacklist", (2000, 5000), True),  # starts where it starts, ends beyond it
        ("blacklist", (1000, 5000), True),
        ("unmappable", (200, 2350), False),  # 35 % of it; the reference counts the whole 2150 bp
        ("unmappable", (200, 2354), True),
        ("unmappable", (2000, 5000), True),
        ("unmappable", (1000, 5000), True),
    ],
)
def test_training_windows_and_the_reference_s_filter_bugs(toy, mask, interval, left_out) -> None:
    inputs = {"blacklist": None, "unmappable": None, mask: toy.file("m.bed", "chr1\t{}\t{}\n".format(*interval))}
    windows, _ = training_windows(
        toy.build(**inputs), WindowPlan(stride=1000), input_length=LENGTH, max_jitter=244
    )  # with its jitter 2000-3000
    assert (2244 not in windows["start"].tolist()) == left_out


def test_evaluation_tests_the_blacklist_on_the_target_only(toy) -> None:
    store = toy.build(blacklist=toy.file("b.bed", "chr2\t20024\t20030\n"))
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=1024)
    # targets 19,000 and 20,024; the blacklist is in the input of the first, the target of the second
    assert windows["start"].tolist()[:2] == [19_000 - 512, 21_048 - 512]


def test_evaluation_targets_stay_in_the_part_and_do_not_overlap(store) -> None:
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=1024)
    targets = windows["start"] + 512
    assert targets.min() >= 19_000
    assert targets.max() + 1024 <= 38_001
    assert targets.diff().dropna().min() >= 1024
    dense, _ = evaluation_windows(store, "test", input_length=2048, target_length=1024, stride=512)
    assert len(dense) > 1.9 * len(windows)


def test_evaluation_peaks(store) -> None:
    windows, report = evaluation_windows(store, "test", input_length=2048, target_length=1024, kind="peaks")
    assert windows.to_numpy().tolist() == [["chr2", 30_200 - 1024, 30_200 + 1024]]
    assert report["dropped"] == {"outside the test intervals": 2}
    assert evaluation_windows(store, "valid", input_length=2048, target_length=1024, kind="peaks")[0].empty


def test_windows_fit_the_dataset(store) -> None:
    for part in ("train", "valid", "test"):
        windows, _ = evaluation_windows(store, part, input_length=2048, target_length=1024)
        WindowDataset(store, windows, input_length=2048)
    windows, _ = training_windows(store, WindowPlan(), input_length=2048, max_jitter=1024)
    data = WindowDataset(store, windows, input_length=2048, max_jitter=1024)
    assert len(data) == len(windows)


def test_bad_requests(toy) -> None:
    store = toy.build(peaks=None, split=Split(("chr1",), (), ("chr2:0-100",)))
    lengths = {"input_length": 2048, "target_length": 1024}
    with pytest.raises(ValueError, match="has no valid part"):
        evaluation_windows(store, "valid", **lengths)
    with pytest.raises(ValueError, match="was built without peaks"):
        evaluation_windows(store, "train", kind="peaks", **lengths)
    with pytest.raises(ValueError, match="was built without peaks"):
        training_windows(store, WindowPlan(kind="peaks"), input_length=2048, max_jitter=0)
    with pytest.raises(ValueError, match="`target_length` must lie in the middle"):
        evaluation_windows(store, "train", input_length=2048, target_length=2044)
    with pytest.raises(ValueError, match="`stride` must be a multiple of the store's bin size 4, got 6"):
        evaluation_windows(store, "train", **lengths, stride=6)
    with pytest.raises(ValueError, match="`kind` must be tile or peaks"):
        evaluation_windows(store, "train", **lengths, kind="all")  # pyright: ignore[reportArgumentType]
    assert evaluation_windows(store, "test", **lengths)[0].empty  # 100 bp hold no target


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kind": "all"}, "`kind` must be tile, peaks or"),
        ({"stride": 0}, "`stride` must be positive"),
        ({"max_unmappable": 1.5}, "`max_unmappable` must lie in"),
        ({"negative_ratio": -1}, "`negative_ratio` must not be negative"),
    ],
)
def test_bad_plans(options, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        WindowPlan(**options)
