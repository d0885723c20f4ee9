import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from chromhub.datasets_scripts import export
from chromhub.datasets_scripts.export import ExportPlan, export_shards
from chromhub.datasets_scripts.shards import Shards, fingerprint_of
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.streaming import StreamingWindows
from datasets import load_dataset

from tests.datasets_scripts.exported import LENGTH, MARGIN, PLAN, export_toy

WIDE = LENGTH + 2 * MARGIN


def test_rows_are_the_store_with_margins(toy, monkeypatch) -> None:
    shards = export_toy(toy)
    store = GenomeStore.open(toy.folder / "store")
    assert list(shards.files) == ["train", "valid", "test"]
    for part in shards.files:
        table = load_dataset(shards.name, split=part).with_format("arrow")[:]
        windows = shards.windows(part)
        assert table["chrom"].to_pylist() == windows["chrom"].tolist()
        assert table["start"].to_pylist() == windows["start"].tolist()
        codes, signal = store.gather(store.flat_starts(windows) - MARGIN, WIDE)
        rows = shards.layout.decode(table)
        assert np.array_equal(rows.codes, codes)
        assert np.array_equal(rows.signal, signal)
        mappable = store.gather_mappable(store.flat_starts(windows) - MARGIN, WIDE)
        assert np.array_equal(np.unpackbits(rows.mappable, axis=1, count=WIDE), mappable)


def test_streaming_with_datasets_gives_the_same_rows(toy) -> None:
    shards = export_toy(toy)
    whole = load_dataset(shards.name, split="train").with_format("arrow")[:]
    stream = load_dataset(shards.name, split="train", streaming=True).with_format("arrow")
    batches = [shards.layout.decode(table) for table in stream.iter(17)]
    for found, expected in zip(zip(*batches, strict=True), shards.layout.decode(whole), strict=True):
        assert expected is None or np.array_equal(np.concatenate(found), expected)


def test_the_same_store_gives_the_same_bytes(toy) -> None:
    one, other = export_toy(toy, "one"), export_toy(toy, "other")
    files = sorted(path.relative_to(one.name) for path in (toy.folder / "one").rglob("*") if path.is_file())
    assert len(files) > 6
    for file in files:
        assert (toy.folder / "one" / file).read_bytes() == (toy.folder / "other" / file).read_bytes(), file
    assert one.fingerprint == other.fingerprint


def test_shards_keep_to_their_size(toy) -> None:
    shards = export_toy(toy)
    # 640 codes, 2 tracks x 160 bins that are whole numbers below 97 and so float16, 640 bits
    assert shards.layout.signal_dtype == "float16"
    assert shards.layout.row_bytes == 640 + 640 + 80
    assert len(shards.files["train"]) > 3
    assert all(file.num_windows * 1360 <= PLAN.shard_size for file in shards.files["train"])
    assert len(shards.windows("train")) == sum(file.num_windows for file in shards.files["train"])


@pytest.mark.parametrize("value", [1.1, 70_000.5, 65_536])  # the largest float16 is 65,504, the largest uint16 65,535
def test_signal_that_float16_would_not_hold_stays_float32(toy, value) -> None:
    values = {chrom: np.full(size, value, np.float32) for chrom, size in (("chr1", 40_000), ("chr2", 38_001))}
    track = toy.bigwig("c.bw", {"chr1": 40_000, "chr2": 38_001}, values.__getitem__)
    toy.build(tracks=(toy.inputs.tracks[0], type(toy.inputs.tracks[0])("c", track)))
    shards = export_toy(toy)
    assert shards.layout.signal_dtype == "float32"
    assert (next(iter(StreamingWindows(shards, "train", batch_size=8)))["labels"][:, 1] == np.float32(value)).all()


def test_unmeasured_bins_travel(toy, monkeypatch) -> None:
    def gather_mask(self, starts, length):
        bins = starts[:, None, None] // 4 + np.arange(length // 4)
        return np.concatenate([bins % 7 > 0, bins % 5 > 0], axis=1).astype(np.uint8)

    monkeypatch.setattr(GenomeStore, "has_masks", True, raising=False)
    monkeypatch.setattr(GenomeStore, "gather_mask", gather_mask, raising=False)
    shards = export_toy(toy)
    store = GenomeStore.open(toy.folder / "store")
    table = pq.read_table(toy.folder / "shards" / shards.files["train"][0].path)
    rows = shards.layout.decode(table)
    batch = shards.layout.cut(rows, np.arange(3), np.array([0, 4, -64]))
    starts = store.flat_starts(shards.windows("train"))[:3] + np.array([0, 4, -64])
    assert np.array_equal(batch["mask"], gather_mask(store, starts, LENGTH))


def test_a_failure_leaves_nothing(toy, monkeypatch) -> None:
    toy.build()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(export, "_write_windows", fail)
    with pytest.raises(OSError, match="disk full"):
        export_toy(toy)
    assert {path.name for path in toy.folder.glob("*shards*")} == set()


def test_an_existing_folder_is_kept_unless_told(toy) -> None:
    export_toy(toy)
    with pytest.raises(FileExistsError, match="already exists"):
        export_toy(toy)
    assert export_toy(toy, overwrite=True).layout.margin == MARGIN


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"margin": 2}, "multiple of the store's bin size 4, got 2"),
        ({"margin": -4}, "`margin` must not be negative, got -4"),
        ({"margin": 33_000, "input_length": 4}, "no training window is left"),
        ({"shard_size": 0}, "`shard_size` must be positive, got 0"),
        ({"target_length": 600}, "`target_length` must lie in the middle"),
    ],
)
def test_lengths_are_refused_at_the_door(toy, changes, match) -> None:
    store = toy.build()
    with pytest.raises(ValueError, match=match):
        export_shards(
            store, toy.folder / "shards", ExportPlan(**{"input_length": 512, "target_length": 256, **changes})
        )
    assert not (toy.folder / "shards").exists()


def test_progress_is_told(toy) -> None:
    told = []
    export_toy(toy, on_progress=lambda *args: told.append(args))
    total = len(Shards.open(toy.folder / "shards").windows("test"))
    assert told[-1] == ("test", total, total)


def test_an_export_replaces_exports_alone(toy) -> None:
    shards = export_toy(toy)
    store = toy.folder / "store"
    with pytest.raises(FileExistsError, match=r"holds files that are no export"):
        export_shards(GenomeStore.open(store), store, PLAN, overwrite=True)
    with pytest.raises(FileExistsError, match=r"lies in the data folder .*store"):
        export_shards(GenomeStore.open(store), store / "shards", PLAN)
    folder = toy.folder / "shards"
    (folder / "data" / "thesis.parquet").write_text("mine")
    with pytest.raises(FileExistsError, match=r"no export \(data/thesis.parquet\), which --overwrite would delete"):
        export_toy(toy, overwrite=True)
    assert Shards.open(folder).fingerprint == shards.fingerprint


def test_a_shard_outside_its_folder_is_refused(toy) -> None:
    export_toy(toy)
    file = toy.folder / "shards" / "shards.json"
    description = json.loads(file.read_text().replace('"data/train-00000', '"../store/train-00000'))
    file.write_text(json.dumps({**description, "fingerprint": fingerprint_of(description)}))  # by someone who knows how
    with pytest.raises(ValueError, match=r"shards\.json names '\.\./store/train-00000.*', which is no file inside"):
        Shards.open(file.parent)
