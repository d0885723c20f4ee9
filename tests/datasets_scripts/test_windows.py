import numpy as np
import pandas as pd
import pytest
from chromhub.datasets_scripts import windows as windows_module
from chromhub.datasets_scripts.windows import (
    background_windows,
    covered_bp,
    drop_covered,
    drop_off_ends,
    drop_overlapping,
    peak_windows,
    tile_intervals,
    tile_windows,
)


def table(*rows: tuple[str, int, int]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["chrom", "start", "end"])


def rows(windows: pd.DataFrame) -> list[tuple]:
    return list(windows.itertuples(index=False, name=None))


def summits(**by_chrom: list[int]) -> pd.DataFrame:
    return pd.DataFrame([(chrom, s) for chrom, all_s in by_chrom.items() for s in all_s], columns=["chrom", "summit"])


def test_tiles_end_within_the_chromosome() -> None:
    tiles = tile_windows({"chr1": 10, "chr2": 3, "chr3": 4}, length=4, stride=3)
    assert rows(tiles) == [("chr1", 0, 4), ("chr1", 3, 7), ("chr1", 6, 10), ("chr3", 0, 4)]


def test_tiles_of_intervals_start_on_the_grid() -> None:
    intervals = table(("chr1", 5, 21), ("chr1", 100, 103), ("chr2", 8, 16))
    assert rows(tile_intervals(intervals, length=4, stride=8, align=4)) == [
        ("chr1", 8, 12),
        ("chr1", 16, 20),
        ("chr2", 8, 12),
    ]
    with pytest.raises(ValueError, match="`length` and `stride` must be positive, got 4 and 0"):
        tile_intervals(intervals, length=4, stride=0)


def test_summits_within_200_bp_become_one_and_the_last_cluster_stays() -> None:
    windows = peak_windows(summits(chr1=[2000, 1000, 1201, 1400, 2200, 5000], chr2=[7]), length=100)
    # 1000 | 1201 1400 -> 1300 (201 bp from 1000, so apart) | 2000 2200 -> 2100 | 5000; each - 50
    expected = [("chr1", 950), ("chr1", 1250), ("chr1", 2050), ("chr1", 4950), ("chr2", -43)]
    assert rows(windows) == [(chrom, start, start + 100) for chrom, start in expected]


def test_chains_merge_as_a_whole() -> None:
    windows = peak_windows(summits(chr1=[0, 150, 300, 450]), length=2)
    assert rows(windows) == [("chr1", 224, 226)]  # mean 225


def test_peak_windows_on_the_grid() -> None:
    assert peak_windows(summits(chr1=[1003]), length=8, align=4)["start"].tolist() == [996]  # 999 down
    assert peak_windows(summits(), length=8).empty


def test_overlap_is_half_open() -> None:
    windows = table(("chr1", 0, 10), ("chr1", 10, 20), ("chr1", 20, 30), ("chr2", 10, 20))
    kept, num_dropped = drop_overlapping(windows, table(("chr1", 10, 20)))
    assert rows(kept) == [("chr1", 0, 10), ("chr1", 20, 30), ("chr2", 10, 20)]
    assert num_dropped == 1


@pytest.mark.parametrize("interval", [(10, 11), (19, 20), (0, 100), (10, 20), (10, 100), (0, 11)])
def test_any_shared_base_overlaps(interval) -> None:
    assert drop_overlapping(table(("chr1", 10, 20)), table(("chr1", *interval)))[1] == 1


@pytest.mark.parametrize(
    ("interval", "covered"),
    [
        ((0, 1000), 0),  # ends where the window starts
        ((3000, 4000), 0),  # starts where it ends
        ((999, 1001), 1),
        ((2999, 3500), 1),
        ((1000, 1001), 1),
        ((1000, 3000), 2000),  # the window itself
        ((1000, 9000), 2000),  # starts where the window starts and ends beyond it
        ((0, 3000), 2000),
        ((0, 9000), 2000),  # contains it
        ((0, 1040), 40),  # long intervals that reach in by 2 %, 15 %, 27 %
        ((2700, 9000), 300),
        ((0, 1540), 540),
        ((1500, 1501), 1),
    ],
)
def test_where_an_interval_may_lie(interval, covered) -> None:
    """The places of atac-asap 0.2.2's filter bugs: `<` where `<=` is meant, closed ends, overlap that is not cut."""
    window = table(("chr1", 1000, 3000))
    assert covered_bp(window, table(("chr1", *interval))).tolist() == [covered]
    assert drop_overlapping(window, table(("chr1", *interval)))[1] == (covered > 0)
    assert drop_covered(window, table(("chr1", *interval)), max_fraction=0.35)[1] == (covered > 700)


def test_many_chromosomes_and_many_intervals() -> None:
    windows = table(*((f"c{i}", 100, 200) for i in range(50)))
    intervals = table(*((f"c{i}", 100 + i, 400) for i in range(0, 50, 2)), ("other", 0, 10**9))
    assert covered_bp(windows, intervals).tolist() == [100 - i if i % 2 == 0 else 0 for i in range(50)]


def test_covered_bp_equals_counting() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        starts = rng.integers(-20, 120, 30)
        windows = table(*(("chr1", int(s), int(s) + 17) for s in starts))
        mask = np.zeros(200, bool)
        intervals = []
        for s in rng.integers(0, 100, 6):
            length = int(rng.integers(1, 25))
            intervals.append(("chr1", int(s), int(s) + length))
            mask[50 + s : 50 + s + length] = True
        expected = [int(mask[50 + s : 50 + s + 17].sum()) for s in starts]
        assert covered_bp(windows, table(*intervals, ("chr2", 0, 500))).tolist() == expected


def test_fraction() -> None:
    windows = table(("chr1", 0, 100), ("chr1", 100, 200))
    masked = table(("chr1", 0, 35), ("chr1", 10, 20), ("chr1", 100, 136))
    assert rows(drop_covered(windows, masked, max_fraction=0.35)[0]) == [("chr1", 0, 100)]  # 35 % stays, 36 % goes
    assert drop_covered(windows, masked, max_fraction=0)[1] == 2
    assert drop_covered(windows, table(), max_fraction=0)[1] == 0


def test_off_ends() -> None:
    windows = table(("chr1", -1, 9), ("chr1", 0, 10), ("chr1", 5, 15), ("chr1", 6, 16))
    kept, num_dropped = drop_off_ends(windows, {"chr1": 15})
    assert (rows(kept), num_dropped) == ([("chr1", 0, 10), ("chr1", 5, 15)], 2)


def test_background_is_away_from_peaks_and_matches_gc(store) -> None:
    # chr1:20,000-20,400 of the toy is a quarter N; GC elsewhere is about one half
    codes = np.array(store.codes("chr1"))
    gc = np.isin(codes[:40_000].reshape(-1, 400), (1, 2)).mean(axis=1)
    rich = np.flatnonzero(gc > 0.52)[:10]
    like = table(*(("chr1", int(i) * 400, int(i) * 400 + 400) for i in rich))
    found = background_windows(store, length=400, like=like, count=12, seed=0)
    assert 0 < len(found) <= 12
    assert len(found) == len(found.drop_duplicates())
    assert not covered_bp(found, store.peaks).any()
    drawn = store.gather_codes(store.flat_starts(found), 400)
    assert (np.isin(drawn, (1, 2)).mean(axis=1) > 0.5).all()
    again = background_windows(store, length=400, like=like, count=12, seed=0)
    assert rows(again) == rows(found)
    assert rows(background_windows(store, length=400, like=like, count=12, seed=1)) != rows(found)
    within = background_windows(store, length=400, like=like, count=5, seed=0, within=table(("chr2", 0, 20_000)))
    assert set(within["chrom"]) == {"chr2"}
    assert within["end"].max() <= 20_000


def test_shares_sum_to_the_count() -> None:
    assert windows_module._shares(np.array([1, 1, 1]), 10).tolist() == [4, 3, 3]
    assert windows_module._shares(np.array([3, 0, 1]), 8).tolist() == [6, 0, 2]
