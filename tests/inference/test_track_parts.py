import numpy as np
from chromhub.inference.track_parts import count_values, read_track_parts, write_track_part


def test_parts_come_back_by_chromosome_and_track(tmp_path):
    first = [(0, np.array([[1, 2], [10, 20]], np.float32)), (400, np.array([[np.nan], [30]], np.float32))]
    write_track_part(tmp_path / "b0", first)
    write_track_part(tmp_path / "b1", [(800, np.array([[4], [40]], np.float32))])
    write_track_part(tmp_path / "a0", [(8, np.array([[5, np.nan], [50, 60]], np.float32))])
    parts = {"chrB": [tmp_path / "b0", tmp_path / "b1"], "chrA": [tmp_path / "a0"]}
    read = [(chrom, start, values.tolist()) for chrom, start, values in read_track_parts(parts, 1)]
    assert read == [("chrA", 8, [50, 60]), ("chrB", 0, [10, 20]), ("chrB", 400, [30]), ("chrB", 800, [40])]
    assert count_values(parts) == {"chrA": 1, "chrB": 3}
    assert len(list(tmp_path.iterdir())) == 3
