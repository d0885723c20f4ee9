import numpy as np
import pytest
from chromhub.datasets_scripts import figures
from chromhub.datasets_scripts.figures import plot_window


def test_picture_appears(store, tmp_path) -> None:
    for name in ("a.png", "a.svg", "a.PDF"):
        plot_window(store, "chr1", 4000, 12_000, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 2000
    with pytest.raises(FileExistsError, match="--overwrite"):
        plot_window(store, "chr1", 4000, 12_000, tmp_path / "a.png")
    plot_window(store, "chr1", 4001, 4003, tmp_path / "a.png", overwrite=True)


def test_columns_keep_the_largest_bin() -> None:
    values = np.zeros(4001, np.float32)
    values[[5, 4000]] = (3, 7)
    edges, heights = figures._columns(values, 800, 4)
    assert len(edges) == len(heights) + 1 <= figures._COLUMNS + 1
    assert (edges[0], edges[-1]) == (800, 800 + 4001 * 4)
    assert (heights[1], heights[-1], heights.sum()) == (3, 7, 10)  # 3 bins a column: bin 5 is in the second


def test_bad_requests(store, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"must be one of \.png, \.svg, \.pdf"):
        plot_window(store, "chr1", 0, 100, tmp_path / "a.txt")
    with pytest.raises(ValueError, match="a region must lie in chr1:0-40000"):
        plot_window(store, "chr1", 0, 40_001, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
