import numpy as np
import pytest
from chromhub.datasets_scripts.bigwig import BigWig, write_bigwig
from chromhub.datasets_scripts.landscape_signal import LandscapeGrid, fine_layout, target_bins, window_means


@pytest.fixture(scope="module")
def track(tmp_path_factory) -> tuple[BigWig, np.ndarray]:
    values = np.random.default_rng(0).integers(0, 9, 1000).astype(np.float32)
    values[100:150] = np.nan
    path = tmp_path_factory.mktemp("bw") / "t.bw"
    write_bigwig(path, {"c": 1000}, [("c", 0, values)], bin_size=1)
    return BigWig(path), np.nan_to_num(values)


@pytest.mark.parametrize("chunk", [1 << 24, 120])
def test_means_of_windows_anywhere(track, chunk, monkeypatch):
    monkeypatch.setattr("chromhub.datasets_scripts.landscape_signal._CHUNK", chunk)
    bigwig, values = track
    starts = np.array([500, -15, 97, 985, 2000, -400, 3])
    found = window_means(bigwig, "c", starts, size=1000, num_bins=7, bin_size=10)
    padded = np.concatenate([np.zeros(500), values, np.zeros(2000)])
    expected = np.stack([padded[500 + s : 570 + s].reshape(7, 10).mean(1) for s in starts])
    assert np.allclose(found, expected)
    assert not found[[4, 5]].any()


def test_the_centred_grid_by_hand():
    # bins of 100 bp over fine bins of 20: three bins from -150; no smoothing
    grid = LandscapeGrid(11, 10, num_bins=3, bin_size=100, smoothing=0)
    assert grid.target_start == -150
    assert fine_layout(grid) == (-150, 0, 15)
    assert target_bins(np.arange(15.0)[None], grid).tolist() == [[2, 7, 12]]
    assert LandscapeGrid().target_start == -200_500  # bin 200 is [-500, 500)


def test_smoothing_sees_beyond_the_window():
    grid = LandscapeGrid(11, 10, num_bins=3, bin_size=100, smoothing=40)
    start, margin, count = fine_layout(grid)
    assert (start, margin, count) == (-150 - 8 * 20, 8, 15 + 16)
    ramp = np.arange(31.0)[None]
    # a symmetric kernel leaves a ramp as it is: fine bins 8 to 22
    assert np.allclose(target_bins(ramp, grid), [[10, 15, 20]])
    one = np.zeros((1, 31))
    one[0, 15] = 1
    assert target_bins(one, grid).sum() == pytest.approx(1 / 5, rel=0.02)


def test_the_grid_of_the_source():
    ndimage = pytest.importorskip("scipy.ndimage")
    grid = LandscapeGrid(target_grid="source")
    assert fine_layout(grid) == (-200_010, 200, 20_001)
    fine = np.random.default_rng(0).random((1, 20_001))
    smooth = ndimage.gaussian_filter1d(fine, sigma=50, axis=1)
    expected = np.mean([np.roll(smooth, -i, axis=1) for i in range(50)], axis=0)[:, ::50]
    assert expected.shape == (1, 401)
    assert np.allclose(target_bins(fine, grid), expected, atol=1e-6)


def test_both_grids_meet_where_they_should():
    """The source's bin 0 is the centred one's, 490 bp to the right."""
    source, centred = LandscapeGrid(target_grid="source"), LandscapeGrid()
    assert source.target_start - centred.target_start == 490


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_bins": 400}, "`num_bins` must be odd"),
        ({"bin_size": 30}, "`bin_size` 30 must be a multiple of `fine_bin_size` 20"),
        ({"smoothing": -1}, "`smoothing` must be 0 bp or more"),
    ],
)
def test_a_wrong_grid_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        LandscapeGrid(**fields)
