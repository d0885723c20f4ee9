import gzip

import pytest
from chromhub.datasets_scripts.barcodes import cell_types, read_barcodes


@pytest.mark.parametrize(
    "text",
    [
        "AA-1\tCD4 T\nCC-1\tB\n",
        "barcode,cell_type,n\nAA-1,CD4 T,5\nCC-1,B,6\n",
        '"","x"\r\n"AA-1","CD4 T"\r\n\r\n"CC-1","B"\r\n',
    ],
    ids=["tabs", "commas and a header", "as R writes it"],
)
def test_tables(tmp_path, text) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(text.encode()))
    assert read_barcodes(tmp_path / "a.gz") == {"AA-1": "CD4_T", "CC-1": "B"}
    assert cell_types(tmp_path / "a.gz") == ["B", "CD4_T"]


def test_a_list_is_one_type(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("AA-1\nCC-1\n")
    assert read_barcodes(tmp_path / "a.txt") == {"AA-1": "", "CC-1": ""}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("barcode\ttype\n", "holds no barcode"),
        ("AA-1\tB\nCC-1\t\n", "line 2: must have a barcode and a cell type"),
        ("AA-1\tB\nCC-1\n", "line 2: must have a barcode and a cell type"),
        ("AA-1\tB\nAA-1\tT\n", "line 2: barcode AA-1 must have one cell type, got B and T"),
        ("AA-1\tT cell\nCC-1\tT_cell\n", "line 2: cell types 'T cell' and 'T_cell' would both be called T_cell"),
    ],
)
def test_bad_tables(tmp_path, text, sentence) -> None:
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_barcodes(tmp_path / "a.tsv")


def test_a_number_of_each_cell_is_no_cell_type(tmp_path) -> None:
    (tmp_path / "a.tsv").write_text("".join(f"A{i}\t{i}\n" for i in range(1001)))
    with pytest.raises(ValueError, match="has 1,001 cell types"):
        cell_types(tmp_path / "a.tsv")
