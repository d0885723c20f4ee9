import json

import numpy as np
import pandas as pd
import pytest
from chromhub.datasets_scripts.folds import Split
from chromhub.datasets_scripts.row_layout import METADATA_KEY, RowLayout, Rows


@pytest.fixture
def layout() -> RowLayout:
    return RowLayout(
        genome="toy",
        chrom_sizes={"chr1": 1000},
        chrom_digests={"chr1": "00"},
        bin_size=4,
        summary="max",
        track_names=["a", "b"],
        split=Split(("chr1:0-500",), ("chr1:500-1000",), ()),
        store_fingerprint="f",
        input_length=8,
        target_length=4,
        margin=4,
        signal_dtype="float32",
        mappability=True,
        masks=True,
    )


@pytest.fixture
def rows() -> Rows:
    codes = np.arange(48, dtype=np.uint8).reshape(3, 16) % 5
    signal = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    mappable = np.packbits(np.tile([0, 1, 1, 1], (3, 4)).astype(np.uint8), axis=1)
    measured = np.packbits(np.tile([1, 1, 0, 1, 0, 0, 1, 1], (3, 1)).astype(np.uint8), axis=1)
    return Rows(codes, signal, mappable, measured)


@pytest.fixture
def table(layout, rows):
    return layout.encode(pd.DataFrame({"chrom": "chr1", "start": [0, 8, 16]}), rows)


def test_rows_come_back_from_a_table_and_from_a_piece_of_it(layout, rows, table) -> None:
    for found, expected in zip(layout.decode(table), rows, strict=True):
        assert np.array_equal(found, expected)
    for found, expected in zip(layout.decode(table.slice(1, 2)), rows, strict=True):
        assert np.array_equal(found, expected[1:])
    assert len(layout.decode(table.slice(0, 0)).codes) == 0


def test_decoding_copies_nothing(layout, table) -> None:
    assert not layout.decode(table).codes.flags.owndata
    assert not layout.decode(table).signal.flags.owndata


def test_a_shifted_window_is_cut_by_hand(layout, rows) -> None:
    # Row 1 without its margin is bases 4-12 of it; 4 bp to the right, 8-16: bins 2 and 3 of each track.
    batch = layout.cut(rows, np.array([1]), np.array([4]))
    assert batch["inputs"].tolist() == [rows.codes[1, 8:16].tolist()]
    assert batch["labels"].tolist() == [[[10, 11], [14, 15]]]
    assert batch["mappable"].tolist() == [[0, 1, 1, 1, 0, 1, 1, 1]]
    assert batch["mask"].tolist() == [[[0, 1], [1, 1]]]


def test_the_layout_travels_in_the_schema(layout, table) -> None:
    assert RowLayout.from_dict(json.loads(table.schema.metadata[METADATA_KEY])) == layout
    # 16 codes, 2 x 4 float32, 16 mappable bits and 8 measured bits
    assert layout.row_bytes == 16 + 32 + 2 + 1


def test_mappable_bases_are_read_only_where_wanted(layout, table) -> None:
    names = layout.columns(mappability=False)
    assert names == ["codes", "signal", "measured"]
    assert layout.decode(table.select(names)).mappable is None
