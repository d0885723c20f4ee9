import errno

import numpy as np
import pyBigWig
import pytest
from chromhub.datasets_scripts import bigwig as bigwig_module
from chromhub.datasets_scripts import bigwig_library
from chromhub.datasets_scripts.bigwig import BigWig, bin_signal, write_bigwig

SIZES = {"chr1": 10, "chr2": 6}


def written(path, values: dict[str, list[float]], *, bin_size: int = 1, sizes: dict[str, int] = SIZES):
    chunks = ((chrom, 0, np.array(v, np.float32)) for chrom, v in values.items())
    write_bigwig(path, sizes, chunks, bin_size=bin_size)
    return BigWig(path)


@pytest.mark.parametrize("library", [None, "pyBigWig"])
@pytest.mark.parametrize(
    ("summary", "expected"),
    # bins 1 2 3 4 | 5 0 0 0 | 0 7 and two bases that are off the end
    [("max", [4, 5, 7]), ("sum", [10, 5, 7]), ("mean", [2.5, 1.25, 1.75])],
)
def test_binned(tmp_path, summary, expected, library) -> None:
    nan = float("nan")
    written(tmp_path / "a.bw", {"chr1": [1, 2, 3, 4, 5, 0, nan, nan, 0, 7]})
    bigwig = BigWig(tmp_path / "a.bw", library=library)
    assert bigwig.chrom_sizes == SIZES
    assert bigwig.binned("chr1", size=10, bin_size=4, summary=summary).tolist() == expected
    assert bigwig.binned("chr2", size=6, bin_size=4, summary=summary).tolist() == [0, 0]  # no value at all


@pytest.fixture
def both_libraries() -> None:
    pytest.importorskip("pyBigWig", reason="pyBigWig is not installed")
    pytest.importorskip("pybigtools", reason="pybigtools is not installed")


@pytest.mark.parametrize("summary", ["max", "sum", "mean"])
@pytest.mark.usefixtures("both_libraries")
def test_pybigtools_reads_what_pybigwig_reads(tmp_path, summary) -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(5000) < 0.3, np.nan, rng.random(5000)).astype(np.float32)
    write_bigwig(tmp_path / "a.bw", {"chr1": 5001, "chr2": 9}, [("chr1", 0, values)], bin_size=1)
    one, other = (BigWig(tmp_path / "a.bw", library=name) for name in ("pyBigWig", "pybigtools"))
    assert one.chrom_sizes == other.chrom_sizes == {"chr1": 5001, "chr2": 9}
    for chrom, size in one.chrom_sizes.items():
        found = [f.binned(chrom, size=size, bin_size=4, summary=summary) for f in (one, other)]
        assert np.array_equal(*found)


@pytest.mark.usefixtures("both_libraries")
def test_pybigtools_writes_what_pybigwig_writes(tmp_path, monkeypatch) -> None:
    values = {"chr1": np.array([1, np.nan, 3, 0.25], np.float32), "chr2": np.array([np.nan, 5], np.float32)}
    sizes = {"chr1": 14, "chr2": 6, "chr3": 8}
    chunks = [(chrom, 0, v) for chrom, v in values.items()]
    write_bigwig(tmp_path / "a.bw", sizes, chunks, bin_size=4)
    monkeypatch.setattr(bigwig_library, "installed_library", lambda: "pybigtools")
    write_bigwig(tmp_path / "b.bw", sizes, chunks, bin_size=4)
    files = [pyBigWig.open(str(tmp_path / name)) for name in ("a.bw", "b.bw")]
    for chrom in values:
        assert files[0].intervals(chrom) == files[1].intervals(chrom)
    for file in files:
        file.close()
    with pytest.raises(ValueError, match="must come after the one before"):  # pybigtools would swallow it
        write_bigwig(tmp_path / "c.bw", sizes, chunks[::-1], bin_size=4)
    assert not (tmp_path / "c.bw").exists()


@pytest.mark.usefixtures("both_libraries")
def test_pybigtools_refuses_a_damaged_file(tmp_path) -> None:
    values = np.random.default_rng(0).random(20_000).astype(np.float32)
    write_bigwig(tmp_path / "a.bw", {"chr1": 20_000}, [("chr1", 0, values)], bin_size=1)
    body = bytearray((tmp_path / "a.bw").read_bytes())
    body[1000:9000] = bytes(8000)
    (tmp_path / "a.bw").write_bytes(body)
    with pytest.raises(ValueError, match="is truncated or damaged"):
        BigWig(tmp_path / "a.bw", library="pybigtools").binned("chr1", size=20_000, bin_size=1, summary="max")


@pytest.mark.parametrize("library", [None, "pyBigWig"])
def test_values_that_are_nan_count_as_0(tmp_path, library) -> None:
    file = pyBigWig.open(str(tmp_path / "a.bw"), "w")
    file.addHeader(list(SIZES.items()))
    file.addEntries("chr1", 0, values=[1.0, float("nan"), 3.0], span=1, step=1)
    file.close()
    bigwig = BigWig(tmp_path / "a.bw", library=library)
    assert bigwig.binned("chr1", size=10, bin_size=2, summary="sum").tolist() == [1, 3, 0, 0, 0]


def test_chunks_do_not_matter(tmp_path, monkeypatch) -> None:
    values = np.random.default_rng(0).integers(0, 9, 5001).astype(float)
    written(tmp_path / "a.bw", {"chr1": values.tolist()}, sizes={"chr1": 5001})
    bigwig = BigWig(tmp_path / "a.bw", library=bigwig_library.installed_library())
    expected = bin_signal(values, bin_size=16, summary="sum")
    for chunk in (4096, 1 << 20):
        monkeypatch.setattr(bigwig_module, "_CHUNK", chunk)
        assert np.array_equal(bigwig.binned("chr1", size=5001, bin_size=16, summary="sum"), expected)


@pytest.mark.parametrize("library", [None, "pyBigWig"])
def test_negative_and_infinite_values_are_refused_with_their_place(tmp_path, library) -> None:
    written(tmp_path / "a.bw", {"chr1": [1, 2, -3, 4]})
    bigwig = BigWig(tmp_path / "a.bw", library=library)
    with pytest.raises(ValueError, match=r"a\.bw at chr1:2: signal must not be negative, got -3"):
        bigwig.binned("chr1", size=10, bin_size=1, summary="max")
    assert bigwig.binned("chr1", size=4, bin_size=1, summary="max", allow_negative=True).tolist() == [1, 2, -3, 4]
    file = pyBigWig.open(str(tmp_path / "b.bw"), "w")
    file.addHeader(list(SIZES.items()))
    file.addEntries("chr1", 3, values=[float("inf")], span=1, step=1)
    file.close()
    with pytest.raises(ValueError, match="at chr1:3: signal must be finite, got inf"):
        BigWig(tmp_path / "b.bw", library=library).binned("chr1", size=10, bin_size=1, summary="max")


def test_truncated_files_are_refused_or_lose_nothing(tmp_path) -> None:
    rng = np.random.default_rng(0)
    values = {chrom: rng.poisson(2, 20_000).astype(np.float32) for chrom in SIZES}
    write_bigwig(tmp_path / "a.bw", dict.fromkeys(SIZES, 20_000), ((c, 0, v) for c, v in values.items()), bin_size=1)
    whole = (tmp_path / "a.bw").read_bytes()
    cut, num_refused = tmp_path / "cut.bw", 0
    for length in range(4, len(whole), len(whole) // 40):
        cut.write_bytes(whole[:length])
        try:
            for chrom in SIZES:
                found = BigWig(cut).binned(chrom, size=20_000, bin_size=1, summary="max")
                assert np.array_equal(found, values[chrom])  # only a zoom level is missing
        except ValueError as error:
            assert "is truncated" in str(error)  # noqa: PT017
            num_refused += 1
    assert num_refused >= 39


def test_not_a_bigwig(tmp_path) -> None:
    (tmp_path / "a.bw").write_text("chr1\t0\t10\t1.5\n")
    with pytest.raises(ValueError, match=r"a\.bw is not a bigWig file: it starts with b'chr1'"):
        BigWig(tmp_path / "a.bw")
    (tmp_path / "b.bw").touch()
    with pytest.raises(ValueError, match=r"b\.bw is not a bigWig file"):
        BigWig(tmp_path / "b.bw")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        BigWig(tmp_path / "none.bw")


def test_unknown_chromosome(tmp_path) -> None:
    with pytest.raises(ValueError, match="no chromosome 'chr9': it has chr1, chr2"):
        written(tmp_path / "a.bw", {"chr1": [1]}).binned("chr9", size=1, bin_size=1, summary="max")


def test_write_leaves_gaps_and_cuts_the_last_bin(tmp_path) -> None:
    nan = float("nan")
    written(tmp_path / "a.bw", {"chr1": [1, nan, 3], "chr2": [nan, 5]}, bin_size=4)
    file = pyBigWig.open(str(tmp_path / "a.bw"))
    assert file.chroms() == SIZES
    assert file.intervals("chr1") == ((0, 4, 1.0), (8, 10, 3.0))
    assert file.intervals("chr2") == ((4, 6, 5.0),)
    file.close()


def test_write_in_chunks_equals_one_write(tmp_path) -> None:
    values = np.arange(1000, dtype=np.float32)
    sizes = {"chr1": 3998}
    write_bigwig(tmp_path / "a.bw", sizes, [("chr1", 0, values)], bin_size=4)
    chunks = (("chr1", 4 * i, values[i : i + 300]) for i in range(0, 1000, 300))
    write_bigwig(tmp_path / "b.bw", sizes, chunks, bin_size=4)
    found = [BigWig(tmp_path / n).binned("chr1", size=3998, bin_size=4, summary="max") for n in ("a.bw", "b.bw")]
    assert np.array_equal(found[0], values)
    assert np.array_equal(found[1], values)


@pytest.mark.parametrize(
    ("chunks", "sentence"),
    [
        ([("chr9", 0, [1])], "the chromosome must be in the header"),
        ([("chr1", 2, [1])], "must lie on the 4-bp grid"),
        ([("chr1", 0, [1, 2, 3, 4])], "in 10 bp"),
        ([("chr1", 4, [1]), ("chr1", 0, [1])], "must come after the one before"),
        ([("chr2", 0, [1]), ("chr1", 0, [1])], "must come after the one before"),
        ([("chr1", 0, [1, 1]), ("chr1", 4, [1])], "must come after the one before"),
        ([("chr1", 0, [float("inf")])], "must be finite or NaN"),
    ],
)
def test_bad_chunks_leave_no_file(tmp_path, chunks, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        write_bigwig(tmp_path / "a.bw", SIZES, ((c, s, np.array(v, np.float32)) for c, s, v in chunks), bin_size=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError("addEntries failed"), OSError(errno.ENOSPC, "No space left")])
def test_full_disk_leaves_no_file(tmp_path, monkeypatch, error) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(bigwig_module, "write_runs", fail)
    with pytest.raises(OSError, match=r"disk full|No space left"):
        write_bigwig(tmp_path / "a.bw", SIZES, [("chr1", 0, np.ones(1))], bin_size=4)
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_refused(tmp_path) -> None:
    written(tmp_path / "a.bw", {"chr1": [1]})
    with pytest.raises(FileExistsError, match="--overwrite"):
        written(tmp_path / "a.bw", {"chr1": [2]})
    write_bigwig(tmp_path / "a.bw", SIZES, [("chr1", 0, np.array([2.0]))], bin_size=1, overwrite=True)
    assert BigWig(tmp_path / "a.bw").binned("chr1", size=1, bin_size=1, summary="max").tolist() == [2]
