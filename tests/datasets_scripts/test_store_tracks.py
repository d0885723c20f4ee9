import numpy as np
import pytest
from chromhub.datasets_scripts.store_tracks import write_track


def stored(path, *chroms, bin_size=4, tolerance=0.0) -> tuple[np.ndarray, dict]:
    stats = write_track(
        path / "t.npy", iter(np.array(c, np.float32) for c in chroms), bin_size=bin_size, tolerance=tolerance
    )
    array = np.load(path / "t.npy")
    assert array.dtype == stats["dtype"]
    return array, stats


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 255], "uint8"),
        ([0, 256], "uint16"),
        ([65_535, 3], "uint16"),
        ([65_536, 3], "float32"),  # one more than uint16 and 32 more than float16 hold
        ([0.5, 2048], "float16"),
        ([0.5, 2049], "float32"),  # 2049 needs 12 bits, float16 has 11
        ([0.1], "float32"),
        ([-1, 2], "float16"),
        ([1e6, 0.25], "float32"),
        ([16_777_217], "float32"),
    ],
)
def test_the_narrowest_type_that_is_exact(tmp_path, values, dtype) -> None:
    array, stats = stored(tmp_path, values)
    assert (stats["dtype"], stats["error"], stats["tolerance"]) == (dtype, 0.0, 0.0)
    assert np.array_equal(array[8192 : 8192 + len(values)].astype(np.float32), np.array(values, np.float32))


def test_a_type_grows_with_later_chromosomes(tmp_path) -> None:
    chroms = [[1, 2, 3], [300], [0.5], [0.1]]
    for number, dtype in enumerate(("uint8", "uint16", "float16", "float32"), 1):
        array, stats = stored(tmp_path, *chroms[:number])
        assert stats["dtype"] == dtype
        found = array[array != 0].astype(np.float32)
        assert found.tolist() == np.float32([value for chrom in chroms[:number] for value in chrom]).tolist()
    # 2049 is no float16, so after it a fraction makes the whole track float32
    assert stored(tmp_path, [2049], [0.5])[1]["dtype"] == "float32"


def test_the_layout_is_that_of_float32(tmp_path) -> None:
    rng = np.random.default_rng(0)
    chroms = [rng.integers(0, 9, n) for n in (5000, 1, 700)]
    narrow, stats = stored(tmp_path, *chroms)
    wide, _ = stored(tmp_path, *chroms[:2], chroms[2] + 0.1)
    assert (stats["dtype"], wide.dtype) == ("uint8", np.float32)
    assert narrow.shape == wide.shape
    assert np.array_equal(narrow[:21_384], wide[:21_384])  # the first: 8192 + 5000 + padding


def test_float16_within_a_stated_tolerance(tmp_path) -> None:
    # 0.1 is 0.0999755859375 in float16: an error of 2.44e-4
    array, stats = stored(tmp_path, [0.1, 7], tolerance=5e-4)
    assert stats["dtype"] == "float16"
    assert stats["error"] == pytest.approx(2.44e-4, rel=1e-2)
    assert array[8192] == np.float16(0.1)
    assert stored(tmp_path, [0.1, 7], tolerance=2e-4)[1]["dtype"] == "float32"
    # neither what overflows float16 nor what vanishes in it is lost, at any tolerance
    assert stored(tmp_path, [0.1, 70_000], tolerance=0.05)[1]["dtype"] == "float32"
    assert stored(tmp_path, [0.1, 1e-9], tolerance=0.05)[1]["dtype"] == "float32"


def test_statistics(tmp_path) -> None:
    _, stats = stored(tmp_path, [0, 1, 2.5, 0], [3, 0, 0, 0])
    assert (stats["sum"], stats["max"], stats["above_zero"]) == (6.5, 3.0, 3 / 8)
    assert stats["digest"] != stored(tmp_path, [0, 1, 2.5, 0], [3, 0, 0, 1])[1]["digest"]
