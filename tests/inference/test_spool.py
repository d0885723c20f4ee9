import numpy as np
from chromhub.inference.spool import Spool


def test_chunks_come_back_sorted_and_nothing_stays(tmp_path):
    nan = np.nan
    with Spool(tmp_path / "out.bw", num_tracks=2) as spool:
        spool.add("chr2", 0, np.array([[1.0, 2.0], [10.0, 20.0]]))
        spool.add("chr10", 400, np.array([[3.0], [30.0]]))
        spool.add("chr10", 0, np.array([[4.0, nan, 5.0], [40.0, nan, 50.0]]))
        assert len(list(tmp_path.iterdir())) == 1
        chunks = [(chrom, start, values.tolist()) for chrom, start, values in spool.chunks(1)]
        assert str(chunks) == "[('chr10', 0, [40.0, nan, 50.0]), ('chr10', 400, [30.0]), ('chr2', 0, [10.0, 20.0])]"
        assert [values[0] for _, _, values in spool.chunks(0)] == [4, 3, 1]
        assert (spool.chroms, spool.num_values) == (["chr10", "chr2"], 5)
    assert list(tmp_path.iterdir()) == []
