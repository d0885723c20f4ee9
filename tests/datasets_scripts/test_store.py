import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from chromhub.datasets_scripts.bigwig import bin_signal
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.datasets_scripts.store_files import PADDING, flat_layout
from chromhub.datasets_scripts.store_inputs import TrackSource
from chromhub.datasets_scripts.track_details import TrackDetails

from .conftest import SIZES, toy_codes, toy_signal


def test_layout() -> None:
    # 32,768 bp before; chr1 ends at 72,768, + 32,768 = 105,536, up to a multiple of 4096: 106,496 = 26 x 4096;
    # chr2 ends at 144,497, + 32,768 = 177,265, up to 180,224 = 44 x 4096.
    assert flat_layout(SIZES) == ({"chr1": 32_768, "chr2": 106_496}, 180_224)


def test_codes_and_signal_are_the_inputs(store) -> None:
    assert store.chrom_sizes == SIZES
    assert store.track_names == ["a", "b"]
    assert (store.genome, store.bin_size, store.summary) == ("toy", 4, "max")
    for chrom in SIZES:
        assert np.array_equal(store.codes(chrom), toy_codes(chrom))
        for track in "ab":
            expected = bin_signal(toy_signal(chrom, track), bin_size=4, summary="max")
            assert np.array_equal(store.signal(chrom, track), expected)
        assert np.array_equal(store.signal(chrom, 1), store.signal(chrom, "b"))
    with pytest.raises(ValueError, match="read-only"):
        store.codes("chr1")[0] = 0


@pytest.mark.parametrize("in_memory", [True, False])
def test_gather_equals_slices(store, in_memory) -> None:
    store = GenomeStore.open(store.path, in_memory=in_memory)
    windows = pd.DataFrame({"chrom": ["chr1", "chr2", "chr1"], "start": [0, 36_000, 19_000]})
    codes, signal = store.gather(store.flat_starts(windows), 2000)
    assert (codes.shape, codes.dtype) == ((3, 2000), np.uint8)
    assert (signal.shape, signal.dtype) == ((3, 2, 500), np.float32)
    for i, (chrom, start) in enumerate(windows.itertuples(index=False, name=None)):
        assert np.array_equal(codes[i], store.codes(chrom)[start : start + 2000])
        for track in range(2):
            bins = store.signal(chrom, track)[start // 4 : (start + 2000) // 4]
            assert np.array_equal(signal[i, track], bins)
    codes[:] = 0  # the batch is the caller's own
    assert np.array_equal(store.codes("chr1"), toy_codes("chr1"))


def test_beyond_a_chromosome_is_n_and_0(store) -> None:
    for chrom, size in SIZES.items():
        offset = store.offset(chrom)
        ends = np.array([offset - PADDING, offset + -(-size // 4) * 4])
        codes, signal = store.gather(ends, 28_672)
        assert (codes == 4).all()
        assert not signal.any()
    codes, signal = store.gather(np.array([store.offset("chr2") + 38_000]), 8)
    assert codes[0].tolist() == [*toy_codes("chr2")[38_000:].tolist(), *[4] * 7]


def test_gather_codes_takes_any_position(store) -> None:
    codes = store.gather_codes(np.array([store.offset("chr1") + 3]), 5)
    assert codes[0].tolist() == toy_codes("chr1")[3:8].tolist()


def test_gather_refuses_windows_off_the_bins_or_the_genome(store) -> None:
    for start, length in ((2, 8), (4, 6)):
        with pytest.raises(ValueError, match="must start on bins of 4 bp"):
            store.gather(np.array([start]), length)
    for start in (-4, 180_224 - 4):
        with pytest.raises(ValueError, match="must lie within the genome"):
            store.gather(np.array([start]), 8)


def test_tables(store) -> None:
    assert store.peaks["summit"].tolist() == [1150, 5100, 5250, 30_200]  # the last is the midpoint
    assert store.blacklist.to_numpy().tolist() == [["chr1", 10_000, 11_000]]
    assert store.unmappable.to_numpy().tolist() == [["chr1", 15_000, 15_500], ["chr2", 2000, 2010]]
    assert store.gaps.to_numpy().tolist() == [["chr1", 20_000, 20_100]]
    assert store.split.train == ("chr1",)


def test_pickled_store_opens_anew(store) -> None:
    store = GenomeStore.open(store.path, in_memory=True)
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    copy = pickle.loads(pickled)
    assert np.array_equal(copy.codes("chr1"), store.codes("chr1"))


def test_bins_of(store) -> None:
    assert store.bins_of("chr1", 4, 9) == slice(1, 3)
    with pytest.raises(ValueError, match="a region must lie in chr1:0-40000"):
        store.bins_of("chr1", 5, 40_001)
    with pytest.raises(ValueError, match="no chromosome 'chr9': it has"):
        store.bins_of("chr9", 0, 1)


def test_unknown_chromosome(store) -> None:
    with pytest.raises(ValueError, match=r"no chromosome 'chr9': it has \[chr1, chr2\]"):
        store.offset("chr9")
    with pytest.raises(ValueError, match=r"no chromosome \['chr9'\]"):
        store.flat_starts(pd.DataFrame({"chrom": ["chr1", "chr9"], "start": [0, 0]}))


def cut(path: Path, num_bytes: int) -> None:
    """Keep the first bytes of a file; with a negative number, all but the last."""
    path.write_bytes(path.read_bytes()[:num_bytes])


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("name", ["codes.npy", "tracks/a.npy", "tracks/b.npy"])
@pytest.mark.parametrize("num_bytes", [0, 3, 60, 5000, -1])  # nothing, half a magic word, half a header, some values
def test_a_truncated_array_is_named(store, name, num_bytes, in_memory) -> None:
    cut(store.path / name, num_bytes)
    with pytest.raises(ValueError, match=rf"store/{name} is truncated or damaged \(.*\): build the store again"):
        GenomeStore.open(store.path, in_memory=in_memory)


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip", b"\x80\x04 a pickle", b"no array", bytes(9000)])
def test_what_is_no_array_is_named(store, content) -> None:
    (store.path / "tracks" / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"tracks/a\.npy is truncated or damaged"):
        GenomeStore.open(store.path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is damaged: it is not JSON"),
        (b'{"format": "chromhub-store"', "is damaged: it is not JSON"),
        (b"\xff\xfe", "is damaged: it is no text"),
        (b"[1]", "must hold an object, got a list; build the store again"),
        (
            b'{"format": "chromhub-store", "version": 1, "genome": ""}',
            "it lacks bin_size; build the store again",
        ),
    ],
)
def test_a_store_json_that_is_none(store, content, sentence) -> None:
    (store.path / "store.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"store/store\.json {sentence}|store/store\.json is damaged: {sentence}"):
        GenomeStore.open(store.path)


@pytest.mark.parametrize("name", ["codes.npy", "tracks/b.npy", "tracks/b.mask.tsv"])
def test_a_missing_file_is_named_when_the_store_is_opened(toy, name) -> None:
    details = {"b": TrackDetails(mask=toy.file("m.bed", "chr1\t0\t9\n"))}
    store = build_store(toy.inputs, toy.folder / "store", details=details)
    (store.path / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"store/{name} is missing; build the store again"):
        GenomeStore.open(store.path)


@pytest.mark.parametrize("name", ["peaks", "blacklist", "unmappable", "gaps"])
@pytest.mark.parametrize("content", ["", "chrom\tstart\tend\nchr1\t5\n", "chrom\tstart\tend\nchr1\tx\t9\n", "a\tb\n"])
def test_a_damaged_table_is_named(store, name, content) -> None:
    (store.path / f"{name}.tsv").write_text(content)
    with pytest.raises(ValueError, match=rf"store/{name}\.tsv (is damaged|must have the columns).*: build the store"):
        getattr(store, name)
    (store.path / f"{name}.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name}\.tsv is missing; build the store again"):
        getattr(store, name)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_track_holds_no_file_open(toy, in_memory) -> None:
    """A few hundred tracks, under a limit that allows a few dozen files."""
    tracks = [TrackSource(f"t{i}", toy.inputs.peaks, "peaks") for i in range(300)]
    store = toy.build(tracks=tuple(tracks))
    program = (
        "import os, resource, sys; import numpy as np; from chromhub.datasets_scripts.store import GenomeStore\n"
        "limit = len(os.listdir('/proc/self/fd')) + 20; resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))\n"
        f"store = GenomeStore.open(sys.argv[1], in_memory={in_memory})\n"
        "codes, signal = store.gather(np.array([store.offset('chr1')]), 4096); store.release_pages()\n"
        "again = store.gather(np.array([store.offset('chr1')]), 4096)[1]\n"
        "assert np.array_equal(signal, again); print(signal.shape, signal.sum())"
    )
    done = subprocess.run([sys.executable, "-c", program, str(store.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # each track is 1 at 1,000-1,300: 75 bins of 4 bp in the first 4,096
    assert done.stdout.split("\n")[0] == "(1, 300, 1024) 22500.0"


def test_released_pages_are_read_again(store) -> None:
    mapped = GenomeStore.open(store.path, in_memory=False)
    before = mapped.signal("chr1").copy()
    mapped.release_pages()
    assert np.array_equal(mapped.signal("chr1"), before)
    with pytest.raises(ValueError, match="read-only"):
        mapped.codes("chr1")[0] = 1


def test_a_damaged_report_is_named(store) -> None:
    cut(store.path / "report.json", -9)
    with pytest.raises(ValueError, match=r"report\.json is damaged: it is not JSON"):
        store.report()


def test_damaged_stores_are_refused(store, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a chromhub store"):
        GenomeStore.open(tmp_path / "none")
    np.save(store.path / "codes.npy", np.zeros(5, np.uint8))
    with pytest.raises(ValueError, match=r"codes\.npy must hold 180224 of uint8, got \(5,\) of uint8"):
        GenomeStore.open(store.path)
    (store.path / "codes.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"codes\.npy is missing"):
        GenomeStore.open(store.path)
    description = json.loads((store.path / "store.json").read_text())
    (store.path / "store.json").write_text(json.dumps(description | {"version": 99}))
    with pytest.raises(ValueError, match="must say chromhub-store version 1, got chromhub-store version 99"):
        GenomeStore.open(store.path)
